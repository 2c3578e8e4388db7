"""Linear recurrences by a parallel scan over time.

The map s -> a · s + b of a time step, then the one of the next, is again such a map. So all
prefixes of T maps can be computed in log2 T operations on whole sequences, instead of T small ones.
The gradient is a scan of the same kind, backwards:

    s_t = a_t s_{t-1} + b_t;    G_t = g_t + a*_{t+1} G_{t+1},    db_t = G_t,    da_t = G_t s*_{t-1}

where g are the gradients of the states and a* is the complex conjugate. Martin and Cundy (2018),
arXiv:1709.04057.

States of matrices would take too much memory. Their cells run in chunks of time steps, and compute
no state within one.

Legend: T time, B batch, I input features, N units; "..." lanes.
"""

import math
from typing import Any

from keras import ops

from rnn_zoo import backend
from rnn_zoo.algebra import state_widths
from rnn_zoo.cells.linear import ChunkedRNNCell, LinearRNNCell, times
from rnn_zoo.cells.noise import replace
from rnn_zoo.cells.normalization import normalised
from rnn_zoo.cells.weights import Fused, pre_of_step

Tensor = Any


#: Time steps from which a scan is chosen.
_LONG = 32
#: Time steps of a chunk, and the most chunks, each of which is compiled.
_CHUNK, _CHUNKS = 64, 16
#: Width of a state, in units, from which chunks are chosen where a loop is compiled on a CPU. With
#: 32 they are 1.5 to 1.8 times as fast, with 16 half as fast (python -m benchmarks.chunks).
_WIDE = 32


def scans(cell: Any, length: Any, asked: bool | None) -> bool:
    """Return whether to run a cell as a scan.

    Args:
        cell: the cell.
        length: T, an integer if it is static.
        asked: the caller's wish, or None.

    Raises:
        ValueError: as for `check_scan`.
    """
    check_scan(cell, asked)
    if not can_scan(type(cell)):
        return False
    can = isinstance(length, int) and not any(getattr(cell, "zoneout", {}).values())
    if isinstance(cell, ChunkedRNNCell) and getattr(cell, "layer_norm", False):
        return False  # It gives the units of a head gates that differ.
    if asked is not None:
        return can and asked
    # A compiled loop on a CPU passes over its arrays once, a scan log2 T times: at 512 steps the
    # loop is 2 to 18 times as fast. Where operations run one by one, it is up to 3 times as slow.
    its, width = backend.current(), max(state_widths(cell, cell.units))
    is_loop = its.is_compiled() and not its.prefers_hoisting() and width < _WIDE * cell.units
    return can and length >= _LONG and not is_loop


def can_scan(kind: type) -> bool:
    """Return whether cells of a class can run several time steps at once."""
    return issubclass(kind, (LinearRNNCell, ChunkedRNNCell))


def check_scan(cell: Any, asked: bool | None) -> None:
    """Raise ValueError if a scan is asked of a cell whose recurrence is not linear."""
    if asked and not can_scan(type(cell)):
        raise ValueError(f"the recurrence of {type(cell).__name__} is not linear; omit scan")


def scanned(
    cell: Any, weights: Fused, x: Tensor, initial: list[Tensor]
) -> tuple[Tensor, list[Tensor]]:
    """Run a `LinearRNNCell` over all time steps at once.

    Args:
        cell: the cell.
        weights: its weights.
        x: (T, ..., B, I), the inputs after any read-in.
        initial: list of states (..., B, N).

    Returns:
        (outputs (T, ..., B, N), list of the states of all steps).
    """
    cell, pre = _at_all_steps(cell, weights, x)
    first = dict(zip(cell.state_names, initial, strict=True))
    states = {state: pre(gate) for state, gate in cell.delays.items()}
    delayed = {
        state: ops.concatenate([first[state][None], each[:-1]]) for state, each in states.items()
    }
    for key, (a, b) in cell.coefficients(ops, x, pre, delayed).items():
        names = key if isinstance(key, tuple) else (key,)
        a, b = (each if isinstance(key, tuple) else (each,) for each in (a, b))
        found = linear_scan(
            [ops.broadcast_to(each, ops.shape(b[0])) for each in a],
            list(b),
            [first[name] for name in names],
        )
        states |= dict(zip(names, found, strict=True))
    return cell.output(ops, x, pre, states, delayed), [states[name] for name in cell.state_names]


