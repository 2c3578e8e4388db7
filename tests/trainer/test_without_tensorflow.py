"""On JAX nothing needs TensorFlow: everything works where it is not installed, or says why not."""

import csv
import json

import pytest
from on_backend import tensorflow_only
from processes import SMALL, without_tensorflow

# In the default run, `warm_jax` trains without TensorFlow in other files.
pytestmark = [tensorflow_only, pytest.mark.slow]

FEW_PARAMS = "--gin_bindings=TrainConfig.num_params = 500"


@pytest.fixture(scope="module")
def run_directory(warm_jax, tmp_path_factory):
    """The directory of a run, and how the training ended."""
    path = tmp_path_factory.mktemp("jax") / "run"
    return path, warm_jax.run("trainer", *SMALL, f"--run_dir={path}", cwd=path.parent)


def test_training_leaves_a_record_a_curve_and_events(run_directory):
    path, done = run_directory
    assert done.code == 0, done.stderr
    record = json.loads((path / "record.json").read_text())
    assert record["backend"] == "jax"
    assert record["status"] == "ok"
    assert record["eval_loss"] > 0
    assert (path / "curves.png").stat().st_size > 1000
    assert list(path.rglob("events.out.tfevents.*"))


def test_a_run_is_shown_with_its_answers(run_directory, warm_jax):
    path, _ = run_directory
    done = warm_jax.run("trainer.show", f"--run_dir={path}", "--num=1", cwd=path)
    assert (done.code, done.stderr) == (0, "")
    assert "architecture rnn" in done.stdout and "predicted" in done.stdout


def test_resuming_a_finished_run_does_nothing(run_directory):
    path, _ = run_directory
    before = (path / "record.json").read_bytes()
    done = without_tensorflow("-m", "trainer", "--resume", f"--run_dir={path}", cwd=path)
    assert done.code == 0, done.stderr
    assert (path / "record.json").read_bytes() == before


def test_a_run_is_measured_again_with_fewer_bits(run_directory, warm_jax):
    path, _ = run_directory
    bits = ("--bits=4", "--granularity=row")
    done = warm_jax.run("trainer.quantize", f"--run_dir={path}", *bits, cwd=path)
    assert (done.code, done.stderr) == (0, "")
    with open(path / "quantized" / "losses.csv") as file:
        unchanged, rounded = csv.DictReader(file)
    loss = json.loads((path / "record.json").read_text())["eval_loss"]
    assert float(unchanged["loss"]) == loss != float(rounded["loss"])
    assert f"{float(rounded['loss']):.4f}" in done.stdout
    names = {path.name for path in (path / "quantized").iterdir()}
    assert names == {"losses.csv", "losses.png", "4bit_row.safetensors"}


def test_a_saved_model_needs_it_and_says_so(run_directory, warm_jax):
    path, _ = run_directory
    done = warm_jax.run("trainer.export", f"--run_dir={path}", cwd=path)
    assert done.code == 2
    assert done.stderr.count("\n") == 1
    assert "tensorflow" in done.stderr


def test_layers_lanes_and_steppers_work_and_a_pipeline_says_what_it_needs(warm_jax, tmp_path):
    done = warm_jax.run("keras_on_jax", cwd=tmp_path)
    assert done.code == 0, done.stderr
    assert "needs KERAS_BACKEND=tensorflow" in done.stdout


def test_a_search_works(tmp_path):
    # A sweep and its report are made without TensorFlow in tests/tuning/report/test_cli.py.
    flags = ("--task=capacity", "--arch=rnn", "--profile=smoke", FEW_PARAMS, "--num_trials=2")
    done = without_tensorflow("-m", "tuning", *flags, "--study_dir=study", cwd=tmp_path)
    assert done.code == 0, done.stderr
    assert "2 trials, 0 infeasible" in done.stdout
    assert "python -m trainer.export" in done.stdout
