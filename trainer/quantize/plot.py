"""The score of quantised models against bits a weight, as a picture."""

from trainer.storage.files import whole

#: Metric of a row -> the label of its panel. A task without the second has one panel.
PANELS = {"loss": "eval loss", "bits_per_parameter": "bits stored a parameter"}
#: Granularity -> colour and marker of its points.
STYLES = {
    "tensor": {"color": "#D55E00", "marker": "s"},
    "row": {"color": "#0072B2", "marker": "o"},
}
#: Losses that differ by more are drawn on a logarithmic axis.
LARGEST_RATIO = 10


def plot(path, record, rows):
    """Writes the picture: metrics over bits, a curve a granularity, beside those of the run itself.

    Args:
        path: of the PNG file.
        record: the `RunRecord`.
        rows: list of dicts, the first of the weights as they are, as
            `trainer.quantize.__main__.measure` gives them. A loss that is None is left out.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = {name: label for name, label in PANELS.items() if name in rows[0]}
    figure = Figure(figsize=(6 * len(panels), 4.2), layout="constrained")
    for axes, (name, label) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        _panel(axes, name, rows)
        axes.set(xlabel="bits a weight", ylabel=label)
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
            axes.plot(*zip(*points, strict=True), label=f"a scale per {granularity}", ms=5, **style)
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
