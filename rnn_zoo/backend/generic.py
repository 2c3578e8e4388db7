"""Primitives in `keras.ops`, for backends that have no module of their own.

Loops are Python loops over a static number of time steps, and gradients are the backend's own.
The tests compare the derived backward pass with these.
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

#: Fused loops over time: none.
KERNELS: tuple[str, ...] = ()


def equivalent(function: Callable) -> Callable:
    return function


def plus_product(total: Any, left: Any, right: Any) -> Any:
    """Return total + left @ right."""
    return total + left @ right


def scan(
    body: Callable, carry: list, xs: Any, shapes: list[tuple], reverse: bool = False
) -> tuple[list, list]:
    # Not by slices: the gradient of a slice is as large as all of x.
    flat = [None if x is None else ops.unstack(x) for x in keras.tree.flatten(xs)]
    length = len(next(x for x in flat if x is not None))
    steps: list = [None] * length
    for t in reversed(range(length)) if reverse else range(length):
        x = keras.tree.pack_sequence_as(xs, [None if x is None else x[t] for x in flat])
        carry, steps[t] = body(carry, x)
    return carry, [ops.stack(ys) for ys in zip(*steps, strict=True)]


def with_gradient(forward: Callable, backward: Callable, args: tuple) -> Any:
    return forward(*args)[0]


def is_compiled() -> bool:
    return False


def prefers_hoisting() -> bool:
    return False


def prefers_gather() -> bool:
    return False
