"""A study continues from every state in which a kill between two file operations can leave it."""

import io
import pathlib

import kill_states
import pytest
from rich.console import Console
from untrained import Untrained

from trainer import TrainConfig
from tuning.config import StudyConfig
from tuning.study import log
from tuning.study.progress import StudyDisplay
from tuning.study.study import Study

CONFIG = TrainConfig("parens", "rnn", num_params=3000)
#: Leaves so few dimensions that the Gaussian process soon proposes trials.
RANGES = {
    **dict.fromkeys(("lr_decay_rate", "gradient_clip_val"), 1.0),
    **{"bias_init": "constant", "bias_scale": 0.1, "momentum_logit": 2.0, "train_steps": 3000},
}
TRIALS = 5
LOG = pathlib.Path("trials.jsonl")


def run(path):
    """Run or continue the study; return (records by id, ids of the trials that ran, output)."""
    search = StudyConfig(TRIALS, ranges=RANGES, batch=2, seed=0, initial_points=2, keep=1)
    executor, output = Untrained(lanes=2), io.StringIO()
    study = Study(path, CONFIG, search, documents={"config.gin": "# gin"}, callbacks=())
    assert study.run(executor, StudyDisplay(Console(file=output, width=999)))[1]
    records, problems = log.read(path / "trials.jsonl")
    assert not problems and records.keys() == study.log.records.keys()
    return records, executor.jobs.keys(), output.getvalue()


def is_torn(state):
    """Return whether the log ends within a line."""
    return state.get(LOG, b"")[-1:] not in (b"", b"\n")


def check(state, path, expected):
    """Continue the study from a state, to the same end as if it had not been killed."""
    logged = log.read(kill_states.write(state, path) / "trials.jsonl")[0]
    records, jobs, output = run(path)
    assert records == expected
    assert jobs == expected.keys() - logged.keys()
    left = {file.as_posix() for file in kill_states.read(path)}
    damaged = [name for name in left if "damaged" in name]
    assert len(damaged) == len([name for name in state if "damaged" in name.name]) + is_torn(state)
    assert ("damaged" in output) == is_torn(state)
    assert not [name for name in left if "lease" in name or name.endswith((".partial", ".old"))]
    (kept,) = [name for name in left if name.endswith(".safetensors")]
    assert kept.split("/")[0] == f"trial_{log.ranked(expected.values())[0].run_id}"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The states of a study that is not killed, and its records."""
    path = tmp_path_factory.mktemp("whole") / "study"
    path.mkdir()
    with kill_states.recorded(path) as states:
        records, jobs, _ = run(path)
    assert jobs == records.keys() and len(records) == TRIALS
    assert len(states) > 150
    return states, records


@pytest.fixture(autouse=True)
def _disk_that_is_not_waited_for(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


@pytest.mark.slow
def test_a_study_that_is_killed_at_any_operation_has_the_same_trials(undisturbed, tmp_path):
    states, expected = undisturbed
    for number, state in enumerate(states):
        check(state, tmp_path / f"{number}/study", expected)


@pytest.mark.slow
def test_a_study_that_is_killed_again_while_it_recovers_has_the_same_trials(undisturbed, tmp_path):
    """It is killed in the middle of a line of its log at first."""
    states, expected = undisturbed
    torn = list(filter(is_torn, states))
    assert len(torn) == TRIALS
    path = kill_states.write(torn[2], tmp_path / "torn/study")
    with kill_states.recorded(path) as again:
        run(path)
    for number, state in enumerate(again[:40]):
        check(state, tmp_path / f"{number}/study", expected)
