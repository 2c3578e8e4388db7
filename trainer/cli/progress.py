"""What a person sees of a run: a live line on a terminal, else a plain line every 10 s."""

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from trainer.tasks.base import SPLITS

#: Seconds between plain lines.
INTERVAL = 10.0


class Display:
    """Shows steps, loss, steps a second and the time to go.

    Args:
        console: a `rich.console.Console`; standard output if None.
    """

    def __init__(self, console=None):
        # What goes to a file has no window that a table must fit into.
        width = None if sys.stdout.isatty() else 200
        self.console = console or Console(highlight=False, width=width)

    def say(self, text):
        """Prints one line, above the live one if there is one."""
        self.console.print(text, markup=False, soft_wrap=True)

    def steps(self, total, done):
        """A context manager with `update(step, loss, steps_per_second)`."""
        if self.console.is_terminal:
            return _Live(self.console, total, done)
        return _Lines(self, total)

    def table(self, columns, rows):
        """Prints a table."""
        table = Table(*columns)
        for row in rows:
            table.add_row(*row)
        self.console.print(table)

    def splits(self, record):
        """Prints a run's losses and metrics on every split, beside the loss of chance."""
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


def headline(record):
    """What a run trains, as one line without an end."""
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

    def __enter__(self):
        self._progress.start()
        return self

    def __exit__(self, *_):
        self._progress.stop()

    def update(self, step, loss, steps_per_second):
        self._progress.update(
            self._task, completed=step, loss=f"{loss:.4f}", rate=f"{steps_per_second:.1f}"
        )


class _Lines:
    def __init__(self, display, total):
        self._display, self._total = display, total
        self._last = time.monotonic()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def update(self, step, loss, steps_per_second):
        now = time.monotonic()
        if now - self._last < INTERVAL:
            return
        self._last = now
        left = (self._total - step) / steps_per_second
        self._display.say(
            f"step {step:,}/{self._total:,}  loss {loss:.4f}  "
            f"{steps_per_second:.1f} steps/s  {left:.0f} s to go"
        )