def in_chunks(
    cell: Any, weights: Fused, x: Tensor, initial: list[Tensor]
) -> tuple[Tensor, list[Tensor]]:
    """Run a `ChunkedRNNCell` over all time steps, a chunk at a time.

    Args:
        cell, weights, x, initial: as for `scanned`.

    Returns:
        (outputs (T, ..., B, N), list of the final states).
    """
    outputs, states, time_steps = [], initial, x.shape[0]
    size = max(_CHUNK, math.ceil(time_steps / _CHUNKS))
    for start in range(0, time_steps, size):
        with_vectors, pre = _at_all_steps(cell, weights, x[start : start + size])
        output, states = with_vectors.chunk(ops, pre, states)
        outputs.append(output)
    return ops.concatenate(outputs), states


def _at_all_steps(cell, weights, x):
    """Return (the cell with its learned vectors, its `pre` for all steps of x)."""
    vectors = {name: ops.expand_dims(array, -2) for name, array in weights.vectors.items()}
    cell, pre = replace(cell, **vectors), pre_of_step(cell, ops, weights, x)
    return cell, normalised(cell, ops, pre) if getattr(cell, "layer_norm", False) else pre


def linear_scan(a: list[Tensor], b: list[Tensor], first: list[Tensor]) -> list[Tensor]:
    """Compute s_t = a_t · s_{t-1} + b_t for all t.

    Args:
        a, b: (T, ...): [real], or [real, imaginary].
        first: s_0 (...), likewise.

    Returns:
        s (T, ...), likewise.
    """

    def forward(a, b, first):
        start = times(tuple(each[0] for each in a), tuple(first))
        b = [
            ops.concatenate([(p + each[0])[None], each[1:]])
            for p, each in zip(start, b, strict=True)
        ]
        states = _scan(a, b)
        return states, (a, first, states)

    def backward(residuals, cotangents):
        a, first, states = residuals
        conjugate = [a[0], *(-each for each in a[1:])]
        later = [ops.concatenate([each[1:], ops.zeros_like(each[:1])]) for each in conjugate]
        reverse = [[ops.flip(each, 0) for each in parts] for parts in (later, cotangents)]
        d_b = [ops.flip(each, 0) for each in _scan(*reverse)]
        before = [ops.concatenate([f[None], s[:-1]]) for f, s in zip(first, states, strict=True)]
        d_a = times(tuple(d_b), (before[0], *(-each for each in before[1:])))
        d_first = times(tuple(each[0] for each in conjugate), tuple(each[0] for each in d_b))
        return list(d_a), d_b, list(d_first)

    return backend.current().with_gradient(forward, backward, (a, b, first))


def _scan(a, b):
    """Return the b of the maps of all prefixes, by doubling their length.

    Not by `keras.ops.associative_scan`: it saves work, but XLA cannot compile it on TensorFlow.
    """
    length, size = b[0].shape[0], 1
    while size < length:
        later, earlier = tuple(each[size:] for each in a), tuple(each[:-size] for each in b)
        sums = [p + each[size:] for p, each in zip(times(later, earlier), b, strict=True)]
        products = times(later, tuple(each[:-size] for each in a))
        b = [ops.concatenate([each[:size], new]) for each, new in zip(b, sums, strict=True)]
        a = [ops.concatenate([each[:size], new]) for each, new in zip(a, products, strict=True)]
        size *= 2
    return list(b)
