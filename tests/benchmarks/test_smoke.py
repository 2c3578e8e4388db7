"""Benchmarks run and write their tables; the measured values are not checked."""

import csv

import pytest
from processes import ROOT, python
from slow import slow_except

SMALL = ("--seconds=0.02", "--repeats=1", "--tasks", "capacity", "--archs", "rnn", "--budgets=300")
#: Benchmark -> (arguments, a measured column).
COMMANDS = {
    "steps": ((*SMALL, "--candidates", "ours_jax"), "steps_per_second"),
    "halving": (("--trials=3", "--steps=20", "--seeds=1"), "steps"),
    "fit": (
        ("--settings", "GRU(16)-32x50", "--backends", "jax", "--repeats=1", "--batches=1"),
        "step_ms",
    ),
    "torch_loop": (("--layers", "UGRNN", "LSTM", "--shapes=1", "--repeats=1"), "train_ratio"),
    "chunks": (("--units=8", "--time_steps=4", "--seconds=0.1"), "ratio"),
    "scheduling": (
        ("--engines", "local", "--studies=10", "--workers=2"),
        "milliseconds_a_study",
    ),
}


def run(name, *arguments):
    changes = {}
    if name == "torch_loop":
        pytest.importorskip("torch")
        changes = {"PYTHONPATH": str(ROOT)}
    done = python("-m", f"benchmarks.{name}", *arguments, cwd=ROOT, **changes)
    assert done.code == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_profile_of_a_layer_on_pytorch_is_printed():
    printed = run("torch_loop", "--layers=LSTM", "--shapes=1", "--repeats=2", "--profile")
    assert "LSTM, 32 units, a prediction:" in printed and "without its RNN.call" in printed
    assert "a training step, PyTorch, other work between the passes:" in printed
    assert "aten::mkldnn_rnn_layer_backward" in printed


@pytest.mark.parametrize("name", slow_except(["scheduling"], COMMANDS))
def test_a_benchmark_runs(name, tmp_path):
    arguments, measured = COMMANDS[name]
    run(name, *arguments, f"--out={tmp_path}")
    with open(tmp_path / f"{name}.csv") as file:
        rows = list(csv.DictReader(file))
    assert rows and all(float(row[measured]) > 0 for row in rows)
    assert (tmp_path / "machine.json").exists()
