"""What a person sees of a study: a live line on a terminal, else a plain line every 10 s."""

import time

from rich.live import Live
from rich.text import Text

from trainer.display.progress import INTERVAL, Display
from tuning.study.log import ranked


class LineDisplay(Display):
    """One line that is kept up to date on a terminal, and printed now and then elsewhere."""

    def __init__(self, console=None):
        super().__init__(console)
        self._live, self._last = None, time.monotonic()

    def open(self):
        if self.console.is_terminal:
            self._live = Live(console=self.console, refresh_per_second=2)
            self._live.start()

    def line(self, make):
        """Shows the text that `make()` returns, if it is time for another."""
        if time.monotonic() - self._last < (1.0 if self._live else INTERVAL):
            return
        self._last = time.monotonic()
        if self._live:
            self._live.update(Text(make()))
        else:
            self.say(make())

    def end(self):
        if self._live:
            self._live.stop()
            self._live = None


class StudyDisplay(LineDisplay):
    """Shows trials done, how many are feasible, the best, what trains now, and the time to go.

    Args:
        console: a `rich.console.Console`; standard output if None.
    """

    def __init__(self, console=None):
        super().__init__(console)
        self._began, self._done_before = time.monotonic(), 0

    def begin(self, records, target, headline):
        """Says what is about to be done.

        Args:
            records: finished trials by id, of earlier processes.
            target: number of trials wanted.
            headline: what study this is.
        """
        self.say(headline)
        if records:
            self.say(f"{len(records)} of {target} trials were done before")
        self._done_before, self._began = len(records), time.monotonic()
        self.open()

    def update(self, records, target, steps):
        """Shows how far it is.

        Args:
            records: finished trials by id.
            target: number of trials wanted.
            steps: dict from the id of a trial in training to its step.
        """
        self.line(lambda: self._line(records, target, steps))

    def _line(self, records, target, steps):
        feasible = ranked(records.values())
        parts = [f"trials {len(records)}/{target}", f"feasible {len(feasible)}"]
        if feasible:
            parts.append(f"best {feasible[0].objective:.4f} (trial {feasible[0].run_id})")
        if steps:
            shown = [f"{run_id} at {step:,}" for run_id, step in sorted(steps.items())[:4]]
            more = f" and {len(steps) - 4} more" if len(steps) > 4 else ""
            parts.append("training " + ", ".join(shown) + more)
        done = len(records) - self._done_before
        if done:
            left = (time.monotonic() - self._began) / done * (target - len(records))
            parts.append(f"{left:.0f} s to go")
        return "  ".join(parts)
