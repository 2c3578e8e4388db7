"""The two things that the training program asks of a backend: gradients, and compiled loops."""

import importlib

import keras

from trainer.errors import UserError


def current():
    """The module of Keras's backend, with `value_and_grad`, `compile` and `compile_loop`.

    Raises:
        UserError: the backend can run the cells but has no compiled loop here.
    """
    name = keras.backend.backend()
    if name not in ("tensorflow", "jax"):
        raise UserError(
            f"the trainer cannot compile for KERAS_BACKEND={name}; use tensorflow or jax"
        )
    return importlib.import_module(f"trainer.backends.{name}")
