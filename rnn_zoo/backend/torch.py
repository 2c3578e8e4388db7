"""Primitives in PyTorch that run a cell over time, documented in `tensorflow.py`.

PyTorch runs each operation as it is called, so its own derivatives are as fast as derived ones, and
a loop takes as long as its number of operations. Its fused kernels replace the loop where they have
a cell's equations.
"""

from collections.abc import Callable
from typing import Any

import keras
import torch

from rnn_zoo.backend import torch_ops as ops
from rnn_zoo.backend.generic import is_compiled, prefers_gather, with_gradient
from rnn_zoo.backend.torch_ops import equivalent

__all__ = [
    "KERNELS",
    "equivalent",
    "is_compiled",
    "ops",
    "plus_product",
    "prefers_gather",
    "prefers_hoisting",
    "run_kernel",
    "scan",
    "with_gradient",
]

#: Fused loops over time; see `rnn_zoo.unroll.kernels`.
KERNELS = ("lstm", "gru", "rnn_tanh", "rnn_relu")


def plus_product(total: Any, left: Any, right: Any) -> Any:
    # One operation in place of two, if there are no lanes.
    return torch.addmm(total, left, right) if left.dim() == 2 else total + left @ right


def scan(
    body: Callable, carry: list, xs: Any, shapes: list[tuple], reverse: bool = False
) -> tuple[list, list]:
    length = next(len(x) for x in keras.tree.flatten(xs) if x is not None)
    given = _by_step(xs, length)
    steps: list[list] = [[]] * length
    for t in reversed(range(length)) if reverse else range(length):
        carry, steps[t] = body(carry, given[t])
    return carry, [torch.stack(ys) for ys in zip(*steps, strict=True)]


def _by_step(xs, length):
    """Return a structure of arrays (T, ...) as a list of structures, one for each time step."""
    if xs is None:
        return [None] * length
    if isinstance(xs, dict):
        return [dict(zip(xs, each, strict=True)) for each in _by_step(list(xs.values()), length)]
    if isinstance(xs, (list, tuple)):
        parts = [_by_step(each, length) for each in xs]
        return list(zip(*parts, strict=True)) if parts else [()] * length
    return xs.unbind()


def prefers_hoisting() -> bool:
    return True


def run_kernel(
    name: str,
    x: Any,
    states: list,
    kernel: Any,
    recurrent_kernel: Any,
    bias: Any,
    recurrent_bias: Any,
) -> tuple[Any, list]:
    """Run one of PyTorch's fused loops.

    Args:
        name: one of `KERNELS`.
        x: (T, B, I).
        states: initial states, a list of (B, N).
        kernel, recurrent_kernel: (I, G N) and (N, G N), with the gates in PyTorch's order.
        bias, recurrent_bias: (G N,) each.

    Returns:
        (outputs (T, B, N), list of final states (B, N)).
    """
    first = [state[None].contiguous() for state in states]
    weights = [kernel.T, recurrent_kernel.T, bias, recurrent_bias]
    options = (True, 1, 0.0, torch.is_grad_enabled(), False, False)  # biases, one layer, no dropout
    outputs, *last = getattr(torch, name)(
        x, first if len(first) > 1 else first[0], weights, *options
    )
    return outputs, [state[0] for state in last]
