"""Backend primitives beyond `keras.ops`: loops, gradients, compilation.

Each module implements the primitives documented in `tensorflow.py`; no other module of `rnn_zoo`
imports its backend. `generic.py` serves all other Keras backends, with only the primitives that run
a cell over time.
"""

import importlib
from types import ModuleType

import keras

#: Backends with all primitives, as training needs.
COMPLETE = ("tensorflow", "jax")


def current() -> ModuleType:
    """Import the primitives of Keras's backend."""
    name = keras.backend.backend()
    return importlib.import_module(f"{__name__}.{name if name in COMPLETE else 'generic'}")
