"""Progress of a study."""

import time
from collections.abc import Mapping

from rich.console import Console

from trainer.display.progress import Display, StatusLine
from trainer.storage.records import RunRecord
from tuning.study.log import ranked


class StudyDisplay(Display):
    """Shows trials done and feasible, the best one, those in training, and the time left.

    Args:
        console: console to print to; standard output if None.
    """

    def __init__(self, console: Console | None = None):
        super().__init__(console)
        self._status = StatusLine(self)
        self._began, self._done_before = time.monotonic(), 0

    def begin(self, records: Mapping[str, RunRecord], target: int, headline: str) -> None:
        """Prints a headline and starts the status line.

        Args:
            records: trials that earlier processes finished, by id.
            target: number of trials wanted.
            headline: describes the study.
        """
        self.say(headline)
        if records:
            self.say(f"{len(records)} of {target} trials were done before")
        self._done_before, self._began = len(records), time.monotonic()
        self._status.__enter__()

    def update(
        self, records: Mapping[str, RunRecord], target: int, steps: Mapping[str, int]
    ) -> None:
        """Updates the status line.

        Args:
            records: finished trials by id.
            target: number of trials wanted.
            steps: step of each trial in training, by id.
        """
        self._status.show(lambda: self._line(records, target, steps))

    def end(self) -> None:
        """Removes the status line."""
        self._status.__exit__()

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
