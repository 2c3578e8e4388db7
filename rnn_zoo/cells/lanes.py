"""A cell's equations for a population: each lane with its own nonlinearity and b^fg.

Legend: P lanes, B batch, N units.
"""

from typing import Any

from keras import activations, ops

from rnn_zoo.cells.base import AbstractRNNCell


def lane_cell(cell, names, choice, gate_bias):
    """Return a cell whose hyperparameters are arrays over lanes, for `rnn_zoo.functional.forward`.

    Args:
        cell: an `AbstractRNNCell`, whose equations are used; it is not changed.
        names: names of the nonlinearities s() that occur.
        choice: (P,) integers, each lane's place in `names`; not looked at where `names` is one.
        gate_bias: (P,) b^fg, or a pair of these for cells with two.

    Returns:
        A cell of which nothing but the equations may be used.
    """
    functions = [activations.get(name) for name in names]
    choice = choice[..., None, None]

    def activation(z):
        value = functions[0](z)
        for index, function in enumerate(functions[1:], start=1):
            value = ops.where(choice == index, function(z), value)
        return value

    pair = isinstance(gate_bias, (tuple, list))
    gate_bias = [bias[..., None, None] for bias in (gate_bias if pair else [gate_bias])]
    return replace(
        cell, activation=activation, gate_bias=tuple(gate_bias) if pair else gate_bias[0]
    )


def replace(cell: AbstractRNNCell, **attributes: Any) -> AbstractRNNCell:
    """Return a copy of a cell with other values of some attributes, for its equations only.

    The copy has the cell's own class, so that every method that `step` calls sees the new values.
    """
    copy = object.__new__(type(cell))
    # Not set by setattr: Keras would track the values, but the copy has no weights of its own.
    vars(copy).update(vars(cell) | attributes)
    return copy
