"""Run a cell over time.

The engine does not know the meaning of the gates. It answers a cell's `pre(gate, operand)` with
the products that the gate declares, computed at once for all gates that share an operand. Only the
primitives of `rnn_zoo.backend` are specific to a backend.

Legend: T time, B batch, I input features, N units, G gates; "..." optional leading axes that
weights, states and inputs share, as in a population of models.
"""

import contextlib
import contextvars
import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from rnn_zoo import backend
from rnn_zoo.cells.linear import ChunkedRNNCell
from rnn_zoo.cells.noise import Noise, step_of
from rnn_zoo.cells.weights import Fused, fuse, product_of
from rnn_zoo.inputs import Held, OneHot
from rnn_zoo.unroll.derived import Loops, is_large
from rnn_zoo.unroll.form import form_of, with_mask_argument, with_output_state, with_truncation
from rnn_zoo.unroll.kernels import kernel_of, run_kernel
from rnn_zoo.unroll.scan import in_chunks, scanned, scans

Tensor = Any

#: Whether loops have the backend's own derivatives wherever they run.
_AUTOMATIC: contextvars.ContextVar[bool] = contextvars.ContextVar("automatic", default=False)


def unroll(
    cell: Any,
    weights: dict[str, Any] | Fused,
    inputs: Any,
    initial_state: list[Tensor] | None = None,
    mask: Tensor | None = None,
    time_major: bool = False,
    noise: Noise | None = None,
    sequence: bool = True,
    state_sequences: bool = False,
    truncate: int | None = None,
    scan: bool | None = None,
    packed: bool = False,
) -> tuple[Tensor, list[Tensor]]:
    """Apply a cell to every time step in turn.

    Args:
        cell: `rnn_zoo.AbstractRNNCell`; only its equations are used.
        weights: result of `cell.weight_tensors()`, or arrays in that structure; or the same as
            `rnn_zoo.cells.weights.Fused`.
        inputs: (..., B, T, I), or (T, ..., B, I) if `time_major`, or structured inputs from
            `rnn_zoo.inputs`.
        initial_state: list of states (..., B, N); the learned initial states if `None`.
        mask: (B, T) booleans, or (T, B) if `time_major`. Where it is false, the step keeps the
            states and repeats the previous output, or outputs zeros if there is none.
        time_major: whether time is the first axis of `inputs` and `mask`.
        noise: of a training step, from the cell's `draw_noise`; None in inference.
        sequence: whether to return the outputs of all steps, or of the last one.
        state_sequences: whether to return the states of all steps, or the final ones.
        truncate: k, to pass no gradient through the states at steps k, 2k, ...: backpropagation
            through time, truncated to k steps. Where the mask is false, states pass it on.
        scan: whether to run the recurrence of a `LinearRNNCell` as a parallel scan, or that of a
            `ChunkedRNNCell` in chunks of steps; chosen by device and sizes if None. A mask, noise,
            `truncate` or T that is not static need a loop, and so do `layer_norm` and the states of
            all steps of a `ChunkedRNNCell`.
        packed: whether at every step the samples whose mask is true come before the others, as in
            sequences sorted by length. Loops that are not compiled then compute only these.

    Returns:
        (outputs, list of states), (T, ..., B, N) for all steps or (..., B, N). Sequences are always
        time-major.
    """
    if mask is not None:
        mask = ops.cast(mask if time_major else ops.transpose(mask), "bool")[..., None]
    if not isinstance(weights, Fused):
        weights = fuse(cell, weights)
    inputs, time_major = _read_in(cell, weights, inputs, time_major)
    drawn = noise or Noise({}, {})
    if truncate is not None:
        cut = _cuts(inputs, time_major, truncate)
        drawn = drawn._replace(per_step=drawn.per_step | {"cut": cut})
    if mask is None and not any(drawn):
        found = _at_once(cell, weights, inputs, time_major, initial_state, state_sequences, scan)
        if found is not None:
            outputs, states = found
            return outputs if sequence else outputs[-1], states
    its, probe = backend.current(), _probe(weights)
    step = step_of(cell, noise is not None, its.ops, its.equivalent)
    if truncate is not None:
        step = with_truncation(step)
    run, form = _with_form(step, cell, weights, probe, drawn, mask is not None, sequence)
    is_compiled = its.is_compiled() and not _AUTOMATIC.get()
    x, projections = _inputs_of_loop(cell, weights, inputs, time_major, form.groups, is_compiled)
    over_time = next(each for each in (x, *(projections or ())) if each is not None)
    states = list(initial_state or _learned_states(weights, over_time))
    num_states = len(states)
    if form.output_state == num_states:
        states.append(ops.zeros_like(states[0]))
    returned = [form.output_state] if sequence else []
    returned += [i for i in range(num_states) if state_sequences and i not in returned]
    large = is_large(probe.shape[-2], _batch_size(inputs, time_major))
    batch_last, packed = is_compiled and not large, packed and not is_compiled
    loop = _compiled_loop if is_compiled else _plain_loop
    sequences, last = loop(
        Loops(its, run, form, returned, batch_last, packed),
        [product_of(cell.gates, weights, group, projections is None) for group in form.groups],
        projections,
        x,
        states,
        mask,
        list(drawn),
        [
            {name: ops.expand_dims(array, -2) for name, array in each.items()}
            for each in (weights.diagonals, weights.vectors)
        ],
    )
    found = dict(zip(returned, sequences, strict=True))
    outputs = found[form.output_state] if sequence else last[form.output_state]
    return outputs, [found[i] if state_sequences else last[i] for i in range(num_states)]


