"""What the trainer asks of a backend beyond `keras.ops`: gradients, and compiled loops."""

import importlib

import keras

from trainer.errors import UserError


def current():
    """The module of Keras's backend; `tensorflow.py` says what each has.

    Raises:
        UserError: the backend can run the cells, but not the tasks and the trainer.
    """
    name = keras.backend.backend()
    if name not in ("tensorflow", "jax"):
        raise UserError(
            f"tasks and trainer do not run on KERAS_BACKEND={name}; use tensorflow or jax"
        )
    return importlib.import_module(f"trainer.backends.{name}")
