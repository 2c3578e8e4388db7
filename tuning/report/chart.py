"""Axes, colours and marks shared by all figures, and the points that figures show.

The palette is Okabe and Ito's, safe for colour-blind readers, with its light colours darkened for
contrast on white. Markers differ as well, for printing in black and white.
"""

import io
from collections.abc import Iterable
from typing import Any

import pandas as pd
from matplotlib import rc_context, ticker
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tuning.report.paper import ARCHS, LABELS

COLOURS = {
    "rnn": "#0072B2",
    "irnn": "#A86F00",
    "ugrnn": "#009E73",
    "gru": "#D55E00",
    "lstm": "#B0558A",
    "+rnn": "#2E93C9",
}
MARKERS = {"rnn": "o", "irnn": "s", "ugrnn": "^", "gru": "D", "lstm": "v", "+rnn": "P"}
DASHES = {1: "-", 2: "--", 4: "-.", 8: ":"}
#: Lines of a variant, in place of `DASHES`.
VARIANT = (0, (1.2, 0.9))
#: Colour of text, axes and theory. No data uses it, so the page can replace it with its own.
INK = "#1b1b1d"
#: Number of dots above which an SVG stores them as a bitmap.
MOST_VECTOR_DOTS = 200

_STYLE: dict[Any, Any] = {
    "figure.figsize": (4.6, 3.4),
    "figure.constrained_layout.use": True,
    "font.size": 9,
    "font.family": "sans-serif",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "savefig.dpi": 200,
    # Keep text as text, so that it can be searched and read aloud.
    "svg.fonttype": "none",
}


def in_order(archs: Iterable[str]) -> list[str]:
    """Architectures in the order of legends and tables."""
    found = set(archs)
    return [arch for arch in ARCHS if arch in found]


_NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))


