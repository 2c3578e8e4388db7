"""Style of figures: a Matplotlib style file, and the colour and marker of each architecture."""

import importlib.resources
import os
import pathlib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from matplotlib import rc_params_from_file, rcParams
from matplotlib.colors import to_hex

from trainer.errors import UserError
from tuning.report.paper import ARCHS

#: Key of Matplotlib's rcParams -> value.
Style = dict[Any, Any]
#: Keys of the colours of text and axes, which the page replaces with its own.
INKS = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")


def read(path: str | os.PathLike | None = None) -> Style:
    """Reads the report's style, with the keys of a style file of the user's in their place.

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


_current: Style = read()


def current() -> Style:
    """The style of charts made now."""
    return _current


@contextmanager
def using(path: str | os.PathLike | None) -> Iterator[None]:
    """Makes charts in the style of a file within a `with` block."""
    global _current  # noqa: PLW0603 - as Matplotlib's own style is
    before = _current
    _current = read(path)
    try:
        yield
    finally:
        _current = before


def look(arch: str) -> tuple[str, str]:
    """Colour and marker of an architecture, which follow from its name alone.

    The paper's architectures have the first of the style's property cycle. Any other name is hashed
    into the rest, so it looks the same in every report.
    """
    cycle = read()["axes.prop_cycle"].by_key() | current()["axes.prop_cycle"].by_key()
    hashed = zlib.crc32(arch.encode())
    return _pick(cycle["color"], arch, hashed & 0xFFFF), _pick(cycle["marker"], arch, hashed >> 16)


def _pick(values, arch, hashed):
    if arch in ARCHS:
        return values[ARCHS.index(arch) % len(values)]
    others = values[len(ARCHS) :] or values
    return others[hashed % len(others)]
