"""PyTorch's own functions in place of `keras.ops`, for a step that runs thousands of times.

Keras checks and converts the arguments of every call, which takes as long as an operation on the
states of a small batch. Functions that are not defined here are those of `keras.ops`.
"""

from collections.abc import Callable
from typing import Any

import keras
import torch

Tensor = Any

#: Functions with the same name and arguments in PyTorch, for tensors.
_SHARED = (
    "absolute cos exp expm1 log log1p logical_and logical_not logical_or negative relu sigmoid "
    "sign sin sqrt square tanh where"
)
globals().update({name: getattr(torch, name) for name in _SHARED.split()})


def linear(x: Tensor) -> Tensor:
    return x


def expand_dims(x: Tensor, axis: int) -> Tensor:
    return x.unsqueeze(axis)


def split(x: Tensor, sections: int, axis: int) -> tuple[Tensor, ...]:
    return x.chunk(sections, axis)


def __getattr__(name: str) -> Callable:
    if name.startswith("__"):
        raise AttributeError(name)
    return getattr(keras.ops, name)


def equivalent(function: Callable) -> Callable:
    """Return PyTorch's equivalent of a function of tensors, or the function itself.

    Args:
        function: a function of `keras.ops` or `keras.activations`, or any other callable.
    """
    name = getattr(function, "__name__", "")
    namesakes = [getattr(home, name, None) for home in (keras.ops, keras.activations)]
    return globals()[name] if name in globals() and function in namesakes else function
