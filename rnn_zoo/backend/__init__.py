"""Backend primitives beyond `keras.ops`: loops, gradients, compilation.

Each module defines the primitives that `tensorflow.py` documents, and is the only one to import
its backend. `generic.py` has those that run a cell over time, for every other Keras backend.
"""

import importlib
from types import ModuleType

import keras

#: Backends that have all primitives, so that they can train.
COMPLETE = ("tensorflow", "jax")


def current() -> ModuleType:
    """Import the primitives of Keras's backend."""
    name = keras.backend.backend()
    return importlib.import_module(f"{__name__}.{name if name in COMPLETE else 'generic'}")
