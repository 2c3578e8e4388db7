"""Learning curves as a picture."""

from collections.abc import Sequence
from os import PathLike
from typing import Any

from trainer.storage.files import whole
from trainer.storage.records import RunRecord

#: Measurement -> its label and the style of its line.
_STYLES: dict[str, tuple[str, dict[str, Any]]] = {
    "train_loss": ("train", {"lw": 1.2, "color": "#0072B2"}),
    "valid_loss": ("valid", {"lw": 0, "marker": "o", "ms": 4, "color": "#D55E00"}),
}


def plot(path: str | PathLike, record: RunRecord, measurements: Sequence[dict]) -> None:
    """Plots training and validation loss over steps, with the chance loss for comparison.

    Args:
        path: PNG file to write.
        record: the run.
        measurements: lines of `metrics.jsonl`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for name, (label, style) in _STYLES.items():
        points = [(m["step"], m[name]) for m in measurements if m.get(name) is not None]
        if points:
            axes.plot(*zip(*points, strict=True), label=label, **style)
    axes.axhline(record.chance_loss, color="0.4", ls=":", lw=1.2, label="chance")
    axes.set(xlabel="training step", ylabel="loss", xlim=(0, record.train_steps))
    axes.set_ylim(bottom=0)
    axes.set_title(
        f"{record.task}, {record.arch}, depth {record.depth}, {record.num_params:,} parameters",
        loc="left",
        fontsize=11,
    )
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    with whole(path) as file:
        FigureCanvasAgg(figure).print_png(file)
