"""The data flow of a cell's step, found by calling it once on zeros."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from keras import ops

Tensor = Any


class Form(NamedTuple):
    """Data flow of a step.

    Attributes:
        groups: the gates by operand, such as the state or the GRU's r · h. Gates of one group share
            one product.
        output_state: index of the new state that is also the output; None if none is.
    """

    groups: tuple[tuple[str, ...], ...]
    output_state: int | None


def form_of(
    step: Callable,
    gates: Sequence[str],
    num_states: int,
    probe: Tensor,
    noise: dict[str, Any],
) -> Form:
    """Call a step once on zeros and record its data flow.

    Args:
        step: `step(x, pre, states, noise)`.
        gates: names of the cell's gates.
        num_states: number of states.
        probe: zeros (..., N, 1), a state for a batch of one, batch last.
        noise: dtypes of the step's noise, by name.

    Raises:
        ValueError: the step does not call `pre` once per gate, or changes the shape of its arrays.
    """
    states = [ops.copy(probe) for _ in range(num_states)]
    operands: list[Tensor] = []
    groups: list[tuple[str, ...]] = []
    asked: list[str] = []

    def pre(gate, operand):
        asked.append(gate)
        if not any(operand is known for known in operands):
            operands.append(operand)
            groups.append(())
        index = [operand is known for known in operands].index(True)
        groups[index] += (gate,)
        return ops.copy(probe)

    drawn = {name: ops.cast(probe, dtype) for name, dtype in noise.items()}
    output, new_states = step(ops.copy(probe), pre, states, drawn)
    if sorted(asked) != sorted(gates):
        raise ValueError(
            f"step must ask pre() once for each gate, {', '.join(gates)}; it asked for "
            f"{', '.join(asked) or 'none'}"
        )
    for result in (output, *new_states):
        if tuple(result.shape) != tuple(probe.shape):
            raise ValueError(
                "step must treat all units and samples alike: it turned arrays of shape "
                f"{tuple(probe.shape)} into one of {tuple(result.shape)}"
            )
    same = [index for index, state in enumerate(new_states) if state is output]
    return Form(tuple(groups), same[0] if same else None)


def with_mask_argument(step: Callable) -> Callable:
    return lambda x, pre, states, mask, noise: step(x, pre, states, noise)


def with_output_state(step: Callable) -> Callable:
    """Return a step whose last output is one more state.

    With a mask, it keeps its states and repeats its output where the mask is false, so that the
    loops need not know about masks.
    """

    def run(x, pre, states, mask, noise):
        *states, last_output = states
        output, new_states = step(x, pre, states, noise)
        if mask is not None:
            output = ops.where(mask, output, last_output)
            new_states = [
                ops.where(mask, new, old) for new, old in zip(new_states, states, strict=True)
            ]
        return output, [*new_states, output]

    return run
