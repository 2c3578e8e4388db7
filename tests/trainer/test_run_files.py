"""The files of a run: as the command leaves them, after damage, divergence and on a full disk."""

import dataclasses
import datetime
import json
import os
import platform
import shutil
import signal

import numpy as np
import pytest
from commands import PARENS, assert_refused, tree
from on_backend import tensorflow_only
from processes import KILL_AT, SMALL, Finished, python
from safetensors.numpy import load_file
from slow import slow_rows_except

from trainer.storage.records import RunRecord

pytestmark = tensorflow_only


def strict(text):
    """Read standard JSON, without NaN and infinities."""

    def refuse(name):
        raise ValueError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture(scope="module")
def smoke(once):
    """A run by README's command in a new process, and its output."""

    def fill(home):
        command = ("trainer", *PARENS, "--profile=smoke", "--run_dir=runs/a")
        done = python("-m", *command, cwd=home)
        (home / "done.json").write_text(json.dumps(dataclasses.asdict(done)))

    home = once("smoke", fill)
    return home / "runs" / "a", Finished(**json.loads((home / "done.json").read_text()))


def test_a_run_says_what_it_does_and_what_came_out(smoke):
    directory, done = smoke
    assert (done.code, done.stderr) == (0, "")
    record = strict((directory / "record.json").read_text())
    lines = [line for line in done.stdout.splitlines() if not line.startswith("starting")]
    first, second = lines[:2]
    for part in ("parens", "gru", "depth 1", f"units {record['units']}", "steps 20"):
        assert part in first
    assert f"{record['num_params']:,} of 5,000" in first
    assert "chance loss 18.2085" in second
    assert "runs/a" in second
    for split in ("train", "valid", "eval"):
        (row,) = [line for line in done.stdout.splitlines() if f" {split} " in line]
        assert f"{record[split + '_loss']:.4f}" in row
    assert "\x1b" not in done.stdout


def test_a_run_leaves_the_directory_of_the_contract(smoke):
    directory, _ = smoke
    assert sorted(path.name for path in directory.iterdir()) == [
        "checkpoints",
        "config.gin",
        "curves.png",
        "events",
        "metrics.jsonl",
        "operative_config.gin",
        "record.json",
    ]
    # A training of over 30 s, on a busy machine, has an earlier one too.
    *_, last = sorted(path.name for path in (directory / "checkpoints").iterdir())
    assert last == "step-0000000020.safetensors"


def test_the_record(smoke):
    directory, _ = smoke
    record = RunRecord(**strict((directory / "record.json").read_text()))
    assert (record.run_id, record.task, record.arch, record.depth) == ("a", "parens", "gru", 1)
    assert (record.status, record.infeasible_at) == ("ok", None)
    assert record.steps_done == record.train_steps == 20
    assert record.num_params <= record.max_params == 5000
    assert record.hparams["lr_init"] == record.config["lr_init"]
    assert record.backend == "tensorflow"
    assert {"python", "tensorflow", "keras", "numpy"} <= record.versions.keys()
    assert datetime.datetime.fromisoformat(record.date).utcoffset() == datetime.timedelta(0)
    assert record.host == platform.node() and record.commit is None
    command = "python -m trainer --task=parens --arch=gru --profile=smoke --run_dir=runs/a"
    assert record.command == command and record.profile == "smoke"
    assert (record.device, 50 < record.peak_memory < 50_000) == ("cpu", True)
    assert record.seconds > 0
    assert record.steps_per_second > 0
    for split in ("train", "valid", "eval"):
        metrics = record.metrics[split]
        assert metrics["loss"] == getattr(record, f"{split}_loss")
        assert 10 < metrics["loss"] < 40
        assert len(metrics["accuracy_by_stream"]) == 10
        assert np.mean(metrics["accuracy_by_stream"]) == pytest.approx(metrics["accuracy"])
    arrays = load_file(directory / "checkpoints" / "step-0000000020.safetensors")
    weights = sum(array.size for name, array in arrays.items() if name.startswith("weights/"))
    assert weights == record.num_params


