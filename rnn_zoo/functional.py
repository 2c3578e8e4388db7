"""Stacks of recurrent layers with a linear readout, as functions of plain arrays of weights.

Legend: T time, B batch, I input, N units, O output; "..." leading axes of a population of models.
"""

import random
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from rnn_zoo.architectures import canonical_name
from rnn_zoo.cells import CELLS, AbstractRNNCell
from rnn_zoo.initializers import ScaledNormal
from rnn_zoo.sizing import count_params
from rnn_zoo.unroll import affine, unroll

Tensor = Any
#: dict(layers=[...], readout=dict(kernel (..., N, O), bias (..., O))); each layer has the structure
#: of `AbstractRNNCell.weight_tensors`.
Weights = dict[str, Any]


def make_cells(
    arch: str, depth: int, units: int, seed: int | None = None, **options: Any
) -> list[AbstractRNNCell]:
    """Make the unbuilt cells of a model's layers, for `draw_weights` and `forward`.

    Arguments are those of `rnn_zoo.build_model`.
    """
    cell_class = CELLS[canonical_name(arch)]
    return [cell_class(units, seed=layer, **options) for layer in layer_seeds(seed, depth)[:-1]]


def draw_weights(
    cells: Sequence[AbstractRNNCell], input_dim: int, output_dim: int, seed: int
) -> Weights:
    """Draw the initial weights of `rnn_zoo.build_model` with this seed, without building a model.

    Args:
        cells: result of `make_cells` with the same seed.
        input_dim, output_dim, seed: as for `rnn_zoo.build_model`.

    Returns:
        NumPy arrays in the structure that `forward` takes.
    """
    units = cells[0].units
    readout = ScaledNormal(seed=layer_seeds(seed, len(cells))[-1])
    return {
        "layers": [
            cell.draw_weights(units if layer else input_dim) for layer, cell in enumerate(cells)
        ],
        "readout": {
            "kernel": readout.draw((units, output_dim)).astype("float32"),
            "bias": np.zeros(output_dim, "float32"),
        },
    }


def weights_to_fill(
    arch: str,
    depth: int,
    units: int,
    input_dim: int,
    output_dim: int,
    found: int,
    **options: Any,
) -> Weights:
    """Draw weights whose places those of a file will take.

    Args:
        found: number of weights in the file.
        arch, depth, units, input_dim, output_dim, **options: as for `rnn_zoo.build_model`.

    Raises:
        ValueError: the model has far more weights than the file, and maybe than memory holds.
    """
    count = count_params(arch, depth, units, input_dim, output_dim)
    # Options, such as initial states that are not learned, change it by less than this factor.
    if count > 4 * found:
        raise ValueError(f"the model has {count:,} weights, and the file {found:,}")
    cells = make_cells(arch, depth, units, seed=0, **options)
    return draw_weights(cells, input_dim, output_dim, seed=0)


def layer_seeds(seed: int | None, depth: int) -> list[int]:
    """Return a seed for each layer and one for the readout."""
    if seed is None:  # `keras.utils.set_random_seed` makes Python's `random` reproducible
        seed = random.randint(0, 2**31 - 1)
    return [int(word) for word in np.random.SeedSequence(seed).generate_state(depth + 1)]


def named(weights: Any) -> dict[str, Any]:
    """Return the arrays of a nested structure as an ordered dict, keyed like layers/0/input/c."""
    flat = keras.tree.flatten_with_path(weights)
    return {"/".join(map(str, path)): array for path, array in flat}


def forward(
    cells: Sequence[AbstractRNNCell],
    weights: Weights,
    inputs: Any,
    output_steps: slice = slice(None),
) -> Tensor:
    """Compute the outputs of a model of `rnn_zoo.build_model` as a function of its weights.

    Args:
        cells: result of `make_cells` or `rnn_zoo.model.recurrent_cells`; only their equations are
            used.
        weights: dict(layers=[...], readout=dict(kernel (..., N, O), bias (..., O))), as returned
            by `rnn_zoo.model.get_weights`, with leading axes "..." for a population.
        inputs: (..., B, T, I), or structured inputs from `rnn_zoo.inputs`.
        output_steps: slice of the time steps that are read out.

    Returns:
        (..., B, T', O), where T' is the number of `output_steps`.
    """
    x, _ = unroll(cells[0], weights["layers"][0], inputs)
    for cell, layer in zip(cells[1:], weights["layers"][1:], strict=True):
        x, _ = unroll(cell, layer, x, time_major=True)
    readout = weights["readout"]
    return ops.moveaxis(affine(x[output_steps], time_major=True, **readout), 0, -2)
