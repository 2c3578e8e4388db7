"""Cells whose recurrence is linear, s_t = a_t · s_{t-1} + b_t, with a and b of the input alone.

Such a recurrence needs no loop over time: see `rnn_zoo.unroll.scan`.

Legend: N units; "..." (T, B) or B.
"""

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from rnn_zoo.cells.base import AbstractRNNCell

Tensor = Any
#: (a, b) of a state; of a complex one, both are pairs of a real and an imaginary part.
Coefficients = tuple[Any, Any]


class LinearRNNCell(AbstractRNNCell):
    """Base class of cells that define `coefficients` and `output` in place of `step`.

    Both are computed for one time step, or for all at once. Gates of `coefficients` and `delays`
    have no recurrent product; those of `output` may have one with the new states.
    """

    #: State -> gate whose pre-activation it keeps for the next step, like W x_{t-1}.
    delays: Mapping[str, str] = {}

    def coefficients(
        self, ops: ModuleType, x: Tensor, pre: Callable[..., Tensor], delayed: dict[str, Tensor]
    ) -> dict[Any, Coefficients]:
        """Return a and b of each state that is not in `delays`, by its name.

        Args:
            ops, x, pre: as for `step`.
            delayed: the states of `delays`, from the step before.

        Returns:
            dict from state to (a, b), each (..., N). The key of a complex state is the pair of the
            names of its parts, and its a and b are pairs.
        """
        raise NotImplementedError(f"{type(self).__name__} must define coefficients")

    def output(
        self,
        ops: ModuleType,
        x: Tensor,
        pre: Callable[..., Tensor],
        states: dict[str, Tensor],
        delayed: dict[str, Tensor],
    ) -> Tensor:
        """Return the output (..., N) from the new states; by default the first of them.

        Args:
            ops, x, pre: as for `step`.
            states: the new states, by name.
            delayed: the states of `delays`, from the step before.
        """
        return states[self.state_names[0]]

    def step(self, ops, x, pre, states):
        before = dict(zip(self.state_names, states, strict=True))
        new = {state: pre(gate) for state, gate in self.delays.items()}
        delayed = {state: before[state] for state in self.delays}
        for key, (a, b) in self.coefficients(ops, x, pre, delayed).items():
            if isinstance(key, tuple):
                product = times(a, tuple(before[name] for name in key))
                new |= {n: p + each for n, p, each in zip(key, product, b, strict=True)}
            else:
                new[key] = a * before[key] + b
        return self.output(ops, x, pre, new, delayed), [new[name] for name in self.state_names]


class ChunkedRNNCell(AbstractRNNCell):
    """Base class of cells that also compute several time steps at once, with `chunk`.

    They need not compute the states in between, which may be far larger than all else.
    """

    def chunk(
        self, ops: ModuleType, pre: Callable[..., Tensor], states: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the outputs (L, ..., N) of L steps and the states after them.

        Args:
            ops: as for `step`.
            pre: as for `step`, but of L steps.
            states: the states before the first of them.
        """
        raise NotImplementedError(f"{type(self).__name__} must define chunk")


def times(one: tuple, other: tuple) -> tuple:
    """Multiply two numbers, each (real,) or (real, imaginary)."""
    if len(one) == 1:
        return (one[0] * other[0],)
    return (
        one[0] * other[0] - one[1] * other[1],
        one[0] * other[1] + one[1] * other[0],
    )
