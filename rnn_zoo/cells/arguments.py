"""Checks of the arguments of cells; each raises ValueError with the value and the choices."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np


def rate(name: str, value: float) -> float:
    """Return a rate in [0, 1)."""
    if not _is_finite(value) or not 0 <= value < 1:
        raise ValueError(f"{name} must be at least 0 and below 1, got {value!r}")
    return float(value)


def switch(name: str, value: bool) -> bool:
    """Return True or False, also of NumPy; a text such as "false" would count as true."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def one_of(name: str, value: Any, choices: Iterable[str]) -> Any:
    """Return a value that is one of the choices."""
    if value not in [*choices]:  # also values that cannot be hashed
        raise ValueError(f"unknown {name} {value!r}; choose one of {', '.join(choices)}")
    return value


def by_name(
    name: str, value: float | dict[str, float], keys: Iterable[str], kind: str = "gates"
) -> dict[str, float]:
    """Return a finite number for each key, from one number for all or from a dict."""
    if not isinstance(value, dict):
        value = dict.fromkeys(keys, value)
    check_names(f"{kind} of {name}", value, keys)
    for number in value.values():
        if not _is_finite(number):
            raise ValueError(f"{name} must be a finite number, got {number!r}")
    return {key: float(value[key]) for key in keys}


def whole(name: str, value: int) -> int:
    """Return a whole number of at least 1, also of NumPy."""
    is_whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not is_whole or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
    return int(value)


def not_negative(name: str, value: float) -> float:
    """Return a finite number of at least 0."""
    if not _is_finite(value) or value < 0:
        raise ValueError(f"{name} must be finite and not negative, got {value!r}")
    return float(value)


def _is_finite(number):
    if not isinstance(number, (int, float, np.number)):
        return False
    try:
        return math.isfinite(number)
    except (OverflowError, TypeError):  # an int that no float holds, a complex number
        return False


def check_names(what: str, given: Iterable[str], expected: Iterable[str]) -> None:
    """Check that exactly the expected names are given."""
    if set(given) != set(expected):
        raise ValueError(f"{what} must be {', '.join(expected)}; got {', '.join(given)}")


def elementwise(activation: str | Callable) -> Callable:
    """Return `keras.activations.get(activation)`; refuse functions that mix a sample's units."""
    function = keras.activations.get(activation)
    if getattr(function, "__name__", "") in ("softmax", "log_softmax", "sparsemax", "glu"):
        raise ValueError(
            f"activation {function.__name__} mixes units; choose an elementwise one such as tanh "
            "or relu"
        )
    return function
