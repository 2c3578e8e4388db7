"""A cell's equations for a population: each lane with its own nonlinearity and b^fg.

Legend: P lanes, B batch, N units.
"""

from keras import activations, ops


def lane_cell(cell, names, choice, gate_bias):
    """The cell with hyperparameters that are arrays over lanes.

    Stands for the cell in `rnn_zoo.model.forward`. It is of the cell's own class, so that whatever
    a `step` calls, its methods or its parent's, computes with the lanes' hyperparameters too.

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
    lanes = object.__new__(type(cell))
    # Keras keeps account of what is set on a layer; this is none, but for its methods.
    vars(lanes).update(vars(cell))
    vars(lanes).update(activation=activation, gate_bias=tuple(gate_bias) if pair else gate_bias[0])
    return lanes
