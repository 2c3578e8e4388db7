"""Names of cells, tasks and optimizers, with errors for the command line."""

from collections.abc import Iterable, Mapping
from typing import Any

from rnn_zoo import names
from rnn_zoo.names import loaded
from trainer import lean, stderr
from trainer.errors import UserError, user_errors

__all__ = ["find", "load", "load_named", "loaded"]

#: Fields whose values may be dotted names.
_FIELDS = ("task", "arch", "optimizer")


def find(kind: str, name: Any, table: Mapping[str, Any], register: str) -> str:
    """Returns a name that is in a table; arguments as for `rnn_zoo.names.find`.

    Raises:
        UserError: the name is unknown.
    """
    with user_errors():
        return names.find(kind, name, table, register)


def load(modules: Iterable[str]) -> None:
    """Imports modules that the user names; see `rnn_zoo.names.load`.

    Raises:
        UserError: one of them cannot be imported, or lies in a directory that is only looked at.
    """
    for module in modules:
        # It may import Keras, which logs while it starts.
        unused = lean.keras_without("sklearn", "pandas", "matplotlib")
        with stderr.hidden(), unused, user_errors():
            names.load([module])


def load_named(fields: Mapping[str, Any]) -> None:
    """Imports the modules of the dotted names among fields that the user sets.

    Args:
        fields: fields of `TrainConfig` and `StudyConfig`; a field may have a list of choices.

    Raises:
        UserError: as for `load`.
    """
    ranges = fields.get("ranges")
    given = [fields.get(name) for name in _FIELDS]
    given.append(ranges.get("optimizer") if isinstance(ranges, Mapping) else None)
    for value in given:
        for name in value if isinstance(value, (list, tuple)) else [value]:
            try:
                load(filter(None, [names.home_of(name)]))
            except UserError as error:
                raise UserError(f"{name!r}: {error}") from None
