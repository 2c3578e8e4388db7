"""Style of figures: a Matplotlib style file, and the colour and marker of each architecture."""

import importlib.resources
import os
import pathlib
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from matplotlib import rc_params_from_file, rcParams
from matplotlib.colors import to_hex, to_rgb

from trainer.errors import UserError
from tuning.report.paper import ARCHS, in_order

#: Key of Matplotlib's rcParams -> value.
Style = dict[Any, Any]
#: Keys of the colours of text and axes, which the page replaces with its own.
INKS = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")


def read(path: str | os.PathLike | None = None) -> Style:
    """Read the report's style, with the keys of a style file of the user's in their place.

    Raises:
        UserError: the file cannot be read, or has an unknown key or a bad value.
    """
    shipped = importlib.resources.files("tuning.report") / "assets" / "figures.mplstyle"
    with importlib.resources.as_file(shipped) as file:
        found = _parse(file)
    found = found if path is None else found | _parse(path)
    # An SVG leaves out pure black, which the page could not replace.
    return found | {key: to_hex(found[key]).replace("#000000", "#000001") for key in INKS}


def _parse(path):
    try:
        lines = pathlib.Path(path).read_text().splitlines()
        keys = {line.partition(":")[0].strip() for line in lines if line.partition("#")[0].strip()}
        if unknown := sorted(keys.difference(rcParams)):
            raise ValueError(f"unknown key {', '.join(unknown)}")
        return dict(rc_params_from_file(path, fail_on_error=True, use_default_template=False))
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"cannot use {path} as a Matplotlib style file: {reason}") from None


#: Colour and marker.
Look = tuple[str, str]

#: Mixtures of a colour with white, or with black if negative.
_SHADES = (0, 0.45, -0.4, 0.7, -0.65, 0.25)

_current: Style = read()
_looks: dict[str, Look] = {}


def current() -> Style:
    """The style of charts made now."""
    return _current


@contextmanager
def using(path: str | os.PathLike | None, archs: Iterable[str] = ()) -> Iterator[None]:
    """Make charts in the style of a file, and give these architectures different looks.

    Both hold within a `with` block.
    """
    global _current, _looks  # noqa: PLW0603 - as Matplotlib's own style is
    before = _current, _looks
    _current = read(path)
    _looks = looks(archs)
    try:
        yield
    finally:
        _current, _looks = before


def look(arch: str) -> Look:
    """Colour and marker of an architecture, as in `looks` of those given to `using`."""
    return _looks.get(arch) or looks([arch])[arch]


def shade(colour: str, number: int) -> str:
    """Colour of the group with this number, from 0: the colour itself, then lighter and darker."""
    part = _SHADES[number % len(_SHADES)]
    if not part:
        return colour
    target = 1 if part > 0 else 0
    red, green, blue = (each + abs(part) * (target - each) for each in to_rgb(colour))
    return to_hex((red, green, blue))


def looks(archs: Iterable[str]) -> dict[str, Look]:
    """Choose the colour and marker of each architecture.

    The paper's architectures have the first of the style's property cycle. Any other name has the
    look to which its hash points, the same in every report, unless a name before it in the alphabet
    has that look or its colour. It then has the next of the least used colours. Lines without
    markers thus differ up to eight other names, and looks up to 64.
    """
    cycle = read()["axes.prop_cycle"].by_key() | current()["axes.prop_cycle"].by_key()
    found: dict[str, Look] = {}
    for arch in in_order(archs):
        taken = Counter(found.values())
        colours = Counter(colour for colour, _ in found.values())
        found[arch] = min(
            _candidates(arch, cycle["color"], cycle["marker"]),
            key=lambda each: (taken[each], colours[each[0]]),
        )
    return found


def _candidates(arch, colours, markers):
    """Return the possible looks of an architecture, the preferred one first."""
    if arch in ARCHS:
        first = ARCHS.index(arch)
        return [(colours[first % len(colours)], markers[first % len(markers)])]
    hashed = zlib.crc32(arch.encode())
    colours = _rotated(colours[len(ARCHS) :] or colours, hashed & 0xFFFF)
    markers = _rotated(markers[len(ARCHS) :] or markers, hashed >> 16)
    return [(colour, marker) for marker in markers for colour in colours]


def _rotated(values, first):
    first %= len(values)
    return values[first:] + values[:first]
