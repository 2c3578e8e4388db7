"""Backend primitives beyond `keras.ops`: loops, gradients, compilation.

Each module implements the primitives documented in `tensorflow.py`; no other module of `rnn_zoo`
imports its backend. `torch.py` and `generic.py`, for all other Keras backends, have only the
primitives that run a cell over time.
"""

import importlib
from types import ModuleType

#: Backends with all primitives, as training needs.
COMPLETE = ("tensorflow", "jax")
_MODULES = (*COMPLETE, "torch")


def current() -> ModuleType:
    """Import the primitives of Keras's backend."""
    import keras  # imported here because commands check the backend's name before it starts

    name = keras.backend.backend()
    return importlib.import_module(f"{__name__}.{name if name in _MODULES else 'generic'}")