def _cuts(inputs, time_major, truncate):
    """Return (T, 1, 1) booleans: whether no gradient passes through the states before a step."""
    steps = ops.arange(_length(inputs, time_major))[:, None, None]
    return ops.logical_and(steps % truncate == 0, steps > 0)


def _at_once(cell, weights, inputs, time_major, initial_state, state_sequences, scan):
    """Return (outputs, states) by a parallel scan or a fused kernel; None if neither is for it."""
    length, dtype = _length(inputs, time_major), weights.initial_state[0].dtype
    is_chunked = isinstance(cell, ChunkedRNNCell)
    is_scan = scans(cell, length, scan) and not (is_chunked and state_sequences)
    kernel = None
    if not (is_scan or state_sequences or _AUTOMATIC.get()):
        kernel = kernel_of(cell, weights)
    if not (is_scan or kernel):
        return None
    x = _as_array(inputs, dtype, time_major)
    first = initial_state or _learned_states(weights, x)
    if kernel:
        return run_kernel(kernel, cell, weights, x, first)
    if is_chunked:
        return in_chunks(cell, weights, x, first)
    outputs, sequences = scanned(cell, weights, x, first)
    return outputs, sequences if state_sequences else [each[-1] for each in sequences]


def _with_form(step, cell, weights, probe, drawn, is_masked, sequence):
    """Return (the step with a mask argument, its form).

    The previous output is one more state, the last, if a mask repeats it or if only the final
    output is needed and no state is equal to it.
    """
    sizes = {name: (a.shape[-1], a.dtype) for part in drawn for name, a in part.items()}
    widths = [state.shape[-1] for state in weights.initial_state]
    vectors = {name: ops.expand_dims(array, -1) for name, array in weights.vectors.items()}
    form = form_of(step, cell.gates, widths, probe, sizes, vectors)
    if not is_masked and (sequence or form.output_state is not None):
        return with_mask_argument(step), form
    run = with_output_state(step, backend.current().ops)
    return run, form._replace(output_state=len(cell.state_names))


@contextlib.contextmanager
def automatic_derivatives() -> Iterator[None]:
    """Give loops the backend's own derivatives during a `with` statement.

    They are slower where programs are compiled. Forward mode on JAX, such as `jax.jvp`, needs them.

    Example:
        with rnn_zoo.unroll.automatic_derivatives():
            outputs, tangents = jax.jvp(layer, (x,), (dx,))
    """
    before = _AUTOMATIC.set(True)
    try:
        yield
    finally:
        _AUTOMATIC.reset(before)


