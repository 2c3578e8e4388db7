"""Primitives in `keras.ops`, for backends that have no module of their own.

Loops are Python loops over a static number of time steps, and gradients are the backend's own.
The tests compare the derived backward pass with these.
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops


def scan(
    body: Callable, carry: list, xs: Any, num_ys: int, reverse: bool = False
) -> tuple[list, list]:
    length = next(x for x in keras.tree.flatten(xs) if x is not None).shape[0]
    steps: list = [None] * length
    for t in reversed(range(length)) if reverse else range(length):
        x = keras.tree.map_structure(lambda x, t=t: None if x is None else x[t], xs)
        carry, steps[t] = body(carry, x)
    return carry, [ops.stack(ys) for ys in zip(*steps, strict=True)]


def with_gradient(forward: Callable, backward: Callable, args: tuple) -> Any:
    return forward(*args)[0]


def prefers_gather() -> bool:
    return False


def joins_products() -> bool:
    return False
