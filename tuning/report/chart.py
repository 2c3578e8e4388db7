"""Axes and marks shared by all figures, and the points that figures show."""

import functools
import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.transforms import offset_copy
from PIL import Image

from trainer.display.words import of_legend, printable
from tuning.report import keys, style, ticks
from tuning.report.paper import label

DASHES: dict[int, Any] = {1: "-", 2: "--", 4: "-.", 8: ":"}
#: Dashes of every other depth.
OTHER_DEPTH = (0, (6, 1, 1, 1, 1, 1))
#: Dashes of variants, in place of `DASHES`.
VARIANTS = ((0, (1.2, 0.9)), (0, (4, 1, 1, 1)), (0, (2.5, 1.5)), (0, (4, 1, 1, 1, 1, 1)))
#: Fillings of the marks of groups.
FILLINGS = ("full", "none", "left", "bottom", "right", "top")
#: Distance between marks with bars at the same x, in points.
SHIFT = 4
#: Number of dots above which vector formats store them as a bitmap.
MOST_VECTOR_DOTS = 200
#: Most letters that fit on an axis.
MOST_LETTERS = 45
_POINT = ["x", "y", "arch", "run"]
#: Formats of figures, with the metadata that would differ between two builds left out.
METADATA: dict[str, dict[str, None]] = {
    "pdf": dict.fromkeys(("CreationDate", "Creator", "Producer")),
    "png": {"Software": None},
    "svg": dict.fromkeys(("Date", "Creator", "Format", "Type")),
}


def _styled(method: Callable) -> Callable:
    """Run a method of a `Chart` in the chart's style."""

    @functools.wraps(method)
    def run(self, *args, **kwargs):
        with rc_context(self.style), warnings.catch_warnings():
            # A browser has the letters that Matplotlib's font lacks.
            warnings.filterwarnings("ignore", r"Glyph \d+ .* missing")
            return method(self, *args, **kwargs)

    return run


