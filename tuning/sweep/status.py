"""Progress of a sweep: a table of its studies, and a status line while it runs."""

import time
from typing import Self

from rich.console import Console

from trainer.display.progress import Display, StatusLine
from trainer.display.words import count, duration
from tuning.study.lease import Watch
from tuning.sweep.config import Spec
from tuning.sweep.directory import DONE, FAILED, RUNNING, State, Sweep
from tuning.sweep.estimate import work

#: Statuses of studies that wait for a process: with finished trials, and without.
MORE, NEW = "more", "new"
STATUSES = (DONE, RUNNING, MORE, NEW, FAILED)


class Survey:
    """States of all studies of a sweep, updated by `look`; studies that are over are read once.

    Attributes:
        states, statuses, trials: by study name. A study that no living process owns and that is
            not over has the status more or new.
    """

    def __init__(self, sweep: Sweep):
        self.sweep = sweep
        self.states: dict[str, State] = {}
        self.statuses: dict[str, str] = {}
        self.trials: dict[str, int] = {}
        self._specs: dict[str, Spec] = {}
        self._work: dict[str, float] = {}
        self._watch = Watch()
        self._began = (time.monotonic(), self.look()._done())

    def look(self) -> Self:
        """Reads the states of the studies that are not over."""
        self.sweep.refresh()
        for name, spec in self.sweep.specs.items():
            if self._specs.get(name) is not spec:
                self._specs[name], self._work[name] = spec, work(spec)
                self._look_at(name)
            elif not self.states[name].is_over:
                self._look_at(name)
        return self

    def _look_at(self, name):
        self.states[name] = state = self.sweep.state(name)
        running, path = state.status == RUNNING, self.sweep.study_path(name)
        self.trials[name] = self.sweep.num_ended(name) if running else state.trials
        self.statuses[name] = state.status
        if not state.is_over and not (running and not self._watch.is_free(path)):
            self.statuses[name] = MORE if self.trials[name] else NEW

    def count(self, status: str) -> int:
        """Returns the number of studies with a status."""
        return list(self.statuses.values()).count(status)

    def seconds_left(self) -> float | None:
        """Estimates the time left from the rate since the first look, or else of done studies.

        Returns None if neither rate is known.
        """
        left = sum(
            self._work[name] - self._done_of(name)
            for name, state in self.states.items()
            if not state.is_over
        )
        began, before = self._began
        won = self._done() - before
        if won > 0:
            return left * (time.monotonic() - began) / won
        done = [n for n, state in self.states.items() if state.status == DONE and state.seconds]
        spent = sum(self.states[name].seconds for name in done)
        if not spent:
            return None
        rate = sum(self._work[name] for name in done) / spent
        return left / rate / max(self.count(RUNNING), 1)

    def _done(self):
        return sum(self._done_of(name) for name in self.states)

    def _done_of(self, name):
        return self._work[name] * min(1.0, self.trials[name] / self.sweep.specs[name].num_trainings)


class SweepDisplay(Display):
    """Reports events of studies and the progress of the sweep."""

    def __init__(self, console: Console | None = None):
        super().__init__(console)
        self._status = StatusLine(self)

    def begin(self, sweep: Sweep) -> None:
        """Prints a summary of the sweep and starts the status line."""
        self._survey = Survey(sweep)
        self.say(f"{sweep.path}: {summary(self._survey)}")
        self._status.__enter__()

    def update(self) -> None:
        """Updates the status line."""
        self._status.show(lambda: summary(self._survey.look()))

    def end(self) -> None:
        """Removes the status line."""
        self._status.__exit__()


def summary(survey: Survey) -> str:
    """Describes a sweep in one line: studies by status, trials, and the time left."""
    counts = {status: survey.count(status) for status in STATUSES}
    wanted = sum(spec.num_trainings for spec in survey.sweep.specs.values())
    line = count(len(survey.states), "study", "studies") + ": "
    line += ", ".join(f"{n} {status}" for status, n in counts.items() if n)
    line += f"; {sum(survey.trials.values()):,} of {count(wanted, 'trial')}"
    left = survey.seconds_left()
    if left is not None and counts[RUNNING] + counts[MORE] + counts[NEW]:
        line += f"; about {duration(left)} to go"
    return line


def show(sweep: Sweep, display: Display) -> None:
    """Prints a table of the studies, and the summary."""
    survey = Survey(sweep)
    rows = []
    for name, state in survey.states.items():
        rows.append(
            (
                name,
                survey.statuses[name],
                f"{survey.trials[name]}/{sweep.specs[name].num_trainings}",
                "-" if state.proposed is None else str(state.proposed),
                "-" if state.infeasible is None else str(state.infeasible),
                "-" if state.best is None else f"{state.best:.4f}",
                duration(state.seconds),
                duration(state.core_seconds),
                _note(sweep, name, state),
            )
        )
    columns = ("study", "status", "trials", "proposed", "infeasible", "best", "time", "core time")
    display.table((*columns, "note"), rows)
    display.say(summary(survey))


def _note(sweep, name, state):
    """Returns the last error of a study, the study that it waits for, or how it began."""
    if state.failures and state.status != DONE:
        return _last_line(state)
    source = None if state.is_over else sweep.waits_for(name)
    return f"waits for {source}" if source else state.note


def report(sweep: Sweep, name: str, state: State) -> str:
    """Describes in one line how an attempt at a study ended."""
    trials = f"{state.trials} of {sweep.specs[name].num_trainings} trials"
    line = f"{name}: {state.status}, {trials}, {duration(state.seconds)}"
    if state.best is not None:
        line += f", best {state.best:.4f}"
    if state.failures and state.status != DONE:
        line += f"; error {len(state.failures)}: {_last_line(state)}"
    elif state.note:
        line += f"; {state.note}"
    return line


def _last_line(state):
    return state.failures[-1].strip().splitlines()[-1]
