"""The backend's primitives, for the trainer."""

from types import ModuleType

from rnn_zoo import backend
from trainer.errors import UserError


def current() -> ModuleType:
    """Return the primitives of Keras's backend.

    Raises:
        UserError: as for `check`.
    """
    import keras  # imported here because commands check the backend's name before it starts

    check(keras.backend.backend())
    return backend.current()


def check(name: str) -> None:
    """Raise a `UserError` if a backend runs cells, but neither tasks nor the trainer."""
    if name not in backend.COMPLETE:
        raise UserError(
            f"tasks and trainer do not run on KERAS_BACKEND={name}; "
            f"use {' or '.join(backend.COMPLETE)}"
        )
