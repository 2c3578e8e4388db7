"""The backend's primitives, for the trainer."""

from types import ModuleType

import keras

from rnn_zoo import backend
from trainer.errors import UserError


def current() -> ModuleType:
    """Return the primitives of Keras's backend.

    Raises:
        UserError: the backend runs cells, but neither tasks nor the trainer.
    """
    name = keras.backend.backend()
    if name not in backend.COMPLETE:
        raise UserError(
            f"tasks and trainer do not run on KERAS_BACKEND={name}; "
            f"use {' or '.join(backend.COMPLETE)}"
        )
    return backend.current()
