"""Parameter counts of stacks, and the number of units for a budget, without building a model.

The counts include all trained weights: each layer's input and recurrent matrices, biases and
learned initial states; the read-in of a +RNN whose input is not N wide, and of every MinimalRNN;
the readout's matrix and bias. b^fg is a hyperparameter and not counted. As in section 1.2 of the
paper, a budget gets the largest number of units, equal in all layers, that does not exceed it.

Legend: I input, N units, O output, G gates, S states.
"""

import math
from typing import Any

from rnn_zoo.algebra import divisor, weight_shapes
from rnn_zoo.architectures import ARCHITECTURES, canonical_name


def count_params(arch: Any, depth: int, units: int, input_dim: int, output_dim: int) -> int:
    """Count the trainable parameters of a stack with a linear readout.

    A layer of G gates with all parts has G (I N + N^2 + N) + S N parameters, the readout N O + O,
    and a read-in I N + N.

    Args:
        arch: an architecture's name, or a cell class.
        depth: number of layers.
        units: N, units of each layer.
        input_dim: I, features of the input.
        output_dim: O, features of the readout.

    Returns:
        The count, equal to `build_model(...).count_params()`.

    Raises:
        ValueError: unknown architecture, a dimension below 1, or units that the blocks or heads of
            the cell do not divide.
    """
    first, other, readout = _shapes(arch, depth, units, input_dim, output_dim)
    # Not through a list of all layers: a damaged card may have any depth.
    return _size(first) + (depth - 1) * _size(other) + _size(readout)


def stack_shapes(
    arch: Any, depth: int, units: int, input_dim: int, output_dim: int
) -> list[tuple[int, ...]]:
    """List the shapes of the weights of a stack with a linear readout.

    Arguments and errors are those of `count_params`.
    """
    first, other, readout = _shapes(arch, depth, units, input_dim, output_dim)
    return [*first, *(depth - 1) * other, *readout]


def _size(shapes):
    return sum(map(math.prod, shapes))


def _shapes(arch, depth, units, input_dim, output_dim):
    """Return the shapes of the weights: the first layer's, each other one's, the readout's."""
    cell = _facts(arch)
    for name, value in dict(
        depth=depth, units=units, input_dim=input_dim, output_dim=output_dim
    ).items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if units % (unit := divisor(cell.gates)):
        name = getattr(arch, "__name__", arch)
        raise ValueError(f"units of {name} must be a multiple of {unit}, got {units}")

    def layer(features):
        parts = weight_shapes(cell, units, features).values()
        shapes = (part.values() if isinstance(part, dict) else part for part in parts)
        return [shape for part in shapes for shape in part]

    return layer(input_dim), layer(units), [(units, output_dim), (output_dim,)]


def units_for_budget(
    arch: Any, depth: int, max_params: int, input_dim: int, output_dim: int
) -> int:
    """Find the largest N whose stack has at most `max_params` parameters.

    Args:
        arch, depth, input_dim, output_dim: as for `count_params`.
        max_params: the budget.

    Returns:
        N, the number of units of each layer.

    Raises:
        ValueError: no number of units fits; the message states the smallest possible count.
    """

    def count(units):
        return count_params(arch, depth, units, input_dim, output_dim)

    unit = divisor(_facts(arch).gates)  # N must be a multiple of it
    low, high = 1, 2
    while count(high * unit) <= max_params:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle * unit) <= max_params else (low, middle)
    candidates = {unit, low * unit}
    # With N = I the +RNN needs no read-in, so it may fit although a smaller N does not.
    candidates |= set() if input_dim % unit else {input_dim}
    fitting = [units for units in candidates if count(units) <= max_params]
    if not fitting:
        smallest = min(count(units) for units in candidates)
        raise ValueError(
            f"a budget of {max_params:,} parameters is too small for {arch} at depth {depth} with "
            f"{input_dim} inputs and {output_dim} outputs; the smallest such model has {smallest:,}"
        )
    return max(fitting)


def _facts(arch):
    return ARCHITECTURES[canonical_name(arch)] if isinstance(arch, str) else arch
