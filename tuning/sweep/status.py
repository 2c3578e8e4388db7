"""How far a sweep is: a table of its studies, and a live line while it runs."""

import time

from rich.live import Live
from rich.text import Text

from trainer.progress import INTERVAL, Display
from tuning.lease import Watch
from tuning.sweep.directory import DONE, FAILED, RUNNING, WAITING
from tuning.sweep.estimate import work

STATUSES = (DONE, RUNNING, WAITING, FAILED)


class Survey:
    """What all studies of a sweep have come to, read again at each `look`; what is over, once."""

    def __init__(self, sweep):
        self.sweep, self.states, self.trials = sweep, {}, {}
        self._work = {name: work(spec) for name, spec in sweep.specs.items()}
        self._watch = Watch()
        self.look()

    def look(self):
        for name in self.sweep.specs:
            state = self.states.get(name)
            if state is None or not state.is_over:
                self.states[name] = self.sweep.state(name)
                self.trials[name] = self._count(name)
        return self

    def _count(self, name):
        state = self.states[name]
        return self.sweep.num_ended(name) if state.status == RUNNING else state.trials

    def status(self, name):
        """Its status; a running one whose owner is dead waits."""
        state = self.states[name]
        if state.status == RUNNING and self._watch.is_free(self.sweep.study_path(name)):
            return WAITING
        return state.status

    def count(self, status):
        return sum(self.status(name) == status for name in self.states)

    def seconds_left(self, workers):
        """Estimated from the time that the trials so far took; None as long as there are none."""
        spent = sum(state.seconds for state in self.states.values())
        shares = {n: min(1.0, self.trials[n] / self.sweep.num_wanted(n)) for n in self.states}
        # A study's time is known once a process has given it back.
        known = [n for n, state in self.states.items() if state.seconds and state.status != RUNNING]
        done = sum(shares[n] * self._work[n] for n in known)
        left = sum((1 - shares[n]) * self._work[n] for n, s in self.states.items() if not s.is_over)
        return left * spent / done / max(workers, 1) if done else None


class SweepDisplay(Display):
    """Says what happens to studies, and how far the sweep is: a live line, or one every 10 s."""

    def __init__(self, console=None):
        super().__init__(console)
        self._survey = self._live = None
        self._last = time.monotonic()

    def begin(self, sweep):
        self._survey = Survey(sweep)
        self.say(f"{sweep.path}: {self._line()}")
        if self.console.is_terminal:
            self._live = Live(console=self.console, refresh_per_second=2)
            self._live.start()

    def update(self):
        if not self._live and time.monotonic() - self._last < INTERVAL:
            return
        if time.monotonic() - self._last >= 1.0:
            self._last = time.monotonic()
            self._survey.look()
            line = self._line()
            if self._live:
                self._live.update(Text(line))
            else:
                self.say(line)

    def end(self):
        if self._live:
            self._live.stop()
            self._live = None

    def _line(self):
        return summary(self._survey)


def summary(survey):
    """One line: studies by status, trials, and the time to go."""
    counts = {status: survey.count(status) for status in STATUSES}
    wanted = sum(survey.sweep.num_wanted(name) for name in survey.states)
    line = f"{len(survey.states)} studies: "
    line += ", ".join(f"{n} {status}" for status, n in counts.items() if n)
    line += f"; {sum(survey.trials.values()):,} of {wanted:,} trials"
    left = survey.seconds_left(counts[RUNNING])
    if left is not None and counts[RUNNING] + counts[WAITING]:
        line += f"; about {duration(left)} to go"
    return line


def show(sweep, display):
    """Prints a row a study, and the sum."""
    survey = Survey(sweep)
    rows = []
    for name, state in survey.states.items():
        error = _last_line(state) if state.failures and state.status != DONE else ""
        rows.append(
            (
                name,
                survey.status(name),
                f"{survey.trials[name]}/{sweep.num_wanted(name)}",
                "-" if state.infeasible is None else str(state.infeasible),
                "-" if state.best is None else f"{state.best:.4f}",
                duration(state.seconds),
                error,
            )
        )
    columns = ("study", "status", "trials", "infeasible", "best", "time", "last error")
    display.table(columns, rows)
    display.say(summary(survey))


def report(sweep, name, state):
    """A line on how a study's attempt ended."""
    trials = f"{state.trials} of {sweep.num_wanted(name)} trials"
    line = f"{name}: {state.status}, {trials}, {duration(state.seconds)}"
    if state.best is not None:
        line += f", best {state.best:.4f}"
    if state.failures and state.status != DONE:
        line += f"; error {len(state.failures)}: {_last_line(state)}"
    return line


def _last_line(state):
    return state.failures[-1].strip().splitlines()[-1]


def duration(seconds):
    """Seconds as a person says them."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:,.1f} days"
