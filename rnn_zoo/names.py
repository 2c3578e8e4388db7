"""Names of registered cells, tasks and optimizers.

Files can only name what is registered: reading a run's record or a preset never imports a module.
Modules are imported because a user names them: by `import` in Python, or on a command line.
"""

import contextlib
import importlib
import importlib.util
import os
import pathlib
import re
import sys
import traceback
from collections.abc import Iterable, Mapping
from typing import Any

#: A registered name; that of the intersection RNN, +rnn, has a sign.
_NAME = re.compile(r"\+?\w+(\.\w+)*", re.ASCII)
#: Modules that registered something or that a user named, in order.
_modules: dict[str, None] = {}
#: Directories that are only looked at; see `look_at`.
_looked_at: list[pathlib.Path] = []


def find(kind: str, name: Any, table: Mapping[str, Any], register: str) -> str:
    """Return a name that is in a table; import nothing.

    Args:
        kind: description of the entries, for messages.
        name: the name.
        table: name -> entry.
        register: name of the function that adds an entry, for messages.

    Raises:
        ValueError: the name is unknown.
    """
    if isinstance(name, str) and name in table:
        return name
    home, way_out = home_of(name), f"to add one see {register} (in commands, --import=MODULE)"
    if home in sys.modules:
        way_out = f"the module {home!r} does not register it"
    elif home:
        way_out = f"a custom one is known after --import={home}, or `import {home}` in Python"
    raise ValueError(f"unknown {kind} {name!r}; choose one of {', '.join(table)}; {way_out}")


def is_name(name: Any) -> bool:
    """Return whether something may be the name of a cell, a task or an optimizer."""
    return isinstance(name, str) and len(name) <= 100 and bool(_NAME.fullmatch(name))


def home_of(name: Any) -> str:
    """Return the module that registers a dotted name, "my_cells" of "my_cells.leaky", or ""."""
    home = name.rpartition(".")[0] if isinstance(name, str) else ""
    return home if all(part.isidentifier() for part in home.split(".")) else ""


def load(modules: Iterable[str]) -> None:
    """Import modules that a user names, each package before what it contains.

    Raises:
        ValueError: a module does not exist, lies in a directory that is only looked at, or raises
            an exception; the message says where.
    """
    for module in modules:
        parts = module.split(".")
        for end in range(1, len(parts) + 1):
            _load(".".join(parts[:end]))
        _modules[module] = None


def loaded() -> list[str]:
    """Return the modules that another process has to import to know the names of this one."""
    return [module for module in _modules if module in sys.modules]


def look_at(directories: Iterable[str | os.PathLike]) -> None:
    """Set the directories that are only looked at: `load` refuses modules in and below them."""
    _looked_at[:] = [pathlib.Path(directory) for directory in directories]


def is_looked_at(path: str | os.PathLike) -> bool:
    """Return whether a path is in or below a directory that is only looked at."""
    places = [pathlib.Path(os.path.abspath(path)), pathlib.Path(path).resolve()]
    return any(
        place.is_relative_to(directory)
        for place in places
        for each in _looked_at
        for directory in (pathlib.Path(os.path.abspath(each)), each.resolve())
    )


def _load(name):
    if name in sys.modules:
        return
    spec = None
    if name.rpartition(".")[2].isidentifier():
        # Of a name within a module that is no package.
        with contextlib.suppress(ModuleNotFoundError):
            spec = importlib.util.find_spec(name)
    if spec is None:
        raise ValueError(f"there is no module {name!r} on Python's path")
    for place in (spec.has_location and spec.origin, *(spec.submodule_search_locations or ())):
        if place and is_looked_at(place):
            raise ValueError(
                f"the module {name!r} is not imported, as it lies in a directory that this command "
                f"only looks at ({place}); if you trust it, move it elsewhere"
            )
    try:
        importlib.import_module(name)
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise ValueError(
            f"the module {name!r} cannot be imported: {type(error).__name__}: {error} "
            f"({place.filename}, line {place.lineno})"
        ) from error


def check(kind: str, name: Any, entry: Any, held: Any = None) -> None:
    """Check a new name: letters, digits and underscores, with dots after a module's name.

    Args:
        kind: description of the entry, for messages.
        name: the name.
        entry: class or function to register.
        held: the one that has the name now, if any. It may be replaced by one of the same module
            and name, which helps in notebooks.

    Raises:
        ValueError: the name is malformed, or taken.
    """
    if not is_name(name) or name.startswith("+"):
        raise ValueError(
            f"{kind} names are letters, digits and underscores, with dots after a module's name; "
            f"got {name!r}"
        )
    if held is not None and _home(held) != _home(entry):
        raise ValueError(f"the name {name!r} is taken by {_home(held)}; choose another")
    _modules[home_of(name)] = None


def _home(entry):
    return f"{entry.__module__}.{entry.__qualname__}"
