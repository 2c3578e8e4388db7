"""Keras models of recurrent layers with a linear readout, and access to their weights.

Legend: B batch, T time, I input, N units, O output.
"""

from typing import Any

import keras
from keras import ops

from rnn_zoo.architectures import canonical_name
from rnn_zoo.cells import AbstractRNNCell
from rnn_zoo.functional import Weights, layer_seeds
from rnn_zoo.initializers import ScaledNormal
from rnn_zoo.layers import LAYERS, CellLayer
from rnn_zoo.stepper import Stepper

Tensor = Any


@keras.saving.register_keras_serializable("rnn_zoo")
class RecurrentModel(keras.Model):
    """Functional `keras.Model` of recurrent layers and a readout, made by `build_model`.

    Attributes:
        preset: the `rnn_zoo.presets.Preset` that the model was loaded from, or None.
    """

    preset: Any = None

    def stepper(self, batch_size: int = 1) -> Stepper:
        """Return an `rnn_zoo.Stepper` with a copy of the current weights.

        Args:
            batch_size: B, number of sequences streamed side by side.

        Raises:
            ValueError: `batch_size` below 1, or `check_as_built` refuses the model.
        """
        check_as_built(self)
        return Stepper(recurrent_cells(self), get_weights(self), batch_size)


def build_model(
    arch: str,
    depth: int,
    units: int,
    input_dim: int,
    output_dim: int,
    output_steps: slice = slice(None),
    seed: int | None = None,
    **options: Any,
) -> RecurrentModel:
    """Build a stack of `depth` recurrent layers and a linear readout.

    Args:
        arch: architecture name, a key of `rnn_zoo.CELLS`.
        depth: number of layers.
        units: N, units of each layer.
        input_dim: I, features of the input.
        output_dim: O, features of the readout.
        output_steps: slice of the time steps that are read out.
        seed: random seed of all initial values; each layer derives its own from it.
        **options: the cells' other arguments, such as `activation` or `gate_bias`.

    Returns:
        A functional `keras.Model` from (B, T, I) to (B, T', O) with dynamic batch and time, where
        T' is the number of `output_steps`.

    Raises:
        ValueError: unknown architecture, a dimension below 1, an option that the cell refuses.

    Example:
        model = rnn_zoo.build_model("ugrnn", depth=2, units=64, input_dim=27, output_dim=27)
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    """
    arch = canonical_name(arch)
    if depth < 1:
        raise ValueError(f"depth must be at least 1, got {depth}")
    seeds = layer_seeds(seed, depth)
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


def check_model(model: keras.Model) -> None:
    """Raise unless the model is a `RecurrentModel`.

    Raises:
        ValueError: it is not one, so nothing is known of its layers.
    """
    if not isinstance(model, RecurrentModel):
        raise ValueError(
            f"a {type(model).__name__} is no model of rnn_zoo.build_model or rnn_zoo.load"
        )


def check_as_built(model: keras.Model) -> None:
    """Raise unless the model equals `rnn_zoo.functional.forward` of its weights.

    Raises:
        ValueError: `check_model` refuses it; a layer runs backwards; or Keras has quantized the
            readout or added LoRA to it.
    """
    check_model(model)
    readout = model.get_layer("readout")
    if readout.quantization_mode is not None or readout.lora_enabled:
        raise ValueError("the readout is quantized or has LoRA, so its kernel is not all of it")
    for layer in model.layers:
        if getattr(layer, "go_backwards", False):
            raise ValueError(f"{layer.name} runs backwards, so it needs the whole sequence")


def recurrent_cells(model: keras.Model) -> list[AbstractRNNCell]:
    """Return the cells of a `RecurrentModel`, from the first layer to the last."""
    return [layer.cell for layer in model.layers if isinstance(layer, CellLayer)]


def initial_states(model: keras.Model, batch_size: int) -> list[list[Tensor]]:
    """Return the learned initial states of a `RecurrentModel`: per layer, a list of (B, N)."""
    return [
        keras.tree.flatten(cell.get_initial_state(batch_size=batch_size))
        for cell in recurrent_cells(model)
    ]


def step(
    model: keras.Model, x: Tensor, states: list[list[Tensor]]
) -> tuple[Tensor, list[list[Tensor]]]:
    """Run a `RecurrentModel` for one time step.

    Args:
        x: (B, I), the inputs of the step.
        states: states before the step, in the structure of `initial_states`.

    Returns:
        (outputs (B, O), states after the step).
    """
    after = []
    for cell, before in zip(recurrent_cells(model), states, strict=True):
        x, values = cell(x, before)
        after.append(values)
    return model.get_layer("readout")(x), after


def get_weights(model: keras.Model) -> Weights:
    """Return the weights of a `RecurrentModel` as NumPy arrays, in the form of `forward`."""
    readout = model.get_layer("readout")
    live = {
        "layers": [cell.weight_tensors(cell.variable_dtype) for cell in recurrent_cells(model)],
        "readout": {"kernel": readout.kernel.value, "bias": readout.bias.value},
    }
    return keras.tree.map_structure(ops.convert_to_numpy, live)


def set_weights(model: keras.Model, weights: Weights) -> None:
    """Assign weights in the form of `get_weights` to a `RecurrentModel`."""
    for cell, layer in zip(recurrent_cells(model), weights["layers"], strict=True):
        cell.assign_weights(layer)
    readout = model.get_layer("readout")
    readout.kernel.assign(weights["readout"]["kernel"])
    readout.bias.assign(weights["readout"]["bias"])
