"""Progress of a run: a live line on a terminal, otherwise one plain line every 10 s."""

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from trainer.storage.records import RunRecord
from trainer.tasks.base import SPLITS

#: Seconds between plain lines.
INTERVAL = 10.0


class Display:
    """Prints messages, tables and the progress of training.

    Args:
        console: where to print; standard output if None.
    """

    def __init__(self, console: Console | None = None):
        # Tables in redirected output need not fit a terminal's width.
        width = None if sys.stdout.isatty() else 200
        self.console = console or Console(highlight=False, width=width)

    def say(self, text: str) -> None:
        """Prints one line, above the live one if there is one."""
        self.console.print(text, markup=False, soft_wrap=True)

    def steps(self, total: int, done: int) -> "_Live | _Lines":
        """Returns a context manager with `update(step, loss, steps_per_second)`."""
        if self.console.is_terminal:
            return _Live(self.console, total, done)
        return _Lines(self, total)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Prints a table."""
        table = Table(*columns)
        for row in rows:
            table.add_row(*row)
        self.console.print(table)

    def splits(self, record: RunRecord) -> None:
        """Prints the losses and metrics on every split, and the chance loss."""
        names = [
            name
            for name, value in record.metrics["eval"].items()
            if isinstance(value, float) and name != "loss"
        ]
        rows = [
            (split, *(f"{record.metrics[split][name]:.4f}" for name in ("loss", *names)))
            for split in SPLITS
        ]
        chance = ("chance", f"{record.chance_loss:.4f}", *("" for _ in names))
        self.table(("split", "loss", *names), [*rows, chance])


def headline(record: RunRecord) -> str:
    """Describes the model and task of a run in one line."""
    return (
        f"task {record.task}   architecture {record.arch}   depth {record.depth}   "
        f"units {record.units}   parameters {record.num_params:,} of {record.max_params:,}"
    )


class _Live:
    def __init__(self, console, total, done):
        self._progress = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("loss {task.fields[loss]}"),
            TextColumn("{task.fields[rate]} steps/s"),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._progress.add_task(
            "", total=total, completed=done, loss="compiling", rate="…"
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_) -> None:
        self._progress.stop()

    def update(self, step: int, loss: float, steps_per_second: float) -> None:
        self._progress.update(
            self._task, completed=step, loss=f"{loss:.4f}", rate=f"{steps_per_second:.1f}"
        )


class StatusLine:
    """A status line: updated in place on a terminal, printed every `INTERVAL` seconds elsewhere.

    Args:
        display: prints the line.
    """

    def __init__(self, display: Display):
        self._display, self._last = display, time.monotonic()
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self._display.console.is_terminal:
            self._live = Live(console=self._display.console, refresh_per_second=2)
            self._live.start()
        return self

    def __exit__(self, *_) -> None:
        if self._live:
            self._live.stop()
            self._live = None

    def show(self, make: Callable[[], str]) -> None:
        """Shows the text that `make()` returns, unless the last one is too recent."""
        now = time.monotonic()
        if now - self._last < (1.0 if self._live else INTERVAL):
            return
        self._last = now
        if self._live:
            self._live.update(Text(make()))
        else:
            self._display.say(make())


class _Lines(StatusLine):
    def __init__(self, display, total):
        super().__init__(display)
        self._total = total

    def update(self, step: int, loss: float, steps_per_second: float) -> None:
        left = (self._total - step) / steps_per_second
        self.show(
            lambda: (
                f"step {step:,}/{self._total:,}  loss {loss:.4f}  "
                f"{steps_per_second:.1f} steps/s  {left:.0f} s to go"
            )
        )
