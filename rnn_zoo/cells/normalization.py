"""Layer normalisation of the pre-activations of any cell (Ba et al., 2016).

    pre(gate, a) = γ · (z - mean z) / sqrt(var z + ε) + b,    z = W x + U a

Mean and variance are over the units of a sample, gate by gate. The learned gain γ starts at 1, and
the gate's own bias is the shift. b^fg is added after it, so that it keeps its meaning.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

from rnn_zoo.algebra import Vector

Tensor = Any

#: That of `keras.layers.LayerNormalization`.
EPSILON = 1e-3


def gains(gates: Any) -> dict[str, Vector]:
    """Return the declaration of γ for each gate."""
    return {f"{gate}_gain": Vector(1.0) for gate in gates}


def shifts(biases: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return biases by gate as vectors that `normalised` adds after the gain."""
    return {f"{gate}_shift": bias for gate, bias in biases.items()}


def normalised(cell: Any, ops: ModuleType, pre: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return a `pre` with normalised values, from one without biases; see the module."""
    axis = pre.axis  # type: ignore[attr-defined]

    def wrapped(gate, *operands):
        z = pre(gate, *operands)
        centred = z - ops.mean(z, axis, keepdims=True)
        variance = ops.mean(centred * centred, axis, keepdims=True)
        scaled = getattr(cell, f"{gate}_gain") * (centred / ops.sqrt(variance + EPSILON))
        shift = getattr(cell, f"{gate}_shift", None)
        return scaled if shift is None else scaled + shift

    wrapped.axis = axis  # type: ignore[attr-defined]
    return wrapped
