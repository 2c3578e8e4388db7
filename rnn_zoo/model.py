"""Stacks of recurrent layers with a linear readout: as a Keras model, and as a plain function.

Legend: T time, B batch, I input, N units, O output; "..." leading axes of a population of models.
"""

import random

import keras
import numpy as np
from keras import ops

from rnn_zoo.architectures import canonical_name
from rnn_zoo.cells import CELLS
from rnn_zoo.initializers import ScaledNormal
from rnn_zoo.layers import LAYERS, CellLayer
from rnn_zoo.unroll import affine, unroll


@keras.saving.register_keras_serializable("rnn_zoo")
class RecurrentModel(keras.Model):
    """A functional `keras.Model` of recurrent layers and a readout; made by `build_model`.

    Attributes:
        preset: the `rnn_zoo.presets.Preset` that it was loaded from; None for another.
    """

    preset = None

    def stepper(self, batch_size=1):
        """Streams with the weights that the model has now: see `rnn_zoo.Stepper`."""
        from rnn_zoo.stepper import Stepper

        return Stepper(self, batch_size)


def build_model(
    arch, depth, units, input_dim, output_dim, output_steps=slice(None), seed=None, **options
):
    """Builds a stack of `depth` recurrent layers and a linear readout.

    Args:
        arch: architecture name, as in `rnn_zoo.CELLS`.
        depth: number of layers.
        units: N, units of each layer.
        input_dim: I, features of the input.
        output_dim: O, features of the readout.
        output_steps: slice of the time steps that are read out.
        seed: of all initial values; each layer draws its own from it.
        **options: the cells' other arguments, as `activation` or `gate_bias`.

    Returns:
        A `RecurrentModel`, which is a functional `keras.Model`, from (B, T, I) to (B, T', O) with
        batch and time dynamic, T' being the number of `output_steps`.

    Raises:
        ValueError: unknown architecture, a dimension below 1, an option that the cell refuses.

    Example:
        model = rnn_zoo.build_model("ugrnn", depth=2, units=64, input_dim=27, output_dim=27)
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    """
    arch = canonical_name(arch)
    if depth < 1:
        raise ValueError(f"depth must be at least 1, got {depth}")
    seeds = _seeds(seed, depth)
    inputs = x = keras.Input((None, input_dim), name="inputs")
    for layer in range(depth):
        x = LAYERS[arch](
            units, return_sequences=True, seed=seeds[layer], name=f"layer_{layer}", **options
        )(x)
    if output_steps != slice(None):
        x = x[:, output_steps]
    readout = keras.layers.Dense(
        output_dim, kernel_initializer=ScaledNormal(seed=seeds[-1]), name="readout"
    )
    return RecurrentModel(inputs, readout(x), name=f"{arch.replace('+', 'plus_')}_{depth}x{units}")


def check_model(model):
    """Refuses what `build_model` has not made, and so has other layers.

    Raises:
        ValueError: it is no `RecurrentModel`.
    """
    if not isinstance(model, RecurrentModel):
        raise ValueError(
            f"a {type(model).__name__} is no model of rnn_zoo.build_model or rnn_zoo.load"
        )


def check_as_built(model):
    """Refuses a model that computes something else than `forward` of its weights.

    Raises:
        ValueError: `check_model` refuses it; a layer reads backwards; Keras has quantised the
            readout, or given it LoRA.
    """
    check_model(model)
    readout = model.get_layer("readout")
    if readout.quantization_mode is not None or readout.lora_enabled:
        raise ValueError("the readout is quantised, or has LoRA: its kernel is not the whole of it")
    for layer in model.layers:
        if getattr(layer, "go_backwards", False):
            raise ValueError(f"{layer.name} reads backwards: it needs the whole sequence")


def make_cells(arch, depth, units, seed=None, **options):
    """The cells of a model's layers, unbuilt: for `draw_weights` and `forward`.

    Arguments are those of `build_model`.
    """
    cell_class = CELLS[canonical_name(arch)]
    cells = [cell_class(units, seed=layer, **options) for layer in _seeds(seed, depth)[:-1]]
    if cells[0].weights:
        names = ", ".join(weight.name for weight in cells[0].weights)
        raise ValueError(f"{cell_class.__name__} has weights that no gate has: {names}")
    return cells