def _read_in(cell, weights, inputs, time_major):
    """Return (inputs after the read-in, whether time is their first axis)."""
    if weights.read_in:
        inputs = affine(inputs, time_major=time_major, **weights.read_in)
        return cell.after_read_in(ops, inputs), True
    return inputs, time_major


def _probe(weights):
    """Return zeros (..., N, 1), where "..." are the lanes of the weights."""
    arrays = (array for array in (weights.input, weights.recurrent) if array is not None)
    lanes = max((array.shape[:-2] for array in arrays), key=len, default=())
    state = weights.initial_state[0]
    return ops.zeros((*lanes, state.shape[-1], 1), state.dtype)


def _batch_size(inputs, time_major):
    """Return the number of samples if it is static, or else None or one of JAX's symbols."""
    if isinstance(inputs, Held):
        return inputs.value.shape[-2]
    array = inputs.codes if isinstance(inputs, OneHot) else inputs
    return array.shape[-2 if time_major else -3]


def _length(inputs, time_major):
    """Return T, as a tensor if it is not static."""
    if isinstance(inputs, Held):
        return ops.shape(inputs.shown)[-1]
    array = inputs.codes if isinstance(inputs, OneHot) else inputs
    return ops.shape(array)[0 if time_major else -2]


def _inputs_of_loop(cell, weights, inputs, time_major, groups, is_compiled):
    """Return (x (T, ..., B, I) or None, a list of W x + b of each group (T, ..., B, M), or None).

    One product for all time steps is cheap for structured inputs, and fast on accelerators and, in
    compiled programs, for inputs that are wider than it. Elsewhere, computing it in the loop takes
    less memory, and less time.
    """
    is_hoisted = (
        isinstance(inputs, (Held, OneHot))
        or backend.current().prefers_hoisting()
        or (is_compiled and _narrows(weights.input))
    )
    x = None
    if cell.mixes_input or not is_hoisted:
        x = _as_array(inputs, weights.initial_state[0].dtype, time_major)
        inputs, time_major = x, True
    if not is_hoisted:
        return x, None
    with_input = [group for group in groups if cell.gates[group[0]].input]
    gates = [gate for group in with_input for gate in group]
    product = product_of(cell.gates, weights, gates, with_recurrent=False)
    total = affine(inputs, product["input"], product.get("bias"), time_major)
    units = total.shape[-1] // len(gates)
    ends = np.cumsum([len(group) * units for group in with_input])[:-1].tolist()
    found = iter(ops.split(total, ends, axis=-1) if ends else [total])
    return x, [next(found) if cell.gates[group[0]].input else None for group in groups]


def _narrows(kernel):
    """Return whether a product with a kernel (..., I, M), or None, is narrower than its inputs."""
    return kernel is not None and kernel.shape[-2] > kernel.shape[-1]


def _learned_states(weights, sequence):
    """Repeat the learned initial states over the lanes and the batch of (T, ..., B, M)."""
    learned = weights.initial_state
    lanes = max(sequence.shape[1:-2], learned[0].shape[:-1], key=len)
    shape = (*lanes, ops.shape(sequence)[-2])
    return [ops.broadcast_to(each[..., None, :], (*shape, each.shape[-1])) for each in learned]


def _plain_loop(loops, products, *arguments):
    """Run the forward loop, with the backend's own derivatives."""
    return loops.forward(products, *arguments, keep=False)[0]


def _compiled_loop(loops, products, *arguments):
    """Run the loops with the derived backward pass."""
    if not loops.batch_last:
        return loops.backend.with_gradient(loops.forward, loops.backward, (products, *arguments))
    turned = keras.tree.map_structure(lambda a: None if a is None else _turn(a), arguments)
    found = loops.backend.with_gradient(loops.forward, loops.backward, (products, *turned))
    return keras.tree.map_structure(_turn, found)


def _turn(array):
    """Swap (..., B, N) and (..., N, B)."""
    return ops.swapaxes(array, -1, -2)


