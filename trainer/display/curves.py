"""Learning curves of one or several runs as a picture."""

import itertools
from collections.abc import Sequence
from os import PathLike
from typing import Any

from rnn_zoo.files import whole
from trainer.display.comparison import Run
from trainer.display.words import of_legend
from trainer.storage.records import RunRecord

#: Measurement -> its label and the style of its line.
_STYLES: dict[str, tuple[str, dict[str, Any]]] = {
    "train_loss": ("train", {"lw": 1.2, "color": "#0072B2"}),
    "valid_loss": ("valid", {"lw": 0, "marker": "o", "ms": 4, "color": "#D55E00"}),
}


#: Colors of compared runs (Okabe and Ito), used in turn.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def plot(path: str | PathLike, record: RunRecord, measurements: Sequence[dict]) -> None:
    """Plot training and validation loss over steps, with the chance loss for comparison.

    Args:
        path: PNG file to write.
        record: the run.
        measurements: lines of `metrics.jsonl`.
    """
    axes = _axes(
        f"{record.task}, {record.arch}, depth {record.depth}, {record.num_params:,} parameters",
        record.train_steps,
    )
    _draw(axes, measurements, "", {})
    axes.axhline(record.chance_loss, color="0.4", ls=":", lw=1.2, label="chance")
    _write(path, axes)


def plot_comparison(path: str | PathLike, runs: Sequence[Run]) -> None:
    """Plot the losses of several runs over steps, each in its color, with their chance losses.

    Args:
        path: PNG file to write.
        runs: the runs.
    """
    records = [run.record for run in runs]
    tasks = sorted({record.task for record in records})
    axes = _axes(", ".join(tasks), max(record.train_steps for record in records))
    for run, color in zip(runs, itertools.cycle(_COLORS), strict=False):
        _draw(axes, run.measurements, f"{of_legend(run.name)} ", {"color": color})
    for chance in sorted({record.chance_loss for record in records}):
        shared = {record.task for record in records if record.chance_loss == chance}
        label = f"chance of {', '.join(sorted(shared))}" if len(tasks) > 1 else "chance"
        axes.axhline(chance, color="0.4", ls=":", lw=1.2, label=label)
    _write(path, axes)


def _axes(title, train_steps):
    from matplotlib.figure import Figure

    axes = Figure(figsize=(7, 4.2), layout="constrained").subplots()
    axes.set(xlabel="training step", ylabel="loss", xlim=(0, train_steps))
    axes.set_title(title, loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _draw(axes, measurements, prefix, style):
    for name, (label, own) in _STYLES.items():
        points = [(m["step"], m[name]) for m in measurements if m.get(name) is not None]
        if points:
            axes.plot(*zip(*points, strict=True), label=prefix + label, **own | style)


def _write(path, axes):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    with whole(path) as file:
        FigureCanvasAgg(axes.figure).print_png(file)
