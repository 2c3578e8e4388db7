"""Fused kernels: a backend's own implementation of a cell's whole loop over time.

PyTorch has them for the LSTM, the GRU with `reset_after` and the RNN. They are used where a cell
has exactly their equations; all other loops run step by step.
"""

from typing import Any

import keras
from keras import ops

from rnn_zoo import backend, cells

Tensor = Any


def kernel_of(cell: Any, weights: Any) -> str | None:
    """Return the name of the backend's kernel with a cell's equations, or None.

    Args:
        cell: the cell.
        weights: its weights, `rnn_zoo.cells.weights.Fused`.
    """
    if not backend.current().KERNELS or getattr(cell, "layer_norm", False):
        return None
    if any(getattr(cell, "zoneout", {}).values()):
        return None
    dtype = keras.backend.standardize_dtype(weights.initial_state[0].dtype)
    if dtype not in ("float32", "float64") or len(weights.initial_state[0].shape) > 1:
        return None
    kind, tanh = type(cell), cell.activation is keras.activations.tanh
    if kind in (cells.RNNCell, cells.IRNNCell):
        relu = cell.activation is keras.activations.relu
        return "rnn_tanh" if tanh else "rnn_relu" if relu else None
    if not tanh or cell.recurrent_activation is not keras.activations.sigmoid:
        return None
    return {cells.LSTMCell: "lstm", cells.GRUResetAfterCell: "gru"}.get(kind)


def run_kernel(name: str, cell: Any, weights: Any, x: Tensor, states: list[Tensor]) -> tuple:
    """Run a kernel.

    Args:
        name: result of `kernel_of`.
        cell, weights: as there.
        x: (T, B, I).
        states: initial states, a list of (B, N).

    Returns:
        (outputs (T, B, N), list of final states (B, N)).
    """
    zeros = ops.zeros_like(states[0][0])
    parts = {gate: zeros for gate in cell.gates}
    with_bias = [gate for gate, its in cell.gates.items() if its.bias]
    if weights.bias is not None:
        parts |= zip(with_bias, ops.split(weights.bias, len(with_bias), axis=-1), strict=True)
    for gate, bias in cell.gate_bias.items():
        parts[gate] = parts[gate] + bias
    biases = [
        ops.concatenate([parts[gate] if gate in own else zeros for gate in having])
        for having, own in _halves(cell)
    ]
    return backend.current().run_kernel(name, x, states, weights.input, weights.recurrent, *biases)


def _halves(cell):
    """Yield, for input and recurrent products, (gates with it, those whose bias is added to it)."""
    with_input = [gate for gate, its in cell.gates.items() if its.input]
    with_recurrent = [gate for gate, its in cell.gates.items() if its.recurrent]
    yield with_input, with_input
    yield with_recurrent, [gate for gate in with_recurrent if gate not in with_input]