def affine(inputs: Any, kernel: Tensor, bias: Tensor | None, time_major: bool = False) -> Tensor:
    """Compute W x + b for every time step.

    Args:
        inputs: (..., B, T, I), or (T, ..., B, I) if `time_major`, or structured inputs from
            `rnn_zoo.inputs`.
        kernel: (..., I, M).
        bias: (..., M), or None.
        time_major: whether time is the first axis of `inputs` given as an array.

    Returns:
        (T, ..., B, M).
    """
    bias = 0 if bias is None else bias[..., None, :]
    if isinstance(inputs, Held):
        lanes = inputs.value.shape[:-2]
        shown = ops.broadcast_to(inputs.shown, (*lanes, inputs.shown.shape[-1]))
        shown = ops.moveaxis(shown, -1, 0)[..., None, None]
        return shown * ops.matmul(inputs.value, kernel) + bias
    if isinstance(inputs, OneHot) and backend.current().prefers_gather():
        return _sum_of_rows(inputs, kernel, bias)
    # Turn the inputs or their product, whichever is narrower.
    if isinstance(inputs, OneHot) or not _narrows(kernel):
        inputs, time_major = _as_array(inputs, kernel.dtype, time_major), True
    # Converters to ONNX know no "...".
    lanes = "..." if len(inputs.shape) > 3 or len(kernel.shape) > 2 else ""
    outer, inner = (f"t{lanes}", "b") if time_major else (f"{lanes}b", "t")
    product = ops.einsum(f"{outer}{inner}i,{lanes}im->{outer}{inner}m", inputs, kernel)
    return _time_first(product, time_major) + bias


def _as_array(inputs, dtype, time_major):
    """Return (T, ..., B, I) from an array in either layout or from structured inputs."""
    if isinstance(inputs, (Held, OneHot)):
        inputs, time_major = inputs.dense(dtype), False
    return _time_first(inputs, time_major)


def _time_first(array, time_major):
    """Return (T, ..., B, M) from (..., B, T, M), or as it is if `time_major`."""
    # Not -2, which PyTorch would write into an ONNX file.
    return array if time_major else ops.moveaxis(array, len(array.shape) - 2, 0)


def _sum_of_rows(inputs, kernel, bias):
    """Compute W x + b of one-hot vectors as a sum of rows of the kernel."""
    codes = ops.moveaxis(inputs.codes, -2, 0)
    count, (*lanes, _, width) = codes.shape[-1], kernel.shape
    kernel = ops.reshape(kernel, (*lanes, count, inputs.depth, width))
    terms = [(codes[..., k], kernel[..., k, :, :]) for k in range(count)]
    if _pays_in_pairs(inputs):
        pairs = zip(terms[::2], terms[1::2], strict=False)
        terms = [_pair(*pair) for pair in pairs] + terms[count - count % 2 :]
    # Cheaper than adding b to the sums (T, ..., B, M), and summing its gradient over them.
    rows, table = terms[-1]
    terms[-1] = (rows, table + bias)
    # One table holds the rows of all lanes, so each lane's codes are offset by its first row.
    lane = np.arange(math.prod(lanes), dtype="int32").reshape(*lanes, 1)
    return sum(
        backend.current().gather(ops.reshape(table, (-1, width)), rows + table.shape[-2] * lane)
        for rows, table in terms
    )


def _pays_in_pairs(inputs):
    """Return whether a table of the sums of two rows each is cheaper than gathering every row."""
    *_, batch, length, _ = inputs.codes.shape
    is_static = isinstance(batch, int) and isinstance(length, int)
    return is_static and 4 * inputs.depth**2 <= batch * length


def _pair(first, second):
    """Join two terms, codes (..., B) of the rows of a table (..., R, M), into one of their sums."""
    (codes, table), (other_codes, other_table) = first, second
    *lanes, height, width = other_table.shape
    sums = table[..., :, None, :] + other_table[..., None, :, :]
    return codes * height + other_codes, ops.reshape(sums, (*lanes, -1, width))
