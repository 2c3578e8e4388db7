"""Progress of a sweep: a table of its studies, and a status line while it runs."""

import contextlib
import time
from collections.abc import Callable
from typing import Self

from rich.console import Console

from trainer.display.progress import Display
from trainer.display.words import count, duration
from trainer.storage.lease import Watch
from tuning.sweep.config import Spec
from tuning.sweep.directory import DONE, FAILED, PHASES, RUNNING, State, Sweep
from tuning.sweep.estimate import chain, work

#: Statuses of studies that wait for a process: with finished trials, and without.
MORE, NEW = "more", "new"
STATUSES = (DONE, RUNNING, MORE, NEW, FAILED)
#: Finished trials per running process before the time left is estimated.
MIN_TRIALS = 3


class Survey:
    """States of all studies of a sweep, updated by `look`; studies that are over are read once.

    Args:
        sweep: the sweep.
        now: returns the time in seconds, as files have it.

    Attributes:
        states, statuses, trials: by study name. A study that no living process owns and that is
            not over has the status more or new.
    """

    def __init__(self, sweep: Sweep, now: Callable[[], float] = time.time):
        self.sweep, self._now = sweep, now
        self.states: dict[str, State] = {}
        self.statuses: dict[str, str] = {}
        self.trials: dict[str, int] = {}
        self._specs: dict[str, Spec] = {}
        self._work: dict[str, float] = {}
        self._watch, self._processes = Watch(), 0
        self.look()

    def look(self) -> Self:
        """Read the states of the studies that are not over."""
        self.sweep.refresh()
        for name, spec in self.sweep.specs.items():
            if self._specs.get(name) is not spec:
                self._specs[name], self._work[name] = spec, work(spec) if spec.is_known else 0.0
                self._look_at(name)
            elif not self.states[name].is_over:
                self._look_at(name)
        # A process between two studies is still there.
        self._processes = max(self._processes, self.count(RUNNING))
        return self

    def _look_at(self, name):
        self.states[name] = state = self.sweep.state(name)
        running, path = state.status == RUNNING, self.sweep.study_path(name)
        self.trials[name] = self.sweep.num_ended(name) if running else state.trials
        self.statuses[name] = state.status
        if not state.is_over and not (running and not self._watch.is_free(path)):
            self.statuses[name] = MORE if self.trials[name] else NEW

    def count(self, status: str) -> int:
        """Return the number of studies with a status."""
        return list(self.statuses.values()).count(status)

    def phases(self) -> dict[str, int]:
        """Count the studies in each phase, those that run without a new trial so far."""
        phases = [
            self.sweep.phase(name)
            for name, status in self.statuses.items()
            if status == RUNNING and self.trials[name] == self.states[name].trials
        ]
        return {phase: phases.count(phase) for phase in PHASES if phase in phases}

    def seconds_left(self) -> float | None:
        """Estimate the time left from the finished trials of studies that are done or running.

        A process does work of a certain amount per second, where the work of a trial is that of
        `estimate.work`. The processes share the remaining work, but the longest chain of studies
        that wait for each other takes one process.

        Returns:
            None unless processes run that have finished `MIN_TRIALS` trials each, on average; and
            if a study names something that is not registered.
        """
        if not all(spec.is_known for spec in self._specs.values()):
            return None
        trials, done, seconds = 0, 0.0, 0.0
        for name, status in self.statuses.items():
            finished, spent = self._finished(name, status)
            trials += finished
            done += finished * self._work_per_trial(name)
            seconds += spent
        running = self.count(RUNNING)
        if not running or trials < MIN_TRIALS * running or not done:
            return None
        left = {name: self._left(name) for name, state in self.states.items() if not state.is_over}
        longest = max(chain(name, left, self.sweep.sources) for name in left)
        return max(sum(left.values()) / self._processes, longest) * seconds / done

    def _finished(self, name, status):
        """Return the finished trials of a study and the seconds that they took."""
        state = self.states[name]
        if status == DONE:
            return (self.trials[name], state.seconds) if state.seconds else (0, 0.0)
        if status != RUNNING:
            return 0, 0.0
        # A new best trial has no reruns yet.
        finished = max(self.trials[name] - state.trials, 0)
        # On average, the trials in training are half done.
        return (finished + 0.5 if finished else 0), max(self._now() - self.sweep.taken_at(name), 0)

    def _left(self, name):
        missing = self.sweep.specs[name].num_runs - self.trials[name]
        return max(missing, 0) * self._work_per_trial(name)

    def _work_per_trial(self, name):
        return self._work[name] / self.sweep.specs[name].num_runs


