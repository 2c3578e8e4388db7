"""`keras.ops`, imported on first use, so that listing the tasks does not start a backend."""

from typing import Any


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    from keras import ops

    return getattr(ops, name)
