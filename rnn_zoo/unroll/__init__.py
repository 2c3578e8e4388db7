"""Runs a cell over time: one projection of the whole input, then a loop that is as small as can be.

A cell knows nothing of this package and this package nothing of gates' meaning: it answers the
cell's `pre(gate, operand)` from projections made before the loop. What differs between backends,
the loop and its gradient, is in `tensorflow.py` and `jax.py`; `generic.py` serves all others.

Legend: T time, B batch, I input features, N units, G gates; "..." stands for optional leading axes
that weights, states and inputs share, as in a population of models.
"""

import keras
from keras import ops

from rnn_zoo.unroll import derived, generic


def unroll(cell, weights, inputs, initial_state=None, mask=None, time_major=False):
    """Applies a cell to every time step in turn.

    The first product, W x + b of all gates, is one over all B·T rows; gradients with respect to
    recurrent matrices are one product each, after the loop.

    Args:
        cell: has `gates`, `mixes_input` and `step`, as `rnn_zoo.AbstractRNNCell`.
        weights: what `cell.weight_tensors()` returns, or arrays of that structure.
        inputs: (..., B, T, I), or (T, ..., B, I) if `time_major`.
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
    loop = {"tensorflow": _tensorflow_loop, "jax": _jax_loop}.get(
        keras.backend.backend(), generic.unroll
    )
    recurrent = {gate: weights["recurrent"][gate] for gate in cell.gates}
    return loop(cell.step, projections, x, recurrent, list(initial_state), mask)


def _project(cell, weights, inputs, time_major):
    """Returns (x (T, ..., B, N) for cells that mix it in, dict gate -> W x + b (T, ..., B, N))."""
    layout = "t...bi" if time_major else "...bti"

    def affine(x, kernel, bias, layout):
        return ops.einsum(f"{layout},...in->t...bn", x, kernel) + bias[..., None, :]

    x = inputs
    if weights["read_in"]:
        x = affine(x, weights["read_in"]["kernel"], weights["read_in"]["bias"], layout)
        layout = "t...bi"
    elif cell.mixes_input and not time_major:
        x = ops.moveaxis(x, -2, 0)
        layout = "t...bi"
    kernel = ops.concatenate([weights["input"][gate] for gate in cell.gates], axis=-1)
    bias = ops.concatenate([weights["bias"][gate] for gate in cell.gates], axis=-1)
    fused = affine(x, kernel, bias, layout)
    split = ops.split(fused, len(cell.gates), axis=-1)
    return (x if cell.mixes_input else None), dict(zip(cell.gates, split, strict=True))


def _tensorflow_loop(*args):
    from rnn_zoo.unroll import tensorflow

    return derived.unroll(tensorflow, *args)


def _jax_loop(*args):
    from rnn_zoo.unroll import jax

    return derived.unroll(jax, *args)
