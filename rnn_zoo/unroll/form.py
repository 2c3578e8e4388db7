"""The data flow of a cell's step, found by calling it once on zeros."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from keras import ops

from rnn_zoo.algebra import Gate

Tensor = Any


class Form(NamedTuple):
    """Data flow of a step.

    Attributes:
        groups: the gates that have products with matrices, by operand, such as the state or the
            GRU's r · h, and by whether they have an input product. Gates of one group share one
            product.
        output_state: index of the new state that is also the output; None if none is.
    """

    groups: tuple[tuple[str, ...], ...]
    output_state: int | None


def form_of(
    step: Callable,
    gates: Mapping[str, Gate],
    widths: Sequence[int],
    probe: Tensor,
    noise: dict[str, tuple[int, Any]],
    vectors: dict[str, Tensor],
) -> Form:
    """Call a step once on zeros and record its data flow.

    Args:
        step: `step(x, pre, states, noise, vectors)`.
        gates: the cell's gates.
        widths: number of entries of each state.
        probe: zeros (..., N, 1), a state for a batch of one, batch last.
        noise: (number of entries, dtype) of the step's noise, by name.
        vectors: the cell's learned vectors, (..., N, 1) or (..., 1, 1).

    Raises:
        ValueError: the step does not call `pre` once per gate and with an operand where the gate
            has a recurrent product, or changes the shape of its arrays.
    """
    lanes = probe.shape[:-2]
    states = [ops.zeros((*lanes, width, 1), probe.dtype) for width in widths]
    asked: list[str] = []
    record, groups = grouping(gates)

    def pre(gate, operand=None):
        asked.append(gate)
        if gate in gates:
            record(gate, operand)
        return ops.copy(probe)

    pre.axis = -2  # type: ignore[attr-defined]
    drawn = {n: ops.zeros((*lanes, width, 1), dtype) for n, (width, dtype) in noise.items()}
    output, new_states = step(ops.copy(probe), pre, states, drawn, vectors)
    if sorted(asked) != sorted(gates):
        raise ValueError(
            f"step must ask pre() once for each gate, {', '.join(gates)}; it asked for "
            f"{', '.join(asked) or 'none'}"
        )
    for result, like in zip((output, *new_states), (probe, *states), strict=True):
        if tuple(result.shape) != tuple(like.shape):
            raise ValueError(
                "step must treat all units and samples alike: it turned arrays of shape "
                f"{tuple(like.shape)} into one of {tuple(result.shape)}"
            )
    same = [index for index, state in enumerate(new_states) if state is output]
    return Form(tuple(map(tuple, groups)), same[0] if same else None)


def grouping(gates: Mapping[str, Gate]) -> tuple[Callable, list[list[str]]]:
    """Return (`record(gate, operand)`, the groups that it fills, as for `Form`)."""
    groups: list[list[str]] = []
    keys: list[tuple[Any, bool]] = []

    def record(gate, operand):
        its = gates[gate]
        if (operand is None) == bool(its.recurrent):
            has = (
                "a recurrent product and needs an" if its.recurrent else "no recurrent product and"
            )
            takes = "" if its.recurrent else " takes no"
            raise ValueError(f"gate {gate!r} has {has}{takes} operand of pre()")
        if not its.has_products:
            return
        operand = operand if its.matrix else None
        for (known, has_input), group in zip(keys, groups, strict=True):
            if known is operand and has_input == its.input:
                group.append(gate)
                return
        keys.append((operand, its.input))
        groups.append([gate])

    return record, groups


def with_mask_argument(step: Callable) -> Callable:
    return lambda x, pre, states, mask, *others: step(x, pre, states, *others)


def with_truncation(step: Callable) -> Callable:
    """Return a step that passes no gradient on to the states before it where `cut` is true."""

    def run(x, pre, states, noise, vectors):
        states = [ops.where(noise["cut"], ops.stop_gradient(state), state) for state in states]
        return step(x, pre, states, noise, vectors)

    return run


def with_output_state(step: Callable, ops: Any = ops) -> Callable:
    """Return a step whose last output is one more state.

    With a mask, it keeps its states and repeats its output where the mask is false, so that the
    loops need not know about masks.

    Args:
        step: `step(x, pre, states, noise, vectors)`.
        ops: `keras.ops` or its equivalent.
    """

    def run(x, pre, states, mask, *others):
        *states, last_output = states
        output, new_states = step(x, pre, states, *others)
        if mask is not None:
            output = ops.where(mask, output, last_output)
            new_states = [
                ops.where(mask, new, old) for new, old in zip(new_states, states, strict=True)
            ]
        return output, [*new_states, output]

    return run