class SweepDisplay(Display):
    """Reports events of studies and the progress of the sweep.

    Args:
        console: console to print to; standard output if None.
        clock: returns the time in seconds.
    """

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic):
        super().__init__(console, clock)
        self._showing = contextlib.ExitStack()

    def begin(self, sweep: Sweep) -> None:
        """Print a summary of the sweep and start the status line."""
        self._survey, self._since, self._due = Survey(sweep), self.clock(), 0.0
        self._has_run = False
        self.say(f"{sweep.path}: {summary(self._survey)}")
        say_problems(sweep, self)
        self._showing.enter_context(self.status(self._line))

    def end(self) -> None:
        """Remove the status line."""
        self._showing.close()

    def _line(self):
        began = self.clock()
        if began >= self._due:
            self._survey.look()
            now = self.clock()
            # Reading the states of a large sweep takes a while, and much longer on a busy machine.
            self._due = now + min(max(1.0, 20 * (now - began)), 60.0)
        line = summary(self._survey)
        self._has_run |= self._survey.count(RUNNING) > 0
        return line if self._has_run else f"{line}; starting, {began - self._since:.0f} s"


def summary(survey: Survey) -> str:
    """Describe a sweep in one line: studies by status, runs, and the time left."""
    counts = {status: survey.count(status) for status in STATUSES}
    wanted = sum(spec.num_runs for spec in survey.sweep.specs.values())
    parts = [f"{n} {status}" for status, n in counts.items() if n]
    if phases := ", ".join(f"{n} {phase}" for phase, n in survey.phases().items()):
        parts = [f"{part} ({phases})" if part.endswith(RUNNING) else part for part in parts]
    line = count(len(survey.states), "study", "studies") + ": " + ", ".join(parts)
    line += f"; {sum(survey.trials.values()):,} of {count(wanted, 'run')}"
    left = survey.seconds_left()
    return line if left is None else f"{line}; about {duration(left)} to go"


def show(sweep: Sweep, display: Display) -> None:
    """Print a table of the studies, and the summary."""
    survey = Survey(sweep)
    rows = []
    for name, state in survey.states.items():
        rows.append(
            (
                name,
                survey.statuses[name],
                f"{survey.trials[name]}/{sweep.specs[name].num_runs}",
                "-" if state.proposed is None else str(state.proposed),
                "-" if state.infeasible is None else str(state.infeasible),
                "-" if state.best is None else f"{state.best:.4f}",
                duration(state.seconds),
                duration(state.core_seconds),
                _note(sweep, name, state),
            )
        )
    columns = (
        "study",
        "status",
        "runs",
        "proposed",
        "infeasible",
        "best",
        "time",
        "core time",
    )
    display.table((*columns, "note"), rows)
    display.say(summary(survey))
    say_problems(sweep, display)


def say_problems(sweep: Sweep, display: Display) -> None:
    """Print a line if files of studies are damaged, lost or in the wrong place."""
    found = {name: text for name in sweep.specs if (text := sweep.problem(name))}
    for name, text in list(found.items())[:1]:
        studies = count(len(found), "study has", "studies have")
        display.say(f"{studies} damaged or lost files, the first is {name}: {text}")


def _note(sweep, name, state):
    """Return the last error of a study, the study that it waits for, or how it began."""
    if state.failures and state.status != DONE:
        return _last_line(state)
    if not (state.is_over or sweep.specs[name].is_known):
        return "of a cell, a task or an optimizer that needs --import"
    source = None if state.is_over else sweep.waits_for(name)
    return f"waits for {source}" if source else state.note


def report(sweep: Sweep, name: str, state: State) -> str:
    """Describe in one line how an attempt at a study ended."""
    runs = f"{state.trials} of {count(sweep.specs[name].num_runs, 'run')}"
    line = f"{name}: {state.status}, {runs}, {duration(state.seconds)}"
    if state.best is not None:
        line += f", best {state.best:.4f}"
    if state.failures and state.status != DONE:
        line += f"; error {len(state.failures)}: {_last_line(state)}"
    elif state.note:
        line += f"; {state.note}"
    return line


def _last_line(state):
    return (state.failures[-1].strip().splitlines() or ["an error without a message"])[-1]
