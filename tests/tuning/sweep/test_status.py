"""The status line of a sweep, and the time left."""

import contextlib
import io
import os

import pytest
import sweep_studies
from rich.console import Console

from trainer import TrainConfig
from trainer.storage.lease import Lease
from tuning.config import StudyConfig
from tuning.sweep.config import Spec
from tuning.sweep.directory import RUNNING, State, Sweep
from tuning.sweep.estimate import work
from tuning.sweep.status import Survey, SweepDisplay, report, summary

NOW = 10_000.0


class Studies:
    """A sweep in which studies run without processes."""

    def __init__(self, path, specs):
        self.sweep, self._owned = Sweep(path, specs), contextlib.ExitStack()
        self.sweep.create()

    def close(self):
        self._owned.close()

    def run(self, name, trials, seconds, before=0):
        """Make a study look as if it had run for some seconds and finished so many trials."""
        path = self.sweep.study_path(name)
        path.mkdir(parents=True, exist_ok=True)
        (path / "trials.jsonl").write_text("{}\n" * trials)
        self._owned.enter_context(Lease(path))
        self.write(name, State(RUNNING, trials=before), NOW - seconds)

    def write(self, name, state, at=NOW):
        self.sweep.write_state(name, state)
        os.utime(self.sweep._state_path(name), (at, at))

    def survey(self):
        return Survey(self.sweep, now=lambda: NOW)


@pytest.fixture
def studies(tmp_path):
    made = []

    def make(specs):
        made.append(Studies(tmp_path / "sweep", specs))
        return made[-1]

    yield make
    for each in made:
        each.close()


def equal(count, num_trials=10):
    return [sweep_studies.spec(number, num_trials) for number in range(count)]


def test_nothing_is_said_about_the_time_left_before_it_can_be_known(studies):
    made = studies(equal(4))
    assert summary(made.survey()) == "4 studies: 4 new; 0 of 40 runs"
    made.run("study-000", 3, seconds=60.0)
    made.run("study-001", 1, seconds=60.0)
    assert "to go" not in summary(made.survey())
    made.run("study-002", 0, seconds=0.0, before=0)
    sweep_studies.end(made.sweep, "study-003", 10)  # no longer known how long it took
    assert "to go" not in summary(made.survey())


def test_the_time_left_is_shared_by_the_processes_that_run(studies):
    made = studies(equal(4))
    made.run("study-000", 5, seconds=55.0)
    made.run("study-001", 5, seconds=55.0)
    # 11 trials in 110 s, with two that are half done; 30 are left for two processes.
    assert made.survey().seconds_left() == pytest.approx(30 * 10 / 2)
    assert summary(made.survey()).endswith("10 of 40 runs; about 2 min to go")


def test_only_the_trials_of_this_attempt_count_for_the_speed(studies):
    made = studies(equal(2))
    made.run("study-000", 8, seconds=45.0, before=4)
    # 4.5 trials in 45 s, and 12 are left.
    assert made.survey().seconds_left() == pytest.approx(120.0)


def test_the_time_left_weighs_studies_by_their_work(studies):
    small, large = (
        Spec(f"{steps}", TrainConfig("parens", "gru", train_steps=steps), StudyConfig(10), 0, 175)
        for steps in (1000, 9000)
    )
    assert work(large) == pytest.approx(9 * work(small))
    made = studies([small, large])
    sweep_studies.end(made.sweep, "1000", 10, seconds=100.0)
    made.run("9000", 0, seconds=80.0)
    # 90 units of work by one process that does a unit in 18 s: it has none of the large ones yet.
    assert made.survey().seconds_left() == pytest.approx(90 * 18.0)


def test_the_time_left_is_at_least_that_of_the_last_study(studies):
    made = studies(equal(3))
    made.run("study-000", 5, seconds=55.0)
    made.run("study-001", 5, seconds=55.0)
    sweep_studies.end(made.sweep, "study-002", 10, seconds=100.0)
    survey = made.survey()
    assert survey.seconds_left() == pytest.approx(50.0)
    sweep_studies.end(made.sweep, "study-001", 10, seconds=100.0)
    # One process is idle now; the other has five trials left.
    assert survey.look().seconds_left() == pytest.approx(5 * 255 / 25.5)


def test_studies_that_have_not_trained_yet_show_their_phase(studies):
    made = studies(equal(4))
    for number, line in enumerate(("trials 0/6  starting, 3 s", "trials 0/6  compiling, 20 s")):
        made.run(f"study-00{number}", 0, seconds=30.0)
        made.sweep.log_path(f"study-00{number}").write_text(f"headline\n{line}\n")
    made.run("study-002", 1, seconds=30.0)
    made.sweep.log_path("study-002").write_text("trials 1/6  compiling, 20 s\n")
    assert summary(made.survey()) == (
        "4 studies: 3 running (1 starting, 1 compiling), 1 new; 1 of 40 runs"
    )


def test_a_sweep_starts_until_a_study_runs(studies, monkeypatch):
    monkeypatch.setattr("trainer.display.progress.TICK", 3600.0)
    made, now = studies(equal(1)), [0.0]
    display = SweepDisplay(Console(file=io.StringIO()), lambda: now[0])
    display.begin(made.sweep)
    now[0] = 4.0
    assert display._line() == "1 study: 1 new; 0 of 10 runs; starting, 4 s"
    made.run("study-000", 0, seconds=0.0)
    assert "starting" in display._line()  # it has looked just now
    now[0] = 6.0
    assert display._line() == "1 study: 1 running; 0 of 10 runs"
    display.end()


@pytest.mark.parametrize("failure", ["", "\n \n"])
def test_an_error_without_a_message_is_shown(tmp_path, failure):
    sweep = sweep_studies.make(tmp_path / "sweep", 1)
    state = State("failed", failures=(failure,))
    assert report(sweep, "study-000", state).endswith("; error 1: an error without a message")


def test_an_output_that_is_no_file_has_no_phase(tmp_path):
    """Opening a pipe would wait for its writer, and a device has no end."""
    sweep = sweep_studies.make(tmp_path / "sweep", 2)
    os.mkfifo(sweep.log_path("study-000"))
    sweep.log_path("study-001").symlink_to("/dev/zero")
    assert [sweep.phase(name) for name in sweep.specs] == [None, None]
