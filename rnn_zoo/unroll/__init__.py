"""Run a cell over time: one projection of the whole input, then a minimal loop.

The engine does not know the meaning of the gates. It answers a cell's `pre(gate, operand)` from
projections computed before the loop. Only the primitives of `rnn_zoo.backend` are specific to a
backend.

Legend: T time, B batch, I input features, N units, G gates; "..." optional leading axes that
weights, states and inputs share, as in a population of models.
"""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from keras import ops

from rnn_zoo import backend
from rnn_zoo.cells.noise import Noise, step_of
from rnn_zoo.inputs import Held, OneHot
from rnn_zoo.unroll import derived

Tensor = Any


def unroll(
    cell: Any,
    weights: dict[str, Any],
    inputs: Any,
    initial_state: list[Tensor] | None = None,
    mask: Tensor | None = None,
    time_major: bool = False,
    noise: Noise | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """Apply a cell to every time step in turn.

    The input products W x + b of all gates and time steps are one matmul before the loop. Each
    gradient with respect to a recurrent matrix is one matmul after the backward loop.

    Args:
        cell: `rnn_zoo.AbstractRNNCell`, or an object with its `gates`, `mixes_input`,
            `after_read_in` and `step`, and `zoneout` if it has noise.
        weights: result of `cell.weight_tensors()`, or arrays in that structure.
        inputs: (..., B, T, I), or (T, ..., B, I) if `time_major`, or structured inputs from
            `rnn_zoo.inputs`.
        initial_state: list of states (..., B, N); the learned initial states if `None`.
        mask: (B, T) booleans, or (T, B) if `time_major`. Where it is false, the step keeps the
            states and repeats the previous output, or outputs zeros if there is none.
        time_major: whether time is the first axis of `inputs` and `mask`.
        noise: of a training step, from the cell's `draw_noise`; None in inference.

    Returns:
        (outputs (T, ..., B, N), list of final states). Outputs are always time-major.
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
    return derived.unroll(
        backend.current(),
        step_of(cell, training=noise is not None),
        projections,
        x,
        recurrent,
        list(initial_state),
        mask,
        noise or Noise({}, {}),
    )


@contextlib.contextmanager
def automatic_derivatives() -> Iterator[None]:
    """Give loops the backend's own derivatives during a `with` statement.

    They are slower. Forward mode on JAX, such as `jax.jvp`, needs them.

    Example:
        with rnn_zoo.unroll.automatic_derivatives():
            outputs, tangents = jax.jvp(layer, (x,), (dx,))
    """
    before = derived.AUTOMATIC.set(True)
    try:
        yield
    finally:
        derived.AUTOMATIC.reset(before)


def _project(cell, weights, inputs, time_major):
    """Return (x or None if the cell ignores it, dict gate -> W x + b), each (T, ..., B, N)."""
    if weights["read_in"]:
        inputs = cell.after_read_in(
            ops, affine(inputs, time_major=time_major, **weights["read_in"])
        )
        time_major = True
    elif cell.mixes_input:
        inputs = _as_array(inputs, weights["bias"][cell.gates[0]].dtype, time_major)
        time_major = True
    kernel = ops.concatenate([weights["input"][gate] for gate in cell.gates], axis=-1)
    bias = ops.concatenate([weights["bias"][gate] for gate in cell.gates], axis=-1)
    fused = affine(inputs, kernel, bias, time_major)
    split = ops.split(fused, len(cell.gates), axis=-1)
    return (inputs if cell.mixes_input else None), dict(zip(cell.gates, split, strict=True))


def affine(inputs: Any, kernel: Tensor, bias: Tensor, time_major: bool = False) -> Tensor:
    """Compute W x + b for every time step.

    Args:
        inputs: (..., B, T, I), or (T, ..., B, I) if `time_major`, or structured inputs from
            `rnn_zoo.inputs`.
        kernel: (..., I, M).
        bias: (..., M).
        time_major: whether time is the first axis of `inputs` given as an array.

    Returns:
        (T, ..., B, M).
    """
    bias = bias[..., None, :]
    if isinstance(inputs, Held):
        lanes = inputs.value.shape[:-2]
        shown = ops.broadcast_to(inputs.shown, (*lanes, inputs.shown.shape[-1]))
        shown = ops.moveaxis(shown, -1, 0)[..., None, None]
        return shown * ops.matmul(inputs.value, kernel) + bias
    if isinstance(inputs, OneHot) and backend.current().prefers_gather():
        return _sum_of_rows(inputs, kernel) + bias
    x = _as_array(inputs, kernel.dtype, time_major)
    # Converters to ONNX know no "...".
    has_lanes = len(x.shape) > 3 or len(kernel.shape) > 2
    equation = "t...bi,...im->t...bm" if has_lanes else "tbi,im->tbm"
    return ops.einsum(equation, x, kernel) + bias


def _as_array(inputs, dtype, time_major):
    """Return (T, ..., B, I) from an array in either layout or from structured inputs."""
    if isinstance(inputs, (Held, OneHot)):
        inputs, time_major = inputs.dense(dtype), False
    # Not -2, which PyTorch would write into an ONNX file.
    return inputs if time_major else ops.moveaxis(inputs, len(inputs.shape) - 2, 0)


def _sum_of_rows(inputs, kernel):
    """Compute W x of one-hot vectors as the sum of their rows of the kernel."""
    codes = ops.moveaxis(inputs.codes, -2, 0)
    *lanes, features, width = kernel.shape
    table = ops.reshape(kernel, (-1, width))
    # One table holds the rows of all lanes, so each lane's codes are offset by its first row.
    lane = np.arange(math.prod(lanes), dtype="int32").reshape(*lanes, 1)
    return sum(
        backend.current().gather(table, codes[..., k] + (k * inputs.depth + features * lane))
        for k in range(codes.shape[-1])
    )