class Chart:
    """One figure: its axes, its points, and the run behind each point.

    Args:
        x, y: labels of the axes, with units.
        x_scale, y_scale: "linear" or "log".

    Attributes:
        figure: the matplotlib `Figure`.
        points: DataFrame with columns x, y, arch and run (the name of the run).
        is_faint: whether subsequent marks are drawn faintly, as background.
        variant: name of the variant that subsequent marks show, such as "Muon", or "". Marks of a
            variant are hollow, and its lines dotted.
    """

    def __init__(self, x: str, y: str, x_scale: str = "linear", y_scale: str = "linear"):
        with rc_context(_STYLE):
            self.figure = Figure()
            self.axes = self.figure.subplots()
            self.axes.set(xlabel=x, ylabel=y, xscale=x_scale, yscale=y_scale)
        # Ticks are made when the figure is drawn, outside the style's context.
        self.axes.tick_params(which="both", colors=INK, labelsize=8)
        self._points: list[pd.DataFrame] = []
        self._entries: dict[str, Artist] = {}
        self._svgs: dict[str, str] = {}
        self._is_laid_out = False
        self.is_faint = False
        self.variant = ""

    @property
    def points(self) -> pd.DataFrame:
        columns = ["x", "y", "arch", "run"]
        shown = [each[columns] for each in self._points]
        return pd.concat(shown, ignore_index=True) if shown else pd.DataFrame(columns=columns)

    def line(self, table, arch, dashes="-", marker=True, label=None, step=False):
        """Draws an architecture's line through columns x and y; each point is a run."""
        (line,) = self.axes.plot(
            table.x,
            table.y,
            linestyle=VARIANT if self.variant else dashes,
            color=COLOURS[arch],
            alpha=self._alpha,
            marker=MARKERS[arch] if marker else None,
            markersize=4,
            markerfacecolor="none" if self.variant else COLOURS[arch],
            linewidth=1.4,
            drawstyle="steps-post" if step else "default",
        )
        self._drawn(table, arch, line, label)

    def marks(self, table, arch):
        """Draws an architecture's marks at columns x and y; each is a run."""
        style = {"color": COLOURS[arch], "alpha": self._alpha, "markersize": 4.5, "linewidth": 0}
        (marks,) = self.axes.plot(table.x, table.y, MARKERS[arch], **style)
        self._drawn(table, arch, marks)

    def dots(self, table, arch):
        """Draws an architecture's small dots at columns x and y; each is a run."""
        self.axes.scatter(
            table.x,
            table.y,
            s=5,
            alpha=0.5 * self._alpha,
            linewidths=0,
            color=COLOURS[arch],
            rasterized=len(table) > MOST_VECTOR_DOTS,
        )
        self._points.append(table.assign(arch=arch))

    def curve(self, x, y, arch):
        """Draws an architecture's line through arrays x and y; its points are not single runs."""
        style = {"linestyle": VARIANT} if self.variant else {}
        (line,) = self.axes.plot(
            x, y, color=COLOURS[arch], alpha=self._alpha, linewidth=1.6, **style
        )
        self.entry(self._named(LABELS[arch]), line)

    def box(self, values, position, arch):
        """Draws quartiles, median, and whiskers of up to 1.5 interquartile ranges."""
        parts = self.axes.boxplot(
            values,
            positions=[position],
            widths=0.4 if self.is_faint else 0.6,
            showfliers=False,
            medianprops={"color": INK, "linewidth": 1.6, "alpha": self._alpha},
        )
        for name in ("boxes", "whiskers", "caps"):
            for part in parts[name]:
                part.set(color=COLOURS[arch], linewidth=1.4, alpha=self._alpha)

    @property
    def _alpha(self):
        return 0.35 if self.is_faint else 1.0

    def _drawn(self, table, arch, artist, label=None):
        self.entry(self._named(label or LABELS[arch]), artist)
        self._points.append(table.assign(arch=arch))

    def _named(self, name):
        parts = (name, self.variant, "published" if self.is_faint else "")
        return ", ".join(part for part in parts if part)

    def theory(self, x, y, label):
        """Draws a theoretical line, which has no runs behind it."""
        (line,) = self.axes.plot(x, y, color=INK, linewidth=1, linestyle=(0, (1, 1)), zorder=0)
        self.entry(label, line)

    def entry(self, label, artist):
        """Adds a legend entry unless there is one with this label."""
        self._entries.setdefault(label, artist)

    def finish(self):
        """Draws the legend and formats log axes: ticks as "2,000", and enough of them if short."""
        # Above the axes, where the legend covers no point.
        self.figure.legend(
            self._entries.values(),
            self._entries,
            loc="outside upper center",
            ncols=3,
            labelcolor=INK,
            fontsize=7.5,
            frameon=False,
        )
        for axis, (low, high) in (
            (self.axes.xaxis, self.axes.get_xlim()),
            (self.axes.yaxis, self.axes.get_ylim()),
        ):
            if axis.get_scale() == "log":
                if high / low < 10:
                    axis.set_major_locator(ticker.MaxNLocator(4))
                axis.set_major_formatter(ticker.FuncFormatter(lambda x, _: f"{x:,.10g}"))
                axis.set_minor_formatter(ticker.NullFormatter())
        return self

    def png(self) -> bytes:
        """The figure as PNG on white."""
        file = io.BytesIO()
        self._lay_out()
        with rc_context(_STYLE):
            FigureCanvasAgg(self.figure).print_png(file)
        return file.getvalue()

    def svg(self, name: str) -> str:
        """The figure as SVG with a transparent background; `name` seeds its ids."""
        if name not in self._svgs:  # The page and the file have the same picture.
            file = io.StringIO()
            self._lay_out()
            with rc_context(_STYLE | {"svg.hashsalt": name}):
                self.figure.savefig(file, format="svg", transparent=True, metadata=_NO_METADATA)
            self._svgs[name] = file.getvalue()
        return self._svgs[name]

    def frame(self) -> dict:
        """Position and scale of the axes, to locate points in the picture.

        Returns:
            dict of `box` (left, top, right, bottom as fractions of the picture), `x` and `y` (low
            end, high end, whether the scale is logarithmic).
        """
        self._lay_out()
        box, axes = self.axes.get_position(), self.axes
        return {
            "box": [float(end) for end in (box.x0, 1 - box.y1, box.x1, 1 - box.y0)],
            "x": [*map(float, axes.get_xlim()), axes.get_xscale() == "log"],
            "y": [*map(float, axes.get_ylim()), axes.get_yscale() == "log"],
        }

    def _lay_out(self):
        """Positions the axes once; otherwise each drawing would, which takes twice as long."""
        if not self._is_laid_out:
            self.figure.draw_without_rendering()
            self.figure.set_layout_engine("none")
            self._is_laid_out = True
