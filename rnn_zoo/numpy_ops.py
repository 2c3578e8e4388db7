"""NumPy equivalents of `keras.ops`, for running a cell's `step` without the backend.

Functions of `keras.ops` that are not defined here run on the backend, at about 100 µs per call, and
their results are converted to NumPy arrays.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

try:  # optional, but several times faster on the few units of a step
    from scipy.special import expit as sigmoid
except ModuleNotFoundError:

    def sigmoid(x):
        return 0.5 * np.tanh(0.5 * x) + 0.5


Array = Any

#: Functions with the same name and arguments in NumPy.
_SHARED = (
    "absolute add cos divide equal exp expand_dims expm1 greater greater_equal less less_equal "
    "log log1p logical_and logical_not logical_or maximum mean minimum multiply negative "
    "not_equal ones_like power reshape shape sign sin sqrt square subtract sum tanh true_divide "
    "where zeros_like"
)
globals().update({name: getattr(np, name) for name in _SHARED.split()})


def clip(x: Array, x_min: float, x_max: float) -> Array:
    return np.maximum(np.minimum(x, x_max), x_min)


def elu(x: Array, alpha: float = 1.0) -> Array:
    return np.where(x > 0, x, alpha * np.expm1(x))


def leaky_relu(x: Array, negative_slope: float = 0.2) -> Array:
    return np.where(x > 0, x, negative_slope * x)


def linear(x: Array) -> Array:
    return x


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def silu(x: Array) -> Array:
    return x * sigmoid(x)


def softplus(x: Array) -> Array:
    return np.logaddexp(x, 0)


def softsign(x: Array) -> Array:
    return x / (1 + np.absolute(x))


def __getattr__(name: str) -> Callable:
    if name.startswith("__"):
        raise AttributeError(name)
    return _on_backend(getattr(keras.ops, name))


def equivalent(function: Callable) -> Callable:
    """Return the NumPy equivalent of a function of tensors, or a wrapper that calls the backend.

    Args:
        function: a function of `keras.ops` or `keras.activations`, or any other callable.
    """
    name = getattr(function, "__name__", "")
    namesakes = [getattr(home, name, None) for home in (keras.ops, keras.activations)]
    known = name in globals() and function in namesakes
    return globals()[name] if known else _on_backend(function)


def _on_backend(function):
    def call(*args, **options):
        return keras.tree.map_structure(keras.ops.convert_to_numpy, function(*args, **options))

    return call
