"""How many parameters a stack has, and how many units fit a budget, without building a model.

Counted are the weights that training changes: of each layer the input and recurrent matrices, one
bias a gate and the learned initial states; the +RNN's read-in where its input is not N wide, and
the MinimalRNN's in every layer; the readout's matrix and bias. b^fg is a hyperparameter. (Section
1.2 of the paper asks for the largest number of units, the same in every layer, whose total does not
exceed the budget.)

Legend: I input, N units, O output, G gates, S states.
"""

from rnn_zoo.architectures import ARCHITECTURES, canonical_name


def count_params(arch, depth, units, input_dim, output_dim):
    """Counts the trainable parameters of a stack with a linear readout.

    A layer has G (I N + N^2 + N) + S N, the readout N O + O, a read-in I N + N.

    Args:
        arch: an architecture's name, or a cell class of one's own.
        depth: number of layers.
        units: N, units of each layer.
        input_dim: I, features of the input.
        output_dim: O, features of the readout.

    Returns:
        The count, equal to `build_model(...).count_params()`.

    Raises:
        ValueError: unknown architecture, or a dimension below 1.
    """
    shape = ARCHITECTURES[canonical_name(arch)] if isinstance(arch, str) else arch
    for name, value in dict(
        depth=depth, units=units, input_dim=input_dim, output_dim=output_dim
    ).items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    gates, states = len(shape.gates), len(shape.state_names)

    def layer(features):
        read_in = 0
        if shape.always_reads_in or (shape.mixes_input and features != units):
            read_in, features = features * units + units, units
        return read_in + gates * (features * units + units * units + units) + states * units

    readout = units * output_dim + output_dim
    return layer(input_dim) + (depth - 1) * layer(units) + readout


def units_for_budget(arch, depth, max_params, input_dim, output_dim):
    """Finds the largest N whose stack has at most `max_params` parameters.

    Args:
        arch, depth, input_dim, output_dim: as for `count_params`.
        max_params: the budget.

    Returns:
        N, the units of each layer.

    Raises:
        ValueError: not even one unit fits; the message has the smallest possible count.
    """

    def count(units):
        return count_params(arch, depth, units, input_dim, output_dim)

    candidates = {1}
    low, high = 1, 2
    while count(high) <= max_params:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) <= max_params else (low, middle)
    candidates.add(low)
    # Where N equals I the +RNN needs no read-in, so it may fit though a smaller N did not.
    candidates.add(input_dim)
    fitting = [units for units in candidates if count(units) <= max_params]
    if not fitting:
        smallest = min(count(units) for units in candidates)
        raise ValueError(
            f"a budget of {max_params:,} parameters is too small for {arch} at depth {depth} with "
            f"{input_dim} inputs and {output_dim} outputs; the smallest such model has {smallest:,}"
        )
    return max(fitting)
