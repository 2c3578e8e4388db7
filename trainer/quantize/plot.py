"""Plots metrics of quantised models over bits per weight."""

from collections.abc import Sequence
from os import PathLike
from typing import Any

from rnn_zoo.files import whole
from trainer.storage.records import RunRecord

#: Metric -> label of its panel; only capacity has the second metric.
PANELS = {"loss": "eval loss", "bits_per_parameter": "bits stored per parameter"}
#: Granularity -> style of its points.
STYLES: dict[str, dict[str, Any]] = {
    "tensor": {"color": "#D55E00", "marker": "s"},
    "row": {"color": "#0072B2", "marker": "o"},
}
#: Ratio of losses above which the axis is logarithmic.
LARGEST_RATIO = 10


def plot(path: str | PathLike, record: RunRecord, rows: Sequence[dict]) -> None:
    """Plot metrics over bits, one curve per granularity, and those of the original weights.

    Args:
        path: PNG file to write.
        record: record of the run.
        rows: from `trainer.quantize.__main__.measure`; losses that are None are left out.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = {name: label for name, label in PANELS.items() if name in rows[0]}
    figure = Figure(figsize=(6 * len(panels), 4.2), layout="constrained")
    for axes, (name, label) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        _panel(axes, name, rows)
        axes.set(xlabel="bits per weight", ylabel=label)
    first = figure.axes[0]
    first.axhline(record.chance_loss, color="0.4", ls=":", lw=1.2, label="chance")
    _scale(first, [record.chance_loss, *_known(rows, "loss")])
    first.set_title(
        f"{record.task}, {record.arch}, depth {record.depth}, {record.num_params:,} parameters",
        loc="left",
        fontsize=11,
    )
    first.legend(frameon=False)
    with whole(path) as file:
        FigureCanvasAgg(figure).print_png(file)


def _panel(axes, name, rows):
    unchanged, *quantised = rows
    for granularity, style in STYLES.items():
        points = sorted(
            (row["bits"], row[name])
            for row in quantised
            if row["granularity"] == granularity and row.get(name) is not None
        )
        if points:
            axes.plot(
                *zip(*points, strict=True), label=f"one scale per {granularity}", ms=5, **style
            )
    axes.axhline(unchanged[name], color="black", lw=1.2, label="float32")
    axes.set_xticks(sorted({row["bits"] for row in quantised}))
    axes.spines[["top", "right"]].set_visible(False)


def _scale(axes, losses):
    from matplotlib.ticker import LogFormatter

    if min(losses) > 0 and max(losses) > LARGEST_RATIO * min(losses):
        axes.set_yscale("log")
        for which in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
            which(LogFormatter())
    else:
        axes.set_ylim(bottom=0)


def _known(rows, name):
    return [row[name] for row in rows if row.get(name) is not None]