class Chart:
    """One figure: its axes, its points, and the run behind each point.

    Args:
        x, y: labels of the axes, with units.
        x_scale, y_scale: "linear" or "log".

    Attributes:
        figure: the Matplotlib `Figure`.
        style: the style when the chart was made, from `style.current`.
        ink: colour of text and theory.
        inks: colours of text and axes. No data uses them, so the page can replace them.
        points: DataFrame with columns x, y, arch and run (the name of the run).
        series: row labels of the trials of each series of marks, in all architectures. Captions
            compare the trials of a series, and those of different series never.
        notes: sentences for the caption.
        is_faint: whether subsequent marks are drawn faintly, as background.
        variant: name of the variant that subsequent marks show, such as "muon", or "". Marks of a
            variant are hollow, and its lines have dashes of their own.
        dashes_differ: whether dashes tell something else, such as the depth. Variants then have
            shades of their own.
        is_split: whether trials with different settings have marks of their own.
        group: words for the settings of subsequent marks, such as "batch_size 4", or "". Each
            group of an architecture has a shade and a filling of its own.
    """

    def __init__(self, x: str, y: str, x_scale: str = "linear", y_scale: str = "linear"):
        self.style = style.current()
        self.ink = self.style["text.color"]
        self.inks = {self.style[name] for name in style.INKS}
        with rc_context(self.style):
            self.figure = Figure(layout="constrained")
            self.axes = self.figure.subplots()
            self.axes.set(xlabel=printable(x), ylabel=printable(y), xscale=x_scale, yscale=y_scale)
        self._points: list[pd.DataFrame] = []
        self._entries: dict[str, Artist] = {}
        self._variants: list[str] = []
        self._groups: dict[str, list[tuple[str, str]]] = {}
        self._with_bars: list[tuple[str, set[float]]] = []
        self._pictures: dict[tuple[str, str], bytes] = {}
        self._is_laid_out = False
        self.series: list[pd.Index] = []
        self.notes: list[str] = []
        self.without_median: set[str] = set()  # architectures, see `drawing.note_seeds`
        self.is_faint = False
        self.variant = ""
        self.dashes_differ = False
        self.is_split = False
        self.group = ""

    def or_none(self) -> "Chart | None":
        """The chart, or None if no run is drawn."""
        return self if len(self.points) else None

    @property
    def used(self) -> set[int]:
        """Row labels of all trials that the chart summarises."""
        return set().union(*self.series)

    @property
    def points(self) -> pd.DataFrame:
        if len(self._points) > 1:  # Figures ask for the points several times.
            self._points = [pd.concat(self._points, ignore_index=True)]
        return self._points[0] if self._points else pd.DataFrame(columns=_POINT)

    @_styled
    def line(self, table, arch, dashes="-"):
        """Draw an architecture's line with marks at columns x and y; each point is a run.

        Columns low and high, if there are any, are drawn as bars.
        """
        self._drawn(table, arch, self._plot(table, arch, self._dashes(dashes)))

    @_styled
    def marks(self, table, arch):
        """Draw an architecture's marks at columns x and y, with bars as `line` does."""
        self._drawn(table, arch, self._plot(table, arch, "none"))

    def _plot(self, table, arch, dashes):
        """Draw marks, the line through them and their bars; return the line."""
        colour, marker = self._colour(arch), style.look(arch)[1]
        (line,) = self.axes.plot(
            table.x, table.y, linestyle=dashes, color=colour, alpha=self._alpha, marker=marker,
            fillstyle=FILLINGS[self._number(arch) % len(FILLINGS)], markerfacecoloralt="none",
            markerfacecolor="none" if self.variant else colour,
        )  # fmt: skip
        if "low" in table and (table.low < table.high).any():
            self._aside(table, arch, [line, *self._bars(table, colour)])
        return line

    def _bars(self, table, colour):
        between = self.axes.dataLim.intervalx.copy()
        ends = np.array([table.y - table.low, table.high - table.y])
        _, caps, bars = self.axes.errorbar(
            table.x, table.y, ends, fmt="none", ecolor=colour, alpha=self._alpha,
            elinewidth=0.7 * self.style["lines.linewidth"],
        )  # fmt: skip
        # Matplotlib rounds the x of bars on a log axis, which must not be as narrow as the error.
        self.axes.dataLim.intervalx = between
        return *caps, *bars

    def _aside(self, table, arch, artists):
        """Move marks with bars aside, in turn to the right and left, from others at their x."""
        earlier = sum(name == arch and not xs.isdisjoint(table.x) for name, xs in self._with_bars)
        self._with_bars.append((arch, set(table.x)))
        shift = SHIFT * ((earlier + 1) // 2) * (-1) ** (earlier + 1)
        if shift:
            self.note("Marks with bars at one place stand side by side.")
        for each in artists if shift else ():
            each.set_transform(offset_copy(self.axes.transData, self.figure, shift, units="points"))

    @_styled
    def dots(self, table, arch):
        """Draw an architecture's small dots at columns x and y; each is a run."""
        self.axes.scatter(
            table.x,
            table.y,
            s=5,
            alpha=0.5 * self._alpha,
            linewidths=0,
            color=self._colour(arch),
            rasterized=len(table) > MOST_VECTOR_DOTS,
        )
        self.record(table, arch)

    @_styled
    def curve(self, table, arch, dashes="-", step=False):
        """Draw an architecture's line through columns x and y; its points are not single runs.

        A line of one point is a mark. Columns low and high, if there are any, are drawn as a band.
        """
        if len(table) == 1:
            # All statistics of a single trial are equal.
            if self._named(arch) not in self._entries:
                self.entry(self._named(arch), self._plot(table, arch, "none"))
            return
        colour = self._colour(arch)
        drawstyle = "steps-post" if step else "default"
        (line,) = self.axes.plot(
            table.x, table.y, color=colour, alpha=self._alpha, drawstyle=drawstyle,
            linestyle=self._dashes(dashes), marker="",
        )  # fmt: skip
        if "low" in table:
            # A step lasts until the next one, and the last would have no width.
            rows = [table, table.tail(1).assign(x=table.x.iloc[-1] + 0.5)] if step else [table]
            band = pd.concat(rows)
            self.axes.fill_between(
                band.x, band.low, band.high, step="post" if step else None, color=colour,
                alpha=0.12 * self._alpha, linewidth=0,
            )  # fmt: skip
        self.entry(self._named(arch), line)

    @_styled
    def box(self, values, position, arch):
        """Draw quartiles, median, and whiskers of up to 1.5 interquartile ranges."""
        parts = self.axes.boxplot(
            values,
            positions=[position],
            widths=0.4 if self.is_faint else 0.6,
            showfliers=False,
            medianprops={"color": self.ink, "alpha": self._alpha},
        )
        for name in ("boxes", "whiskers", "caps"):
            for part in parts[name]:
                part.set(color=self._colour(arch), alpha=self._alpha)

    @_styled
    def theory(self, x, y, label):
        """Draw a theoretical line, which has no runs behind it."""
        style = {"color": self.ink, "linewidth": 1, "linestyle": (0, (1, 1)), "zorder": 0}
        (line,) = self.axes.plot(x, y, marker="", **style)
        self.entry(label, line)

    @_styled
    def level(self, y, label):
        """Draw a horizontal line across the axes, such as the chance loss, with its name."""
        self.axes.axhline(y, color=self.ink, linewidth=0.8, zorder=0)
        self.axes.annotate(
            label, (1, y), (3, 0), xycoords=self.axes.get_yaxis_transform(), va="center",
            textcoords="offset points", fontsize=self.style["legend.fontsize"], color=self.ink,
        )  # fmt: skip

    @_styled
    def above(self, x, text, align="center"):
        """Write a small text above the axes."""
        self.axes.annotate(
            text, (x, 1), (0, 2), xycoords=self.axes.get_xaxis_transform(), ha=align,
            textcoords="offset points", fontsize=self.style["legend.fontsize"], color=self.ink,
        )  # fmt: skip

    @_styled
    def categories(self, archs, with_y=False):
        """Name architectures at 0, 1, ... of the x axis, slanted if they are long, or of both."""
        names = [printable(label(arch)) for arch in archs]
        is_long = len(names) * max(map(len, names)) > MOST_LETTERS
        slant = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if is_long else {}
        self.axes.set_xticks(range(len(names)), names, **slant)
        if with_y:
            self.axes.set_yticks(range(len(names)), names)

    @_styled
    def whole_numbers(self, places=None):
        """Label the x axis with whole numbers: those given, or a few."""
        if places is not None:
            self.axes.set_xticks(places)
        else:
            self.axes.xaxis.get_major_locator().set_params(integer=True)

    @_styled
    def key(self, label, dashes):
        """Explains dashes in the key."""
        (line,) = self.axes.plot([], [], linestyle=dashes, color=self.ink, marker="")
        self.entry(label, line)

    def note(self, sentence):
        """Add a sentence to the caption, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def record(self, table, arch):
        """Add the runs of a table to the points, at columns x and y."""
        self._points.append(table.assign(arch=arch)[_POINT].reset_index(drop=True))

    def entry(self, label, artist):
        """Add an entry to the key unless there is one with this label."""
        self._entries.setdefault(label, artist)

    def _number(self, arch):
        """Number of the group among those of an architecture."""
        known = self._groups.setdefault(arch, [])
        group = (self.variant if self.dashes_differ else "", self.group)
        if group not in known:
            known.append(group)
        return known.index(group)

    def _colour(self, arch):
        return style.shade(style.look(arch)[0], self._number(arch))

    @property
    def _alpha(self):
        return 0.35 if self.is_faint else 1.0

    def _dashes(self, dashes):
        if not self.variant or self.dashes_differ:
            return dashes
        if self.variant not in self._variants:
            self._variants.append(self.variant)
        return VARIANTS[self._variants.index(self.variant) % len(VARIANTS)]

    def _drawn(self, table, arch, artist):
        self.entry(self._named(arch), artist)
        self.record(table, arch)

    def _named(self, arch):
        parts = label(arch), self.variant, self.group, "published" if self.is_faint else ""
        return of_legend(", ".join(part for part in parts if part))

    @_styled
    def picture(self, kind: str, name: str) -> bytes:
        """The figure as a file: "pdf" and "svg" without a background, "png" on white.

        A PNG has 256 colours. `name` seeds the ids of an SVG. Equal figures give equal bytes.
        """
        if (kind, name) not in self._pictures:  # The page and the file have the same picture.
            file = io.BytesIO()
            self._lay_out()
            with rc_context({"svg.hashsalt": name}):
                self.figure.savefig(
                    file, format=kind, transparent=kind != "png", metadata=METADATA[kind]
                )
            content = file.getvalue()
            self._pictures[kind, name] = _with_palette(content) if kind == "png" else content
        return self._pictures[kind, name]

    def svg(self, name: str) -> str:
        """The figure as SVG."""
        return self.picture("svg", name).decode()

    @_styled
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
        """Label log axes, place the key and position the axes, once all marks are drawn.

        An axis with no value above 0 becomes linear.
        """
        if self._is_laid_out:
            return
        for axis in (self.axes.xaxis, self.axes.yaxis):
            if axis.get_scale() == "log" and not np.isfinite(axis.get_minpos()):
                axis.axes.set(**{f"{axis.axis_name}scale": "linear"})  # no value is above 0
        for axis, limits in (
            (self.axes.xaxis, self.axes.get_xlim()),
            (self.axes.yaxis, self.axes.get_ylim()),
        ):
            if axis.get_scale() == "log":
                ticks.label(axis, *limits)
        self.figure.draw_without_rendering()
        if self._entries and not keys.place_inside(self.axes, self._entries, self.ink):
            keys.place_above(self.figure, self._entries, self.ink)
            self.figure.draw_without_rendering()
        # Otherwise each drawing would position the axes anew, which takes twice as long.
        self.figure.set_layout_engine("none")
        self._is_laid_out = True


def _with_palette(png: bytes) -> bytes:
    """Return a PNG without transparency, in 256 colours, which takes a third of the bytes."""
    picture, file = Image.open(io.BytesIO(png)), io.BytesIO()
    few = picture.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(file, "png", optimize=True, dpi=picture.info["dpi"])
    return file.getvalue()


def dashes_of(depth: int) -> Any:
    """Dashes of the lines of a depth."""
    return DASHES.get(depth, OTHER_DEPTH)
