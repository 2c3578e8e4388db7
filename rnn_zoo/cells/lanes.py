"""A cell's equations for a population: each lane with its own nonlinearity and b^fg.

Legend: P lanes, B batch, N units.
"""

from keras import activations, ops


class LaneCell:
    """The equations of a cell with hyperparameters that are arrays over lanes.

    Stands for the cell in `rnn_zoo.model.forward`; it has no weights of its own.

    Args:
        cell: an `AbstractRNNCell`, whose `step` is used.
        names: names of the nonlinearities s() that occur.
        choice: (P,) integers, each lane's place in `names`; not looked at where `names` is one.
        gate_bias: (P,) b^fg, or a pair of these for cells with two.
    """

    def __init__(self, cell, names, choice, gate_bias):
        self._cell = cell
        self._functions = [activations.get(name) for name in names]
        self._choice = choice[..., None, None]
        pair = isinstance(gate_bias, (tuple, list))
        self.gate_bias = (
            tuple(bias[..., None, None] for bias in gate_bias)
            if pair
            else gate_bias[..., None, None]
        )

    def __getattr__(self, name):
        return getattr(self._cell, name)

    def step(self, x, pre, states):
        return type(self._cell).step(self, x, pre, states)

    def after_read_in(self, x):
        return type(self._cell).after_read_in(self, x)

    def activation(self, z):
        value = self._functions[0](z)
        for index, function in enumerate(self._functions[1:], start=1):
            value = ops.where(self._choice == index, function(z), value)
        return value
