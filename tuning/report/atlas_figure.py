"""The atlas as one picture: bits per parameter against ease of training, with the cells' names."""

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.text import Text

from rnn_zoo.architectures import ARCHITECTURES
from tuning.report import style
from tuning.report.atlas import LEARNS
from tuning.report.chart import Chart
from tuning.report.paper import LABELS

CAPTION = (
    "Ease of training is the share of trials with random hyperparameters that learn. Stored bits "
    "are those of the median seed's best trial, and lines span the seeds. Cells of the paper are "
    "in colour, and marks of cells with a forget gate are filled. The table has both numbers with "
    "their intervals."
)
#: Size of the picture in inches, for some fifty names.
SIZE = (7.2, 5.4)
#: Places of a name around its mark, in points, the preferred one first; further ones have a line.
_PLACES = [
    (radius * np.cos(angle), radius * np.sin(angle))
    for radius in (6, 13, 22, 34, 48)
    for angle in np.pi * np.array([0, 1, 0.25, -0.25, 0.75, -0.75, 0.5, -0.5])
]
#: Distance from which a line connects a name with its mark, in points.
_FAR = 10


def draw(cells: pd.DataFrame, bits: str) -> Chart | None:
    """Draw the cells of `Atlas.table` that have both numbers; return None if there are none.

    The paper's cells have their own colours. Marks are filled for cells with a forget gate.

    Args:
        cells: the table.
        bits: heading of the column of stored bits.
    """
    shown = cells[cells[bits].notna() & cells[LEARNS].notna()]
    shown = shown[[not np.isnan(each.value) for each in shown[bits]]]
    if not len(shown):
        return None
    chart = Chart(LEARNS, bits)
    x = np.array([each.value for each in shown[LEARNS]])
    y, low, high = np.array([each[:3] for each in shown[bits]]).T
    with rc_context(chart.style):
        chart.figure.set_size_inches(SIZE)
        for arch, *place, bottom, top in zip(shown.index, x, y, low, high, strict=True):
            _mark(chart, arch, place, bottom, top)
        for is_gated, words in ((True, "with a forget gate"), (False, "without one")):
            (mark,) = chart.axes.plot([], [], "o", color=chart.ink, fillstyle=_filling(is_gated))
            chart.entry(words, mark)
        chart.axes.margins(0.09)
        chart.axes.set_ylim(bottom=min(0, chart.axes.get_ylim()[0]))
        chart.figure.draw_without_rendering()
        _name(chart, list(shown.index), np.column_stack([x, y]))
    return chart


def _filling(is_gated):
    return "full" if is_gated else "none"


def _colour(chart, arch):
    return style.look(arch)[0] if arch in LABELS else chart.ink


def _mark(chart, arch, place, low, high):
    known = ARCHITECTURES.get(arch)  # a custom cell is not
    colour, is_gated = _colour(chart, arch), bool(known and known.forget_gates)
    chart.axes.vlines(place[0], low, high, color=colour, linewidth=0.7, alpha=0.5)
    chart.axes.plot(*place, "o", color=colour, fillstyle=_filling(is_gated))


def _name(chart, archs, places):
    """Write each name at the place around its mark that covers the least of marks and names."""
    scale = chart.figure.dpi / 72
    marks = chart.axes.transData.transform(places)
    taken = np.hstack([marks - 3 * scale, marks + 3 * scale]).tolist()
    frame = chart.axes.get_window_extent().extents.tolist()
    # From top to bottom, so that names go around those above.
    for i in np.argsort(-marks[:, 1]):
        colour = _colour(chart, archs[i])
        text = chart.axes.annotate(
            LABELS.get(archs[i], archs[i]), places[i], (0, 0), textcoords="offset points",
            fontsize=chart.style["legend.fontsize"], color=colour, va="center",
            arrowprops={"arrowstyle": "-", "linewidth": 0.4, "color": colour, "alpha": 0},
        )  # fmt: skip
        size = Text.get_window_extent(text)  # without its line
        boxes = [_box(marks[i], np.multiply(each, scale), size) for each in _PLACES]
        costs = [
            sum(_overlap(box, each) for each in taken) + 10 * _outside(box, frame) for box in boxes
        ]
        best = int(np.argmin(np.add(costs, 1e-3 * np.arange(len(costs)))))
        text.set_position(_PLACES[best])
        text.set_ha(_side(_PLACES[best][0]))
        text.arrow_patch.set_alpha(0.6 if np.hypot(*_PLACES[best]) > _FAR else 0)
        taken.append(boxes[best])


def _side(offset):
    return "left" if offset > 1 else "right" if offset < -1 else "center"


def _box(mark, offset, size):
    """Extent (left, bottom, right, top) of a name at an offset from its mark."""
    left = {"left": 0, "right": size.width, "center": size.width / 2}[_side(offset[0])]
    x, y = mark + offset
    return x - left, y - size.height / 2, x - left + size.width, y + size.height / 2


def _overlap(first, second):
    """Area that two boxes (left, bottom, right, top) share."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    return max(width, 0) * max(height, 0)


def _outside(box, frame):
    return _overlap(box, box) - _overlap(box, frame)
