"""A training run as text: the model, its progress, its learning curve and its losses."""

import itertools
import statistics
from collections.abc import Sequence

from trainer.display.progress import Display, headline
from trainer.storage.records import RunRecord
from trainer.windows import CURVE_POINTS, window_ends

BARS = "▁▂▃▄▅▆▇█"
#: Measurement -> label.
LOSSES = {"train_loss": "training loss", "valid_loss": "validation loss"}
#: Maximum numbers of points of a curve: as bars, and as rows of a table.
NUM_BARS, NUM_ROWS = 50, 10


def show_training(display: Display, record: RunRecord, measurements: Sequence[dict]) -> None:
    """Print the model, the progress, the learning curve and the losses of a run.

    Args:
        display: where to print.
        record: the run.
        measurements: lines of `metrics.jsonl`; the record's own curve is shown if there are none,
            as for a trial of a study.
    """
    display.say(headline(record))
    display.say(status_line(record))
    measurements = measurements or curve_points(record)
    for name, label in LOSSES.items():
        losses = [m[name] for m in measurements if m.get(name) is not None]
        if losses:
            display.say(f"{label} {losses[0]:.4f} {bars(losses)} {losses[-1]:.4f}")
    if measurements:
        display.table(*curve_table(measurements))
    if record.metrics:
        display.splits(record)
    else:
        display.say(f"no losses on splits; the chance loss is {record.chance_loss:.4f}")


def status_line(record: RunRecord) -> str:
    """Describe the progress of a run in one line."""
    parts = [f"steps {record.steps_done:,} of {record.train_steps:,}"]
    if record.infeasible_at is None:
        parts.append(f"status {record.status}" + ", stopped early" * record.stopped_early)
    else:
        parts.append(f"status {record.status}: diverged at step {record.infeasible_at:,}")
    parts.append(f"{record.seconds:,.1f} s")
    if record.steps_per_second is not None:
        parts.append(f"{record.steps_per_second:,.1f} steps/s")
    return "   ".join([*parts, f"{record.backend}, seed {record.seed}"])


def curve_points(record: RunRecord) -> list[dict]:
    """Return a record's curve as measurements, one per twentieth of the steps.

    A run of fewer than twenty steps has one point per step.
    """
    pairs = zip(window_ends(record.train_steps, CURVE_POINTS), record.curve, strict=False)
    return [{"step": step, "train_loss": loss} for step, loss in pairs]


def bars(values: Sequence[float]) -> str:
    """Draw values as bars whose heights run from the lowest to the highest value.

    More than `NUM_BARS` values are averaged in groups. Example: bars([3, 1, 2]) is "█▁▅".
    """
    num = min(len(values), NUM_BARS)
    ends = [index * len(values) // num for index in range(num + 1)]
    means = [statistics.fmean(values[a:b]) for a, b in itertools.pairwise(ends)]
    low, span = min(means), max(means) - min(means)
    levels = [(mean - low) / span if span else 0.0 for mean in means]
    return "".join(BARS[round(level * (len(BARS) - 1))] for level in levels)


def curve_table(measurements: Sequence[dict]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Tabulates a few measurements, including the last.

    Measurements without a validation loss are left out, unless none has one.

    Returns:
        (names of columns, rows of text).
    """
    validated = [m for m in measurements if m.get("valid_loss") is not None]
    names = ("train_loss", "valid_loss") if validated else ("train_loss",)
    rows = validated or measurements
    stride = -(-len(rows) // NUM_ROWS)
    chosen = rows[::-1][::stride][::-1]  # counted from the end, to include the last
    cells = [(f"{m['step']:,}", *(f"{m[name]:.4f}" for name in names)) for m in chosen]
    return ("step", *(LOSSES[name] for name in names)), cells
