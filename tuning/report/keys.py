"""Placement of a figure's key: in an empty place of the axes, or else above them."""

import textwrap
from collections.abc import Mapping

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.path import Path

#: Place -> fraction of the free width on its left and of the free height below it.
_PLACES = {
    "upper right": np.array([1, 1]),
    "upper left": np.array([0, 1]),
    "lower right": np.array([1, 0]),
    "lower left": np.array([0, 0]),
    "center right": np.array([1, 0.5]),
    "center left": np.array([0, 0.5]),
    "upper center": np.array([0.5, 1]),
    "lower center": np.array([0.5, 0]),
    "center": np.array([0.5, 0.5]),
}
#: Largest width of a key in that of its place: texts are wider once they are drawn.
_WIDEST = 0.92
#: Columns of a key, and characters of its lines, if its entries do not fit in one column.
_NARROWER = ((1, 60), (1, 50), (1, 40), (1, 30), (1, 20))
#: Distance between the key and the nearest mark, in pixels.
_MARGIN = 6


def place_inside(axes: Axes, entries: Mapping[str, Artist], ink: str) -> bool:
    """Draw the key in an empty place of axes that are laid out; return whether there is one."""
    taken, frame = _taken(axes), axes.get_window_extent()
    for columns in (1, 2, 3):
        key = axes.legend(entries.values(), entries, ncols=columns, labelcolor=ink)
        box = key.get_window_extent()
        for place in _PLACES if box.width < _WIDEST * frame.width else ():
            if _is_free(place, box, frame, taken):
                key.set_loc(place)  # type: ignore[arg-type]  # a key of _PLACES
                return True
        key.remove()
    return False


def place_above(figure: Figure, entries: Mapping[str, Artist], ink: str) -> None:
    """Draw the key above the axes, in as many columns as fit; long entries take several lines."""
    longest = max(map(len, entries), default=0)
    for columns, characters in ((3, longest), (2, longest), (1, longest), *_NARROWER):
        for key in figure.legends:
            key.remove()
        key = figure.legend(
            handles=list(entries.values()),
            labels=[textwrap.fill(text, characters, subsequent_indent="   ") for text in entries],
            loc="outside upper center",
            ncols=columns,
            labelcolor=ink,
        )
        if key.get_window_extent().width <= _WIDEST * figure.bbox.width:
            break
    # A tall key leaves the axes their height.
    if (more := key.get_window_extent().height - figure.bbox.height / 3) > 0:
        figure.set_figheight(figure.get_figheight() + more / figure.dpi)


def _is_free(place, box, frame, taken):
    """Whether a key of the size of `box` covers nothing at a place of the axes."""
    size = np.array([box.width, box.height]) + 2 * _MARGIN
    low = frame.min + _PLACES[place] * (frame.size - size)
    inside = (taken >= low) & (taken <= low + size)
    return not inside.all(axis=1).any()


def _taken(axes):
    """Pixels that marks, lines and text cover, as an (n, 2) array."""
    found = [np.empty((0, 2))]
    for line in axes.lines:
        places = line.get_xydata()
        if line.get_drawstyle() == "steps-post":
            places = np.repeat(places, 2, axis=0)
            places = np.column_stack([places[1:, 0], places[:-1, 1]])
        found.append(_filled(line.get_transform().transform(places)))
    for collection in axes.collections:
        if isinstance(collection, PathCollection):
            found.append(axes.transData.transform(collection.get_offsets()))
        else:
            found += [_filled(axes.transData.transform(p.vertices)) for p in collection.get_paths()]
    for text in axes.texts:
        found.append(text.get_window_extent().corners())
    places = np.concatenate(found)
    return places[np.isfinite(places).all(axis=1)]


def _filled(places):
    """Places along the lines between places."""
    return Path(places).interpolated(25).vertices if 1 < len(places) < 1000 else places
