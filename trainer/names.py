"""Names of cells, tasks and optimizers that users give."""

import contextlib
from collections.abc import Mapping
from typing import Any

from rnn_zoo import names
from trainer import lean, stderr
from trainer.errors import user_errors


def find(kind: str, name: Any, table: Mapping[str, Any], register: str) -> str:
    """Returns a name that is in a table, after importing the module of a dotted one.

    Arguments are those of `rnn_zoo.names.find`.

    Raises:
        UserError: the name is unknown, or its module cannot be imported.
    """
    with contextlib.ExitStack() as stack:
        if isinstance(name, str) and "." in name and name not in table:
            # The module may import Keras, which logs while it starts.
            stack.enter_context(stderr.hidden())
            stack.enter_context(lean.keras_without("sklearn", "pandas", "matplotlib"))
        stack.enter_context(user_errors())
        return names.find(kind, name, table, register)
