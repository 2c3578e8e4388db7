"""Names of registered cells, tasks and optimizers, and dotted names that import their module."""

import importlib
import re
import traceback
from collections.abc import Mapping
from typing import Any


def find(kind: str, name: Any, table: Mapping[str, Any], register: str) -> str:
    """Return a name that is in a table.

    An unknown dotted name such as "my_cells.leaky" is looked up by importing the module before its
    last dot, which must register it. So any process can find it by its name alone.

    Args:
        kind: description of the entries, for messages.
        name: the name.
        table: name -> entry.
        register: name of the function that adds an entry, for messages.

    Raises:
        ValueError: the name is unknown, or its module cannot be imported.
    """
    known = isinstance(name, str)
    if known and name in table:
        return name
    hint = f"to add one see {register}"
    if known and "." in name:
        hint = _import_home(kind, name)
    if not known or name not in table:
        raise ValueError(f"unknown {kind} {name!r}; choose one of {', '.join(table)}; {hint}")
    return name


def _import_home(kind, name):
    """Import the module of a dotted name; return a hint in case the name stays unknown.

    Raises:
        ValueError: the module raises; the message says where.
    """
    home = name.rpartition(".")[0]
    if not all(part.isidentifier() for part in home.split(".")):
        return f"{home!r} is not the name of a module"
    try:
        importlib.import_module(home)
    except Exception as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name
        if missing and f"{home}.".startswith(f"{missing}."):
            return f"there is no module {missing!r} on Python's path"
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise ValueError(
            f"the module {home!r} of {kind} {name!r} cannot be imported: "
            f"{type(error).__name__}: {error} ({place.filename}, line {place.lineno})"
        ) from error
    return f"the module {home!r} does not register it"


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
    if not (isinstance(name, str) and re.fullmatch(r"\w+(\.\w+)*", name, re.ASCII)):
        raise ValueError(
            f"{kind} names are letters, digits and underscores, with dots after a module's name; "
            f"got {name!r}"
        )
    if held is not None and _home(held) != _home(entry):
        raise ValueError(f"the name {name!r} is taken by {_home(held)}; choose another")


def _home(entry):
    return f"{entry.__module__}.{entry.__qualname__}"