def draw_weights(cells, input_dim, output_dim, seed):
    """The first weights of the model that `build_model` makes with this seed, without making it.

    Args:
        cells: of `make_cells` with the same seed.
        input_dim, output_dim, seed: as for `build_model`.

    Returns:
        NumPy arrays in the form of `forward`.
    """
    units = cells[0].units
    readout = ScaledNormal(seed=_seeds(seed, len(cells))[-1])
    return {
        "layers": [
            cell.draw_weights(units if layer else input_dim) for layer, cell in enumerate(cells)
        ],
        "readout": {
            "kernel": readout.draw((units, output_dim)).astype("float32"),
            "bias": np.zeros(output_dim, "float32"),
        },
    }


def _seeds(seed, depth):
    """A seed for each layer and one for the readout."""
    if seed is None:
        seed = random.randint(0, 2**31 - 1)  # as keras.utils.set_random_seed makes repeatable
    return [int(word) for word in np.random.SeedSequence(seed).generate_state(depth + 1)]


def recurrent_cells(model):
    """The cells of a model that `build_model` made, from the first layer to the last."""
    return [layer.cell for layer in model.layers if isinstance(layer, CellLayer)]


def initial_states(model, batch_size):
    """The learned initial states of a model that `build_model` made.

    Returns:
        A list for each layer, of its states (B, N).
    """
    return [
        keras.tree.flatten(cell.get_initial_state(batch_size=batch_size))
        for cell in recurrent_cells(model)
    ]


def step(model, x, states):
    """One time step of a model that `build_model` made.

    Args:
        x: (B, I), the input of the step.
        states: those before it, as `initial_states` gives them.

    Returns:
        (outputs (B, O), the states after it).
    """
    after = []
    for cell, before in zip(recurrent_cells(model), states, strict=True):
        x, values = cell(x, before)
        after.append(values)
    return model.get_layer("readout")(x), after


def get_weights(model):
    """The weights of a model that `build_model` made, as NumPy arrays in the form of `forward`."""
    readout = model.get_layer("readout")
    live = {
        "layers": [cell.weight_tensors(cell.variable_dtype) for cell in recurrent_cells(model)],
        "readout": {"kernel": readout.kernel.value, "bias": readout.bias.value},
    }
    return keras.tree.map_structure(ops.convert_to_numpy, live)


def named(weights):
    """The arrays of a nested structure by their paths, as layers/0/input/c, in its order."""
    flat = keras.tree.flatten_with_path(weights)
    return {"/".join(map(str, path)): array for path, array in flat}


def set_weights(model, weights):
    """Sets what `get_weights` returns."""
    for cell, layer in zip(recurrent_cells(model), weights["layers"], strict=True):
        cell.assign_weights(layer)
    readout = model.get_layer("readout")
    readout.kernel.assign(weights["readout"]["kernel"])
    readout.bias.assign(weights["readout"]["bias"])


def forward(cells, weights, inputs, output_steps=slice(None)):
    """What a model of `build_model` computes, as a function of its weights.

    Args:
        cells: `recurrent_cells(model)`; only their equations are used.
        weights: dict(layers=[...], readout=dict(kernel (..., N, O), bias (..., O))) as of
            `get_weights`, with leading axes "..." for a population.
        inputs: (..., B, T, I), or a form of `rnn_zoo.inputs`.
        output_steps: slice of the time steps that are read out.

    Returns:
        (..., B, T', O).
    """
    x, _ = unroll(cells[0], weights["layers"][0], inputs)
    for cell, layer in zip(cells[1:], weights["layers"][1:], strict=True):
        x, _ = unroll(cell, layer, x, time_major=True)
    readout = weights["readout"]
    return ops.moveaxis(affine(x[output_steps], time_major=True, **readout), 0, -2)
