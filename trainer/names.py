"""Names of cells, tasks and optimizers that users give."""

import contextlib
from collections.abc import Mapping
from typing import Any

from rnn_zoo import names
from trainer import stderr
from trainer.errors import user_errors


def find(kind: str, name: Any, table: Mapping[str, Any], register: str) -> str:
    """Returns a name that is in a table, after importing the module of a dotted one.

    Arguments are those of `rnn_zoo.names.find`.

    Raises:
        UserError: the name is unknown, or its module cannot be imported.
    """
    imports = isinstance(name, str) and "." in name and name not in table
    # The module may import Keras, which logs while it starts.
    with stderr.hidden() if imports else contextlib.nullcontext(), user_errors():
        return names.find(kind, name, table, register)
