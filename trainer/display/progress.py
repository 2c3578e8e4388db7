"""Messages, tables, and a status line that never falls silent.

On a terminal the status line is redrawn in place. Elsewhere, as in a log, it is printed as a plain
line whenever nothing has been printed for some seconds.
"""

import contextlib
import math
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from trainer.display.words import duration, printable
from trainer.storage.records import RunRecord
from trainer.tasks.base import SPLITS

#: Seconds between looks at the status line.
TICK = 0.5
#: Seconds of silence before a plain line: for the first minutes, and after a quarter of an hour.
INTERVALS = (2.5, 10.0)
#: Width of a bar.
BAR = 20


class Display:
    """Prints messages and tables, and keeps a status line.

    Args:
        console: where to print; standard output if None.
        clock: returns the time in seconds.
    """

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic):
        # Tables in redirected output need not fit a terminal's width.
        width = None if sys.stdout and sys.stdout.isatty() else 200
        self.console = console or Console(highlight=False, width=width)
        self.clock = clock
        self._began, self._printed = clock(), -math.inf
        self._lines: list[Callable[[], str]] = []
        self._live: Live | None = None

    def say(self, text: str) -> None:
        """Print one line, above the status line on a terminal."""
        self._printed = self.clock()
        self.console.print(printable(text), markup=False, emoji=False, soft_wrap=True)

    @contextlib.contextmanager
    def status(self, line: Callable[[], str]) -> Iterator[None]:
        """Show a status line while the block runs, in place of that of an enclosing block.

        Args:
            line: returns the line; called by a thread, since the block may compile for a minute.
        """
        self._lines.append(line)
        try:
            with contextlib.nullcontext() if len(self._lines) > 1 else self._ticking():
                yield
        finally:
            self._lines.pop()

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Show the name of a phase and its seconds as the status line while the block runs."""
        began = self.clock()
        with self.status(lambda: f"{name}, {self.clock() - began:.0f} s"):
            yield

    @contextlib.contextmanager
    def steps(self, total: int, done: int) -> Iterator["Steps"]:
        """Show the progress of training as the status line; yield an object with `update`."""
        steps = Steps(total, done, self.clock, BAR if self.console.is_terminal else 0)
        with self.status(steps.line):
            yield steps

    def tick(self) -> None:
        """Show the status line if it is due."""
        if self._live:
            self._live.update(Text(printable(self._lines[-1]())), refresh=True)
            return
        now = self.clock()
        shortest, longest = INTERVALS
        if now - self._printed >= min(max(shortest, (now - self._began) / 100), longest):
            self.say(self._lines[-1]())

    @contextlib.contextmanager
    def _ticking(self):
        """Call `tick` from a thread while the block runs."""
        ended = threading.Event()

        def run():
            while not ended.wait(TICK):
                self.tick()

        thread = threading.Thread(target=run, daemon=True)
        with contextlib.ExitStack() as stack:
            if self.console.is_terminal:
                live = Live(console=self.console, auto_refresh=False, transient=True)
                self._live = stack.enter_context(live)
            thread.start()
            try:
                yield
            finally:
                ended.set()
                thread.join()
                self._live = None

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Print a table."""
        table = Table()
        # `Text`, since brackets in a string are markup.
        for column in columns:
            table.add_column(Text(printable(column)))
        for row in rows:
            table.add_row(*(Text(printable(cell)) for cell in row))
        self._printed = self.clock()
        self.console.print(table)

    def splits(self, record: RunRecord) -> None:
        """Print the losses and metrics on every split and at every length, and chance losses."""
        numbers = {split: _numbers(metrics) for split, metrics in record.metrics.items()}
        names = [name for name in numbers.get("eval", {}) if name != "loss"]
        rows = [
            (split, *(numbers.get(split, {}).get(name, "-") for name in ("loss", *names)))
            for split in SPLITS
        ]
        chance = ("chance", f"{record.chance_loss:.4f}", *("" for _ in names))
        self.table(("split", "loss", *names), [*rows, chance])
        lengths = []
        for each in record.lengths:
            found = _numbers(each["metrics"] or {"loss": math.inf})
            steps = f"{each['num_steps']:,} ({each['multiple']} ×)"
            cells = (found.get(name, "-") for name in ("loss", *names))
            lengths.append((steps, *cells, f"{each['chance_loss']:.4f}"))
        if lengths:
            self.table(("time steps", "loss", *names, "chance"), lengths)


def _numbers(metrics):
    return {name: f"{value:.4f}" for name, value in metrics.items() if isinstance(value, float)}


def headline(record: RunRecord) -> str:
    """Describe the model and task of a run in one line."""
    return (
        f"task {record.task}   architecture {record.arch}   depth {record.depth}   "
        f"units {record.units}   parameters {record.num_params:,} of {record.max_params:,}"
    )


class Steps:
    """Progress of a training run in one line.

    Until the first `update`, the program is compiling. The time left follows from the mean speed
    since then, which includes measurements and checkpoints but not the compilation.

    Args:
        total: number of steps.
        done: number of steps trained before.
        clock: returns the time in seconds.
        width: width of the bar; 0 for none.
    """

    def __init__(self, total: int, done: int, clock: Callable[[], float], width: int = 0):
        self._total, self._clock, self._width = total, clock, width
        self._began, self._warm = clock(), (0.0, done)
        self._now: tuple[float, int, float, float] | None = None

    def update(self, step: int, loss: float, steps_per_second: float) -> None:
        """Set the step, the loss, and the speed of the last steps."""
        now = self._clock()
        if self._now is None:
            self._warm = (now, step)
        self._now = (now, step, loss, steps_per_second)

    def line(self) -> str:
        """Return the line."""
        if self._now is None:
            return f"compiling, {self._clock() - self._began:.0f} s"
        now, step, loss, rate = self._now
        warm_at, warm_step = self._warm
        speed = (step - warm_step) / (now - warm_at) if step > warm_step else rate
        filled = self._width * step // self._total
        bar = "━" * filled + "┄" * (self._width - filled) + "  " * bool(self._width)
        return (
            f"step {step:,}/{self._total:,}  {bar}loss {loss:.4f}  {rate:.1f} steps/s  "
            f"{duration((self._total - step) / speed)} to go"
        )
