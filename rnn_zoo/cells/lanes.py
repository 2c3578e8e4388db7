"""Cells of a population whose lanes have their own nonlinearities, b^fg and options.

Legend: P lanes, B batch, N units.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from keras import activations, ops

from rnn_zoo.cells.base import AbstractRNNCell
from rnn_zoo.cells.noise import replace

Tensor = Any


def lane_cell(
    cell: AbstractRNNCell,
    names: Sequence[str],
    choice: Tensor,
    gate_bias: dict[str, Tensor],
    options: Mapping[str, Tensor] = MappingProxyType({}),
) -> AbstractRNNCell:
    """Return a cell whose hyperparameters are arrays over lanes, for `rnn_zoo.functional.forward`.

    Args:
        cell: the cell whose equations are used; it is not changed.
        names: names of the nonlinearities s() in use. A single one is the cell's own.
        choice: (P,) integers, each lane's index in `names`; ignored if there is only one name.
        gate_bias: b^fg (P,) of each gate in the cell's `forget_gates`.
        options: value (P,) of each of the cell's `lane_options`.

    Returns:
        A cell that is usable only for its equations.
    """
    functions = [cell.activation] if len(names) == 1 else [activations.get(n) for n in names]
    choice = choice[..., None, None]

    def activation(z):
        value = functions[0](z)
        for index, function in enumerate(functions[1:], start=1):
            value = ops.where(choice == index, function(z), value)
        return value

    gate_bias = {gate: bias[..., None, None] for gate, bias in gate_bias.items()}
    own = {name: value[..., None, None] for name, value in options.items()}
    return replace(cell, activation=activation, gate_bias=gate_bias, **own)
