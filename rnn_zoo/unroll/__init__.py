"""Runs a cell over time: one projection of the whole input, then a loop that is as small as can be.

A cell knows nothing of this package and this package nothing of gates' meaning: it answers the
cell's `pre(gate, operand)` from projections made before the loop. What differs between backends,
the loop and its gradient, is in `tensorflow.py` and `jax.py`; `generic.py` serves all others.

Legend: T time, B batch, I input features, N units, G gates; "..." stands for optional leading axes
that weights, states and inputs share, as in a population of models.
"""

import math

import keras
import numpy as np
from keras import ops

from rnn_zoo.inputs import Held, OneHot


def unroll(cell, weights, inputs, initial_state=None, mask=None, time_major=False):
    """Applies a cell to every time step in turn.

    The first product, W x + b of all gates, is one over all B·T rows; gradients with respect to
    recurrent matrices are one product each, after the loop.

    Args:
        cell: has `gates`, `mixes_input`, `after_read_in` and `step`, as `rnn_zoo.AbstractRNNCell`.
        weights: what `cell.weight_tensors()` returns, or arrays of that structure.
        inputs: (..., B, T, I), or (T, ..., B, I) if `time_major`, or a form of `rnn_zoo.inputs`.
        initial_state: list of states (..., B, N); the learned initial states if `None`.
        mask: (B, T) booleans, or (T, B) if `time_major`; where false, the states stay as they are
            and the output repeats the one before it, zeros at first.
        time_major: the layout of `inputs` and `mask`.

    Returns:
        (outputs (T, ..., B, N), list of the last states): the outputs are time-major always.
    """
    x, projections = _project(cell, weights, inputs, time_major)
    if initial_state is None:
        shape = ops.shape(projections[cell.gates[0]])[1:]
        initial_state = [
            ops.broadcast_to(state[..., None, :], shape) for state in weights["initial_state"]
        ]
    if mask is not None:
        mask = ops.cast(mask if time_major else ops.transpose(mask), "bool")[..., None]
    recurrent = {gate: weights["recurrent"][gate] for gate in cell.gates}
    return _engine().unroll(cell.step, projections, x, recurrent, list(initial_state), mask)


def _project(cell, weights, inputs, time_major):
    """Returns (x (T, ..., B, N) for cells that mix it in, dict gate -> W x + b (T, ..., B, N))."""
    if weights["read_in"]:
        inputs = cell.after_read_in(affine(inputs, time_major=time_major, **weights["read_in"]))
        time_major = True
    elif cell.mixes_input:
        inputs = _as_array(inputs, weights["bias"][cell.gates[0]].dtype, time_major)
        time_major = True
    kernel = ops.concatenate([weights["input"][gate] for gate in cell.gates], axis=-1)
    bias = ops.concatenate([weights["bias"][gate] for gate in cell.gates], axis=-1)
    fused = affine(inputs, kernel, bias, time_major)
    split = ops.split(fused, len(cell.gates), axis=-1)
    return (inputs if cell.mixes_input else None), dict(zip(cell.gates, split, strict=True))


def affine(inputs, kernel, bias, time_major=False):
    """W x + b of every step.

    Args:
        inputs: (..., B, T, I), or (T, ..., B, I) if `time_major`, or a form of `rnn_zoo.inputs`.
        kernel: (..., I, M).
        bias: (..., M).
        time_major: the layout of `inputs` if they are an array.

    Returns:
        (T, ..., B, M).
    """
    bias = bias[..., None, :]
    if isinstance(inputs, Held):
        lanes = inputs.value.shape[:-2]
        shown = ops.broadcast_to(inputs.shown, (*lanes, inputs.shown.shape[-1]))
        shown = ops.moveaxis(shown, -1, 0)[..., None, None]
        return shown * ops.matmul(inputs.value, kernel) + bias
    if isinstance(inputs, OneHot) and _engine().lookups_pay():
        return _sum_of_rows(inputs, kernel) + bias
    x = _as_array(inputs, kernel.dtype, time_major)
    return ops.einsum("t...bi,...im->t...bm", x, kernel) + bias


def _as_array(inputs, dtype, time_major):
    """(T, ..., B, I), of an array in either layout or a form of `rnn_zoo.inputs`."""
    if isinstance(inputs, (Held, OneHot)):
        inputs, time_major = inputs.dense(dtype), False
    return inputs if time_major else ops.moveaxis(inputs, -2, 0)


def _sum_of_rows(inputs, kernel):
    """W x of one-hots: their rows of the kernel, added."""
    codes = ops.moveaxis(inputs.codes, -2, 0)
    *lanes, features, width = kernel.shape
    table = ops.reshape(kernel, (-1, width))
    # The rows of all lanes lie in one table, each lane's after those of the lane before.
    lane = np.arange(math.prod(lanes), dtype="int32").reshape(*lanes, 1)
    return sum(
        _engine().lookup(table, codes[..., k] + (k * inputs.depth + features * lane))
        for k in range(codes.shape[-1])
    )


def _engine():
    """The module with what differs between backends, imported with its backend only."""
    name = keras.backend.backend()
    if name == "tensorflow":
        from rnn_zoo.unroll import tensorflow as engine
    elif name == "jax":
        from rnn_zoo.unroll import jax as engine
    else:
        from rnn_zoo.unroll import generic as engine
    return engine