def test_the_measurements(smoke):
    directory, _ = smoke
    measurements = [strict(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    assert [m["step"] for m in measurements] == list(range(1, 21))
    assert [m["step"] for m in measurements if "valid_loss" in m] == [10, 20]
    record = strict((directory / "record.json").read_text())
    assert measurements[-1]["valid_loss"] == record["valid_loss"]
    for m in measurements:
        assert 10 < m["train_loss"] < 40
        assert m["gradient_norm"] > 0
        # That of this step: the first has the initial rate.
        share = (m["step"] - 1) / 20
        rate = record["hparams"]["lr_init"] * record["hparams"]["lr_decay_rate"] ** share
        assert m["learning_rate"] == pytest.approx(rate)


def test_the_events_are_those_of_the_measurements(smoke):
    from tensorflow.compat.v1.train import summary_iterator

    directory, _ = smoke
    (path,) = (directory / "events").iterdir()
    points = {
        (event.step, value.tag): value.simple_value
        for event in summary_iterator(str(path))
        for value in event.summary.value
    }
    for line in (directory / "metrics.jsonl").read_text().splitlines():
        measurement = json.loads(line)
        for name in ("train_loss", "valid_loss", "learning_rate"):
            if name in measurement:
                point = points[measurement["step"], name]
                assert point == pytest.approx(measurement[name], rel=1e-6)


def test_the_curves_are_a_picture(smoke):
    from matplotlib.image import imread

    picture = imread(smoke[0] / "curves.png")
    assert picture.shape[0] > 200
    assert picture.std() > 0.01


def test_a_second_run_in_the_same_directory_is_refused(smoke, quick):
    directory, _ = smoke
    before = tree(directory)
    assert_refused(quick(*PARENS, f"--run_dir={directory}"), str(directory), "--resume")
    assert tree(directory) == before


@pytest.mark.parametrize(
    "flag, name, value",
    slow_rows_except(
        [("--arch=lstm", "arch", "'lstm'")],
        [
            ("--arch=lstm", "arch", "'lstm'"),
            ("--gin_bindings=TrainConfig.l2_decay=0.5", "l2_decay", "0.5"),
        ],
    ),
)
def test_another_configuration_is_not_resumed(smoke, warm_jax, flag, name, value):
    directory, _ = smoke
    before = tree(directory)
    done = warm_jax.run("trainer", f"--run_dir={directory}", "--resume", flag, cwd=directory)
    assert_refused(done, str(directory), name, value)
    assert tree(directory) == before


#: Flags of an export and the directory it writes.
EXPORTS = [
    ((), ["saved_model"]),
    (
        ("--format=litert,onnx", "--format=saved_model", "--bits=6", "--granularity=tensor"),
        ["litert_6bit_tensor", "onnx_6bit_tensor", "saved_model_6bit_tensor"],
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("options, made", EXPORTS)
def test_a_trained_run_can_be_exported(smoke, options, made, tmp_path):
    copy = tmp_path / "exported"
    shutil.copytree(smoke[0], copy)
    before = set(copy.iterdir())
    done = python("-m", "trainer.export", "--run_dir=exported", *options, cwd=tmp_path)
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout.count("exported exported/") == len(made)
    assert set(copy.iterdir()) - before == {copy / name for name in made}
    assert all((copy / name / "saved_model.pb").exists() for name in made if "saved" in name)


#: Error -> (program, arguments, parts of the message).
EXPORT_MISTAKES = {
    "format": ("export", ["--format=litert,tflite"], ["'tflite'", "saved_model, litert, onnx"]),
    "no format": ("export", ["--format="], ["--format is empty"]),
    "batch size": (
        "export",
        ["--format=onnx", "--batch_size=4"],
        ["no effect on onnx, only on litert"],
    ),
    "no bits": ("quantize", ["--bits="], ["--bits is empty"]),
    "one bit": ("export", ["--bits=1"], ["--bits", "2", "16", "got 1"]),
    "granularity": ("export", ["--granularity=column"], ["'column'", "tensor, row"]),
    "no bits to round to": ("export", ["--granularity=tensor"], ["no effect without --bits"]),
    "batch": ("export", ["--batch_size=-1"], ["--batch_size", "-1"]),
    "steps": ("export", ["--time_steps=-1"], ["--time_steps", "-1"]),
    "many steps": (
        "export",
        ["--format=litert", "--time_steps=99999999999"],
        ["--time_steps", "268435456", "99999999999"],
    ),
    "many sequences": (
        "export",
        ["--format=litert", "--batch_size=999999999999"],
        ["--batch_size", "268435456", "999999999999"],
    ),
    "bits": ("quantize", ["--bits=8,x"], ["--bits", "'x'"]),
    "many bits": ("quantize", ["--bits=17"], ["--bits", "17"]),
    "granularities": ("quantize", ["--granularity=row,column"], ["'column'", "tensor, row"]),
    "text for parens": (
        "quantize",
        ["--text8_path=x"],
        ["--text8_path is for the task text8", "parens"],
    ),
}


@pytest.mark.parametrize("what", EXPORT_MISTAKES)
def test_a_mistake_in_using_a_run_is_one_line(smoke, quick, what):
    program, arguments, parts = EXPORT_MISTAKES[what]
    before = tree(smoke[0])
    done = quick(f"--run_dir={smoke[0]}", *arguments, module=f"trainer.{program}")
    assert_refused(done, *parts)
    assert tree(smoke[0]) == before


@pytest.mark.parametrize("module", ["trainer.export", "trainer.quantize", "trainer.show"])
def test_a_run_that_is_not_there_is_refused(quick, module):
    for arguments, part in (([], "--run_dir"), (["--run_dir=nowhere"], "nowhere")):
        assert_refused(quick(*arguments, module=module), part)
        assert not list(quick.home.iterdir())


# Damage.


@pytest.fixture(scope="module")
def killed(server, tmp_path_factory):
    """A run that was killed after two checkpoints, one of step 1 and a later one."""
    home = tmp_path_factory.mktemp("killed")
    often = "import trainer.loop; trainer.loop.CHECKPOINT_SECONDS = 0.0\n"
    killed = often + KILL_AT.format(name="step-", count=2, before=False)
    run = ("trainer", *SMALL, "--train_steps=1000", "--run_dir=run")
    assert server.run(*run, cwd=home, before=killed).code == -signal.SIGKILL
    return home / "run"


@pytest.fixture
def stopped(killed, tmp_path):
    """A copy of the killed run, and its two checkpoints."""
    shutil.copytree(killed, tmp_path / "run")
    return tmp_path / "run", sorted((tmp_path / "run" / "checkpoints").glob("step-*"))


def test_damaged_measurements_are_refused(server, stopped):
    directory, _ = stopped
    (directory / "metrics.jsonl").write_text('{"step": 10, "tr')
    before = tree(directory)
    done = server.run("trainer", "--resume", "--run_dir=run", cwd=directory.parent)
    assert done.code == 2
    assert done.stderr.count("\n") == 1
    assert "metrics.jsonl" in done.stderr
    assert tree(directory) == before


@pytest.mark.slow
def test_a_damaged_newest_checkpoint_is_reported_and_the_one_before_used(server, stopped):
    directory, (older, newer) = stopped
    content = bytearray(newer.read_bytes())
    content[-100] ^= 4
    newer.write_bytes(content)
    stop = KILL_AT.format(name="metrics.jsonl", count=1, before=False)
    done = server.run("trainer", "--resume", "--run_dir=run", cwd=directory.parent, before=stop)
    assert done.code == -signal.SIGKILL
    assert f"from step {int(older.stem.split('-')[1]):,}" in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if "damaged" in line]
    assert newer.name in line

    for path in (older, newer):
        path.write_bytes(path.read_bytes()[:-1])
    before = tree(directory)
    done = server.run("trainer", "--resume", "--run_dir=run", cwd=directory.parent)
    assert done.code == 2
    assert done.stderr.count("\n") == 1
    assert "no readable checkpoint" in done.stderr
    assert "--run_dir" in done.stderr
    assert tree(directory) == before


# Divergence.


@pytest.mark.slow
@pytest.mark.parametrize("rate, steps, at", [("1e30", 20, 0), ("1e5", 20, 1)])
def test_a_training_that_diverges_ends_well_and_says_where(server, tmp_path, rate, steps, at):
    done = server.run(
        "trainer",
        *SMALL,
        "--run_dir=run",
        f"--train_steps={steps}",
        "--gin_bindings=TrainConfig.optimizer = 'sgd'",
        f"--gin_bindings=TrainConfig.lr_init = {rate}",
        cwd=tmp_path,
    )
    assert (done.code, done.stderr) == (0, "")
    assert f"diverged at step {at}" in done.stdout
    record = strict((tmp_path / "run" / "record.json").read_text())
    assert (record["status"], record["infeasible_at"]) == ("infeasible", at)
    assert record["steps_done"] == at
    assert record["eval_loss"] is None
    (path,) = (tmp_path / "run" / "checkpoints").iterdir()
    assert all(np.isfinite(array).all() for array in load_file(path).values())
    if at:
        again = server.run("trainer", "--run_dir=run", "--resume", cwd=tmp_path)
        assert (again.code, again.stderr) == (0, "")
        assert strict((tmp_path / "run" / "record.json").read_text()) == record


@pytest.mark.slow
def test_a_loss_without_bound_after_the_last_step_is_no_crash(server, tmp_path):
    """The last update leaves finite weights with an infinite loss, which only measuring finds."""
    done = server.run(
        "trainer",
        *SMALL,
        "--arch=irnn",
        "--run_dir=run",
        "--train_steps=1",
        "--gin_bindings=TrainConfig.optimizer = 'sgd'",
        "--gin_bindings=TrainConfig.lr_init = 1e18",
        cwd=tmp_path,
    )
    assert (done.code, done.stderr) == (0, "")
    record = strict((tmp_path / "run" / "record.json").read_text())
    assert (record["status"], record["infeasible_at"]) == ("infeasible", 1)
    assert record["eval_loss"] is None


# A full disk.


@pytest.mark.parametrize("size", [pytest.param("4k", marks=pytest.mark.slow), "48k"])
def test_a_full_disk_is_one_line_and_nothing_is_half_written(server, disk, size):
    home = disk(size)
    done = server.run("trainer", *SMALL, "--run_dir=run", cwd=home)
    assert done.code == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("error: cannot use run/")
    assert "No space left" in done.stderr
    run = home / "run"
    assert not [path for path in run.rglob(".*")]
    for path in run.rglob("*"):
        if path.suffix == ".json":
            strict(path.read_text())
        elif path.suffix == ".jsonl":
            assert all(strict(line) for line in path.read_text().splitlines())
        elif path.suffix == ".safetensors":
            load_file(path)
        elif path.suffix in (".gin", ".png"):
            assert path.stat().st_size
    if size != "48k":
        return
    disk("10m", ["remount"])
    done = server.run("trainer", *SMALL, "--run_dir=run", "--resume", cwd=home)
    assert (done.code, done.stderr) == (0, "")
    assert strict((run / "record.json").read_text())["status"] == "ok"


def test_a_disk_that_cannot_be_written_is_one_line(server, disk):
    home = disk("1m")
    disk("1m", ["remount", "ro"])
    done = server.run("trainer", *SMALL, "--run_dir=run", cwd=home)
    assert done.code == 2
    assert done.stderr.count("\n") == 1
    assert "run" in done.stderr
    assert os.listdir(home) == []
