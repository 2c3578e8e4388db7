"""Names of registered cells, tasks and optimizers.

Files can only name what is registered: reading a record or a preset never imports a module.
"""

import re
import sys
from collections.abc import Mapping
from typing import Any

#: A registered name; that of the intersection RNN, +rnn, has a sign.
_NAME = re.compile(r"\+?\w+(\.\w+)*", re.ASCII)
#: Modules of the registered names, in order.
_homes: dict[str, None] = {}


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
    home, way_out = home_of(name), f"to add one see {register}"
    if home in sys.modules:
        way_out = f"the module {home!r} does not register it"
    elif home:
        way_out = f"a custom one is known after `import {home}`"
    raise ValueError(f"unknown {kind} {name!r}; choose one of {', '.join(table)}; {way_out}")


def is_name(name: Any) -> bool:
    """Return whether something may be the name of a cell, a task or an optimizer."""
    return isinstance(name, str) and len(name) <= 100 and bool(_NAME.fullmatch(name))


def home_of(name: Any) -> str:
    """Return the module that registers a dotted name, "my_cells" of "my_cells.leaky", or ""."""
    home = name.rpartition(".")[0] if isinstance(name, str) else ""
    return home if all(part.isidentifier() for part in home.split(".")) else ""


def homes() -> list[str]:
    """Return the modules of the dotted names that were registered, in order."""
    return list(_homes)


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
    if held is not None and _definition(held) != _definition(entry):
        raise ValueError(f"the name {name!r} is taken by {_definition(held)}; choose another")
    if home := home_of(name):
        _homes[home] = None


def _definition(entry):
    return f"{entry.__module__}.{entry.__qualname__}"
