"""Names on the command line, and the modules that a user imports by naming them.

Modules are imported because a user names them: by `import` in Python, or on a command line. A file
can only name what is registered; see `rnn_zoo.names`.
"""

import contextlib
import functools
import hashlib
import importlib
import importlib.util
import os
import pathlib
import sys
import traceback
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from rnn_zoo import names
from trainer import lean, stderr
from trainer.errors import UserError
from trainer.storage.files import read_bytes

#: Fields whose values may be dotted names.
_FIELDS = ("task", "arch", "optimizer")
#: Modules that a user named, in order.
_named: dict[str, None] = {}
#: Directories that are only looked at; see `look_at`.
_looked_at: list[pathlib.Path] = []


def find(kind: str, name: Any, table: Mapping[str, Any], register: str) -> str:
    """Return a name that is in a table; arguments as for `rnn_zoo.names.find`.

    Raises:
        UserError: the name is unknown.
    """
    try:
        return names.find(kind, name, table, register)
    except ValueError as error:
        home = names.home_of(name)
        option = "" if home in sys.modules else f"; commands take --import={home or 'MODULE'}"
        raise UserError(f"{error}{option}") from None


def load(modules: Iterable[str]) -> None:
    """Import modules that the user names, each package before what it contains.

    Raises:
        UserError: a module does not exist, lies in a directory that is only looked at, or raises
            an exception; the message says where.
    """
    for module in modules:
        parts = module.split(".")
        # It may import Keras, which logs while it starts.
        with stderr.hidden(), lean.keras_without("sklearn", "pandas", "matplotlib"):
            for end in range(1, len(parts) + 1):
                _load(".".join(parts[:end]))
        _named[module] = None


def load_named(fields: Mapping[str, Any]) -> None:
    """Import the modules of the dotted names among fields that the user sets.

    Args:
        fields: fields of `TrainConfig` and `StudyConfig`; a field may have a list of choices.

    Raises:
        UserError: as for `load`.
    """
    for name in _dotted(fields):
        try:
            load([names.home_of(name)])
        except UserError as error:
            raise UserError(f"{name!r}: {error}") from None


def check_imported(several: Iterable[Mapping[str, Any]]) -> None:
    """Check that the modules of dotted names were imported, unless it is a single one.

    The error of a single unknown name, of `find`, lists the choices.

    Args:
        several: dicts of fields, as for `load_named`.

    Raises:
        UserError: more modules are missing; the message has all of them.
    """
    unknown = {name: names.home_of(name) for fields in several for name in _dotted(fields)}
    unknown = {name: home for name, home in unknown.items() if home not in sys.modules}
    if len(modules := sorted({*unknown.values()})) > 1:
        options = " ".join(f"--import={module}" for module in modules)
        raise UserError(
            f"unknown {', '.join(map(repr, unknown))}; they are known after `import "
            f"{', '.join(modules)}`; commands take {options}"
        )


def _dotted(fields):
    """Yield the dotted names among fields, which may be lists of choices."""
    ranges = fields.get("ranges")
    given = [fields.get(name) for name in _FIELDS]
    given.append(ranges.get("optimizer") if isinstance(ranges, Mapping) else None)
    for value in given:
        choices = value if isinstance(value, (list, tuple)) else [value]
        yield from (name for name in choices if names.home_of(name))


def code_of(fields: Mapping[str, Any]) -> dict[str, str]:
    """Return the versions of the modules that define the user's task, cell and optimizer.

    Args:
        fields: fields of `TrainConfig`.

    Returns:
        Module -> the first 8 digits of its file's SHA-256. Those without a file, as in a notebook,
        are left out.
    """
    found: dict[str, str] = {}
    for home in map(names.home_of, _dotted(fields)):
        path = getattr(sys.modules.get(home), "__file__", None)
        with contextlib.suppress(OSError):
            found |= {home: _digest(path)} if path else {}
    return found


def edited(code: Mapping[str, str | None], fields: Mapping[str, Any]) -> str:
    """Say which modules were edited after a run, if any was.

    Args:
        code: their versions then, `RunRecord.code`; those without one are left out.
        fields: the run's configuration.
    """
    now = code_of(fields)
    changed = [
        f"{name} ({code[name]}, now {now[name]})"
        for name in now
        if code.get(name) and code[name] != now[name]
    ]
    return f"edited after that run: {', '.join(changed)}" if changed else ""


@functools.cache
def _digest(path):
    return hashlib.sha256(read_bytes(path)).hexdigest()[:8]


def loaded() -> list[str]:
    """Return the modules that another process must import to know the names of this one.

    Those of a script also run its top level there, and so know the names registered in it.
    """
    modules = dict.fromkeys([*names.homes(), *_named])
    return [module for module in modules if module in sys.modules]


class Known(NamedTuple):
    """What another process needs to know names as this one does; see `known` and `adopt`.

    Attributes:
        modules: modules to import, as from `loaded`.
        looked_at: directories that are only looked at.
    """

    modules: list[str]
    looked_at: list[str]


def known() -> Known:
    """Return what this process knows."""
    return Known(loaded(), [os.path.abspath(each) for each in _looked_at])


def adopt(known: Known) -> None:
    """Import the modules that another process knows, and only looks at what it looks at."""
    _looked_at[:] = map(pathlib.Path, known.looked_at)
    load(known.modules)


def look_at(directories: Iterable[str | os.PathLike]) -> None:
    """Set the directories that are only looked at: `load` refuses modules in and below them.

    They include the study that a trial belongs to, and the sweep of a study.
    """
    _looked_at[:] = [place for each in directories for place in _with_owners(pathlib.Path(each))]


def _with_owners(path):
    """Yield a directory, and the study and the sweep that it is in."""
    yield path
    for place in _places(path):
        # SWEEP/studies/STUDY/TRIAL
        for parent in place.parents[:3]:
            if any((parent / name).exists() for name in ("study.json", "sweep.json")):
                yield parent


def is_looked_at(path: str | os.PathLike) -> bool:
    """Return whether a path is in or below a directory that is only looked at."""
    return any(
        place.is_relative_to(directory)
        for place in _places(path)
        for each in _looked_at
        for directory in _places(each)
    )


def _places(path):
    """Return a path as it is written, and without links."""
    # Before Python 3.13, Path.resolve raises an error for links to one another.
    return [pathlib.Path(each(path)) for each in (os.path.abspath, os.path.realpath)]


def _load(name):
    if name in sys.modules:
        return
    spec = None
    if name.rpartition(".")[2].isidentifier():
        # Of a name within a module that is not a package.
        with contextlib.suppress(ModuleNotFoundError):
            spec = importlib.util.find_spec(name)
    if spec is None:
        raise UserError(f"there is no module {name!r} on Python's path")
    for place in (spec.has_location and spec.origin, *(spec.submodule_search_locations or ())):
        if place and is_looked_at(place):
            raise UserError(
                f"the module {name!r} is not imported, as it lies in a directory that this command "
                f"only looks at ({place}); if you trust it, move it elsewhere"
            )
    try:
        importlib.import_module(name)
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise UserError(
            f"the module {name!r} cannot be imported: {type(error).__name__}: {error} "
            f"({place.filename}, line {place.lineno})"
        ) from error
