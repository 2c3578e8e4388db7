"""Progress of a study."""

import contextlib
import math
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from rich.console import Console

from trainer.display.progress import Display
from trainer.display.words import count, duration
from trainer.storage.records import RunRecord
from tuning.study.log import ranked

#: Number of finished trials from which the time left is estimated.
MIN_TRIALS = 2


class _Look(NamedTuple):
    """Progress at a moment, as `StudyDisplay.update` was told.

    Attributes:
        text: trials finished, feasible and in training.
        phase: "starting" until a process is ready, "compiling" until a trial has begun, then "".
        since: when this phase began.
        ends: when the study is expected to be complete; None if unknown.
    """

    text: str
    phase: str
    since: float
    ends: float | None


class StudyDisplay(Display):
    """Shows trials done and feasible, the best one, those in training, and the time left.

    Args:
        console: console to print to; standard output if None.
        clock: returns the time in seconds.
    """

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic):
        super().__init__(console, clock)
        self._showing = contextlib.ExitStack()

    def begin(self, records: Mapping[str, RunRecord], target: int, headline: str) -> None:
        """Print a headline and start the status line.

        Args:
            records: trials that earlier processes finished, by id.
            target: number of trials wanted.
            headline: describes the study.
        """
        self.say(headline)
        if records:
            self.say(f"{len(records)} of {count(target, 'trial')} were done before")
        self._pace = Pace(records)
        self._look = _Look(f"trials {len(records)}/{target}", "starting", self.clock(), None)
        self._showing.enter_context(self.status(self._line))

    def update(
        self, records: Mapping[str, RunRecord], target: int, steps: Mapping[str, int]
    ) -> None:
        """Update the status line.

        Args:
            records: finished trials by id.
            target: number of trials wanted.
            steps: step of each trial that a process is ready to train, by id. All are at 0 while
                the program compiles.
        """
        now, phase = self.clock(), self._look.phase
        self._pace.update(now, records, steps)
        if self._pace.is_warm:
            phase = ""
        elif steps:
            phase = "compiling"
        left = self._pace.seconds_left(records, target, steps)
        self._look = _Look(
            _text(records, target, steps if self._pace.is_warm else {}),
            phase,
            self._look.since if phase == self._look.phase else now,
            None if left is None else now + left,
        )

    def end(self) -> None:
        """Remove the status line."""
        self._showing.close()

    def _line(self):
        now, look = self.clock(), self._look
        parts = [look.text]
        if look.phase:
            parts.append(f"{look.phase}, {now - look.since:.0f} s")
        elif look.ends is not None:
            parts.append(f"{duration(max(look.ends - now, 0.0))} to go")
        return "  ".join(parts)


class Pace:
    """Time left of a study, from the lengths of its finished trials and the speed of all of them.

    The length of a trial is its number of steps when it ended, early or not. The speed is that of
    all lanes and processes together since the first step of this session, so it includes
    measurements and the search, but not the compilation.

    Args:
        records: trials that earlier processes finished, by id.
    """

    def __init__(self, records: Mapping[str, RunRecord]):
        self._before = frozenset(records)
        self._warm: tuple[float, int] | None = None
        self._speed: float | None = None

    @property
    def is_warm(self) -> bool:
        """Whether training has begun, so that the program is compiled."""
        return self._warm is not None

    def update(
        self, now: float, records: Mapping[str, RunRecord], steps: Mapping[str, int]
    ) -> None:
        """Record the progress at a time; see `StudyDisplay.update`."""
        ended = [record for run_id, record in records.items() if run_id not in self._before]
        trained = sum(record.steps_done for record in ended) + sum(steps.values())
        if self._warm is None:
            if ended or trained:
                self._warm = (now, trained)
            return
        began, before = self._warm
        if now > began and trained > before:
            self._speed = (trained - before) / (now - began)

    def seconds_left(
        self, records: Mapping[str, RunRecord], target: int, steps: Mapping[str, int]
    ) -> float | None:
        """Estimate the time until all trials are finished; None before it can be known."""
        if self._speed is None or len(records) < MIN_TRIALS:
            return None
        length = sum(record.steps_done for record in records.values()) / len(records)
        waiting = max(target - len(records) - len(steps), 0)
        left = [max(length - step, 0.0) for step in steps.values()]
        # The last trials leave lanes idle, and then the whole speed is not to be had.
        longest = length if waiting else max(left, default=0.0)
        total = waiting * length + math.fsum(left)
        return max(total, longest * len(steps)) / self._speed


def _text(records, target, steps):
    """Describe the finished trials and those in training."""
    feasible = ranked(records.values())
    parts = [f"trials {len(records)}/{target}"]
    if records:
        parts.append(f"feasible {len(feasible)}")
    if feasible:
        parts.append(f"best {feasible[0].objective:.4f} (trial {feasible[0].run_id})")
    if steps:
        shown = [f"{run_id} at {step:,}" for run_id, step in sorted(steps.items())[:4]]
        more = f" and {len(steps) - 4} more" if len(steps) > 4 else ""
        parts.append("training " + ", ".join(shown) + more)
    return "  ".join(parts)
