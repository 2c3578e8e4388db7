"""The status line of a study: its phases, and the time left, with a clock that the tests set."""

import io

import pytest
import records
from rich.console import Console

from tuning.study.progress import Pace, StudyDisplay


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def trial(run_id, steps_done, objective=1.0):
    done = {"steps_done": steps_done, "stopped_early": steps_done < 400}
    return records.record(run_id, objective, train_steps=400, **done)


def trials(*steps):
    return {str(n): trial(str(n), done) for n, done in enumerate(steps)}


@pytest.fixture
def study(monkeypatch):
    monkeypatch.setattr("trainer.display.progress.TICK", 3600.0)
    clock = Clock()
    display = StudyDisplay(Console(file=io.StringIO(), width=200), clock)
    yield display, clock
    display.end()


def test_the_phases_of_a_study(study):
    display, clock = study
    display.begin({}, 4, "headline")
    clock.now = 5.0
    assert display._line() == "trials 0/4  starting, 5 s"
    display.update({}, 4, {})  # no process is ready
    clock.now = 6.0
    assert display._line() == "trials 0/4  starting, 6 s"
    display.update({}, 4, {"0": 0, "1": 0})
    clock.now = 10.0
    display.update({}, 4, {"0": 0, "1": 0})
    assert display._line() == "trials 0/4  compiling, 4 s"
    display.update({}, 4, {"0": 30, "1": 0})
    assert display._line() == "trials 0/4  training 0 at 30, 1 at 0"
    clock.now = 20.0
    display.update(trials(100), 4, {"1": 50, "2": 0})
    # One trial says too little.
    assert "to go" not in display._line()
    clock.now = 30.0
    display.update(trials(100, 300), 4, {"2": 30})
    # 400 steps in 20 s; one trial has 170 of 200 steps left, and one has all of them: 18.5 s.
    clock.now = 30.2
    assert display._line() == (
        "trials 2/4  feasible 2  best 1.0000 (trial 0)  training 2 at 30  18 s to go"
    )
    clock.now = 35.2
    assert display._line().endswith("13 s to go")
    clock.now = 40.0
    display.update(trials(100, 300, 200), 4, {})  # the search proposes the last trial
    assert "starting" not in display._line() and "compiling" not in display._line()


def test_the_time_left_counts_trials_that_were_stopped_early_and_not_the_compilation():
    pace = Pace({})
    pace.update(0.0, {}, {"0": 0})
    pace.update(60.0, {}, {"0": 10})  # it has compiled for a minute
    assert pace.is_warm
    pace.update(80.0, trials(400, 100, 100), {"3": 10})
    # 600 steps in 20 s, and trials of 200 steps: 16 of them wait.
    assert pace.seconds_left(trials(400, 100, 100), 20, {"3": 10}) == pytest.approx(
        (16 * 200 + 190) / 30
    )


def test_the_time_left_is_at_least_that_of_one_trial():
    pace = Pace({})
    pace.update(0.0, {}, {"0": 10, "1": 0})
    steps = {"2": 0, "3": 190}
    pace.update(10.0, trials(200, 200), steps)
    # 58 steps per second in two lanes, and 29 once only trial 2 is left.
    assert pace.seconds_left(trials(200, 200), 4, steps) == pytest.approx(200 / 29)


def test_trials_of_earlier_sessions_count_for_their_length_alone():
    before = trials(100, 300)
    pace = Pace(before)
    pace.update(0.0, before, {"2": 0})
    assert not pace.is_warm
    pace.update(1.0, before, {"2": 10})
    pace.update(2.0, before, {"2": 60})
    assert pace.seconds_left(before, 4, {"2": 60}) == pytest.approx((200 + 140) / 50)
