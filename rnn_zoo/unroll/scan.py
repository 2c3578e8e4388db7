"""Linear recurrences by a parallel scan over time.

The map s -> a · s + b of a time step, then the one of the next, is again such a map. So all
prefixes of T maps can be computed in about 2 log2 T operations on whole sequences, instead of T
small ones. The gradient is a scan of the same kind, backwards:

    s_t = a_t s_{t-1} + b_t;    G_t = g_t + a*_{t+1} G_{t+1},    db_t = G_t,    da_t = G_t s*_{t-1}

where g are the gradients of the states and a* is the complex conjugate. Martin and Cundy (2018),
arXiv:1709.04057.

Legend: T time, B batch, I input features, N units; "..." lanes.
"""

from typing import Any

from keras import ops

from rnn_zoo import backend
from rnn_zoo.cells.linear import LinearRNNCell, times
from rnn_zoo.cells.noise import replace
from rnn_zoo.cells.weights import Fused, pre_of_step

Tensor = Any


#: Time steps from which a scan beats a loop on a CPU.
_LONG = 64


def scans(cell: Any, length: Any, asked: bool | None) -> bool:
    """Return whether to run a cell as a scan.

    Args:
        cell: the cell.
        length: T, or None if it is not static.
        asked: the caller's wish, or None.

    Raises:
        ValueError: as for `check_scan`.
    """
    check_scan(cell, asked)
    if not isinstance(cell, LinearRNNCell):
        return False
    can = isinstance(length, int) and not any(getattr(cell, "zoneout", {}).values())
    return can and (length >= _LONG if asked is None else asked)


def check_scan(cell: Any, asked: bool | None) -> None:
    """Raise ValueError if a scan is asked of a cell whose recurrence is not linear."""
    if asked and not isinstance(cell, LinearRNNCell):
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
    vectors = {name: array[..., None, :] for name, array in weights.vectors.items()}
    cell, pre = replace(cell, **vectors), pre_of_step(cell, ops, weights, x)
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
        d_b = _scan(later, cotangents, reverse=True)
        before = [ops.concatenate([f[None], s[:-1]]) for f, s in zip(first, states, strict=True)]
        d_a = times(tuple(d_b), (before[0], *(-each for each in before[1:])))
        d_first = times(tuple(each[0] for each in conjugate), tuple(each[0] for each in d_b))
        return list(d_a), d_b, list(d_first)

    return backend.current().with_gradient(forward, backward, (a, b, first))


def _scan(a, b, reverse=False):
    """Return the b of all prefixes."""
    size = len(a)

    def combined(one, other):
        (a1, b1), (a2, b2) = (one[:size], one[size:]), (other[:size], other[size:])
        product = times(tuple(a2), tuple(b1))
        sums = [p + each for p, each in zip(product, b2, strict=True)]
        return [*times(tuple(a2), tuple(a1)), *sums]

    return ops.associative_scan(combined, [*a, *b], reverse=reverse)[size:]
