"""Killed and resumed runs equal an undisturbed one, bit for bit."""

import json
import random
import signal

import pytest
from processes import KILL_AT, SMALL
from safetensors.numpy import load_file

from trainer.storage.records import INCIDENTAL

STEPS = 2000
ARGUMENTS = (*SMALL, f"--train_steps={STEPS}", "--seed=5")
#: Writes checkpoints and progress as often as possible, so that a kill hits any stage.
OFTEN = """
import trainer.loop
trainer.loop.CHECKPOINT_SECONDS = 0.0
trainer.loop.CHUNK_SECONDS = 0.01
"""


def start(server, directory, *arguments, before=OFTEN):
    return server.start(
        "trainer", *ARGUMENTS, f"--run_dir={directory}", *arguments,
        cwd=directory.parent, before=before,
    )  # fmt: skip


def newest(directory):
    return sorted((directory / "checkpoints").glob("step-*.safetensors"))[-1]


def read_record(directory):
    return json.loads((directory / "record.json").read_text())


def lines(directory):
    """Return the number of measurements so far."""
    path = directory / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def assert_ended_as(directory, undisturbed):
    """Weights, slots, measurements and results are equal, and no partial file is left."""
    assert newest(directory).name == newest(undisturbed).name == f"step-{STEPS:010d}.safetensors"
    ours, theirs = load_file(newest(directory)), load_file(newest(undisturbed))
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        assert array.tobytes() == theirs[name].tobytes(), name
    for name in ("metrics.jsonl", "config.gin", "operative_config.gin"):
        assert (directory / name).read_bytes() == (undisturbed / name).read_bytes(), name
    records = [read_record(path) for path in (directory, undisturbed)]
    for record in records:
        assert record["status"] == "ok"
        for name in ("run_id", *INCIDENTAL):
            record.pop(name)
    assert records[0] == records[1]


@pytest.fixture(scope="module")
def undisturbed(server, tmp_path_factory):
    directory = tmp_path_factory.mktemp("undisturbed") / "run"
    done = start(server, directory, before="").wait()
    assert done.code == 0, done.stderr
    assert lines(directory) == 100
    return directory


@pytest.mark.slow
def test_a_run_killed_at_random_and_resumed_is_the_undisturbed_one(server, undisturbed, tmp_path):
    directory, source = tmp_path / "run", random.Random(2017)
    reached = []
    for target in sorted(source.sample(range(5, 80), 3)):
        process = start(server, directory, *(["--resume"] if reached else []))
        process.wait_for(lambda target=target: lines(directory) >= target)
        process.kill(signal.SIGKILL)
        assert process.wait().code == -signal.SIGKILL
        reached.append(lines(directory))
        assert target <= reached[-1] < 100
        assert read_record(directory)["status"] == "interrupted"
    done = start(server, directory, "--resume").wait()
    assert done.code == 0, done.stderr
    assert "from step" in done.stdout
    assert_ended_as(directory, undisturbed)


def test_signals_write_a_checkpoint_and_the_run_goes_on_from_it(server, undisturbed, tmp_path):
    directory, resume = tmp_path / "run", ()
    quick = "import trainer.loop; trainer.loop.CHUNK_SECONDS = 0.01"
    for number, target in ((signal.SIGTERM, 10), (signal.SIGINT, 40)):
        process = start(server, directory, *resume, before=quick)
        assert process.wait_for(lambda target=target: lines(directory) >= target)
        process.kill(number)
        done = process.wait()
        assert done.code == 130
        assert done.stderr == ""
        record = read_record(directory)
        step = record["steps_done"]
        assert record["status"] == "interrupted"
        assert record["eval_loss"] is None
        assert 20 * target <= step < STEPS
        assert newest(directory).name == f"step-{step:010d}.safetensors"
        assert f"interrupted at step {step:,}" in done.stdout
        assert "--resume" in done.stdout
        resume = ("--resume",)
    done = start(server, directory, *resume, before="").wait()
    assert done.code == 0, done.stderr
    assert f"from step {step:,}" in done.stdout
    assert_ended_as(directory, undisturbed)


#: When to kill a run: file, number of its writes, and whether before or after the last one.
MOMENTS = [
    ("config.gin", 1, True),
    ("config.gin", 1, False),
    ("record.json", 1, True),
    ("record.json", 1, False),
    ("metrics.jsonl", 50, False),
    ("step-", 1, True),
    ("step-", 1, False),
    ("record.json", 1, True),
    ("record.json", 1, False),
    ("record.json", 1, True),
    ("curves.png", 1, True),
]
#: Of the default run: a checkpoint that is not there yet.
FEW = [MOMENTS[5]]


@pytest.mark.slow
@pytest.mark.parametrize("moments", [FEW, MOMENTS], ids=len)
def test_a_run_killed_between_any_two_files_is_the_undisturbed_one(
    server, undisturbed, moments, tmp_path
):
    """Covers the run from the first file of its directory to the last."""
    directory = tmp_path / "run"
    for index, (name, count, before) in enumerate(moments):
        rule = KILL_AT.format(name=name, count=count, before=before)
        done = start(server, directory, *["--resume"] * (index > 0), before=rule).wait()
        assert done.code == -signal.SIGKILL, (index, name, done)
    done = start(server, directory, "--resume", before="").wait()
    assert done.code == 0, done.stderr
    assert_ended_as(directory, undisturbed)
    assert (directory / "curves.png").exists()


#: Callbacks of the user's, named on the command line.
MINE = """
from trainer import Callback

class Broken(Callback):
    def on_measure(self, row):
        if row["step"] == 200:
            raise RuntimeError(f"no more after {row['train_loss']}")
"""


@pytest.mark.slow
def test_a_run_that_a_callback_ended_is_resumed_from_there(server, undisturbed, tmp_path):
    directory = tmp_path / "run"
    (tmp_path / "mine.py").write_text(MINE)
    done = start(server, directory, "--log_to=mine.Broken,jsonl", before="").wait()
    assert done.code == 1 and "RuntimeError: no more after" in done.stderr
    assert newest(directory).name == "step-0000000200.safetensors"
    assert not (directory / "events").exists()
    done = start(server, directory, "--resume", "--log_to=jsonl", before="").wait()
    assert done.code == 0, done.stderr
    assert_ended_as(directory, undisturbed)
    heard = [json.loads(line) for line in (directory / "log.jsonl").read_text().splitlines()]
    events = [(each["event"], each.get("step", each.get("first_step"))) for each in heard]
    steps = [20 * number for number in range(1, 101)]
    first, rest = [step for step in steps if step < 200], [step for step in steps if step > 200]
    expected = [("start", 0), *(("measure", step) for step in first), ("start", 200)]
    assert events == [*expected, *(("measure", step) for step in rest), ("end", None)]
    place = {"run_dir": str(directory), "study": None, "first_step": 200}
    own = {"crc32": None}  # of the line, and of the file
    assert heard[-1] | own == {"event": "end"} | read_record(directory) | own
    start_again = next(each for each in heard if each.get("first_step"))
    assert place.items() <= start_again.items() and start_again["steps_done"] == 200


def test_a_finished_run_is_shown_again_and_not_changed(server, undisturbed):
    before = {path: path.read_bytes() for path in undisturbed.glob("*.json*")}
    done = start(server, undisturbed, "--resume", before="").wait()
    assert done.code == 0, done.stderr
    assert "eval" in done.stdout
    assert {path: path.read_bytes() for path in undisturbed.glob("*.json*")} == before
