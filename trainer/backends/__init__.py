"""What the trainer asks of a backend beyond `keras.ops`: gradients, and compiled loops."""

import contextlib
import importlib

import keras

from trainer.errors import UserError

COMPILING = ("tensorflow", "jax")


def eager():
    """A context whose operations run at once, even inside a function that is being compiled."""
    return current().eager() if keras.backend.backend() in COMPILING else contextlib.nullcontext()


def current():
    """The module of Keras's backend, with `value_and_grad`, `compile` and `compile_loop`.

    Raises:
        UserError: the backend can run the cells but has no compiled loop here.
    """
    name = keras.backend.backend()
    if name not in COMPILING:
        raise UserError(
            f"the trainer cannot compile for KERAS_BACKEND={name}; use tensorflow or jax"
        )
    return importlib.import_module(f"trainer.backends.{name}")
