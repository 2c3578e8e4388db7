"""Keras models of recurrent layers with a linear readout, and access to their weights.

Legend: B batch, T time, I input, N units, O output.
"""

from typing import Any, NamedTuple

import keras
from keras import ops

from rnn_zoo.architectures import canonical_name
from rnn_zoo.cells import AbstractRNNCell
from rnn_zoo.functional import Weights, layer_seeds
from rnn_zoo.initializers import ScaledNormal
from rnn_zoo.layers import LAYERS, CellLayer
from rnn_zoo.sizing import count_params
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
        """Return `make_stepper(self, batch_size)`."""
        return make_stepper(self, batch_size)


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
    count_params(arch, depth, units, input_dim, output_dim)  # refuses what is below 1
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


class Stack(NamedTuple):
    """The parts of a model of recurrent layers and a readout.

    Attributes:
        layers: the recurrent layers, from the first to the last.
        readout: the layer after them.
    """

    layers: list[CellLayer]
    readout: keras.layers.Dense


#: Layers that do nothing in inference.
_IDENTITIES = (
    keras.layers.InputLayer,
    keras.layers.Dropout,
    keras.layers.SpatialDropout1D,
    keras.layers.GaussianNoise,
    keras.layers.GaussianDropout,
    keras.layers.ActivityRegularization,
)


def stack_of(model: keras.Model) -> Stack:
    """Find the recurrent layers and the readout of a model.

    Args:
        model: of `rnn_zoo.build_model` or `rnn_zoo.load`, or any Sequential or functional model
            that is a chain of layers of rnn_zoo and one `keras.layers.Dense` after them. Dropout
            and other layers that do nothing in inference may stand between.

    Raises:
        ValueError: another model, or one that is not built.
    """
    if isinstance(model, RecurrentModel):
        layers = [layer for layer in model.layers if isinstance(layer, CellLayer)]
        return Stack(layers, model.get_layer("readout"))
    layers = [layer for layer in model.layers if not isinstance(layer, _IDENTITIES)]
    recurrent, readout = layers[:-1], layers[-1] if layers else None
    is_stack = isinstance(readout, keras.layers.Dense) and bool(recurrent)
    is_stack &= all(isinstance(layer, CellLayer) for layer in recurrent)
    if not (is_stack and _is_chain(model)):
        kinds = ", ".join(type(layer).__name__ for layer in layers) or "none"
        raise ValueError(
            f"the model {model.name} must be a built chain of recurrent layers of rnn_zoo and a "
            f"Dense layer; its layers are {kinds}"
        )
    return Stack(recurrent, readout)


def _is_chain(model):
    """Return whether each layer's only input is the output of the layer before."""
    try:
        outputs = [model.inputs[0], *(layer.output for layer in model.layers)]
        inputs = [layer.input for layer in model.layers]
    except (AttributeError, ValueError, TypeError):  # not built, or called several times
        return False
    is_input = isinstance(model.layers[0], keras.layers.InputLayer)
    pairs = zip(inputs[is_input:], outputs[is_input:], strict=False)
    return len(model.inputs) == 1 and all(one is other for one, other in pairs)


def make_stepper(model: keras.Model, batch_size: int = 1) -> Stepper:
    """Return an `rnn_zoo.Stepper` of a model, with a copy of its current weights.

    Args:
        model: as for `stack_of`. If its last recurrent layer returns the last output alone, a
            stepper returns that of each step.
        batch_size: B, number of sequences streamed side by side.

    Raises:
        ValueError: `batch_size` below 1, or a model that cannot be streamed.
    """
    check_streamable(model)
    readout = stack_of(model).readout
    return Stepper(recurrent_cells(model), get_weights(model), batch_size, readout.activation)


def check_as_built(model: keras.Model) -> None:
    """Raise unless the model equals `rnn_zoo.functional.forward` of its weights.

    Raises:
        ValueError: it is not a `RecurrentModel`; a layer runs backwards; or Keras has quantized the
            readout or added LoRA to it.
    """
    if not isinstance(model, RecurrentModel):
        raise ValueError(
            f"expected a model of rnn_zoo.build_model or rnn_zoo.load, got a {type(model).__name__}"
        )
    check_streamable(model)


def check_streamable(model: keras.Model) -> None:
    """Raise unless the model equals its steps, one after the other.

    Raises:
        ValueError: it is not as for `stack_of`; a layer runs backwards; or Keras has quantized the
            readout or added LoRA to it.
    """
    layers, readout = stack_of(model)
    if readout.quantization_mode is not None or readout.lora_enabled:
        raise ValueError(
            "the readout is quantized or has LoRA, so its kernel alone does not determine it"
        )
    for layer in layers:
        if layer.go_backwards:
            raise ValueError(f"{layer.name} runs backwards, so it needs the whole sequence")


def recurrent_cells(model: keras.Model) -> list[AbstractRNNCell]:
    """Return the cells of a model, from the first layer to the last; see `stack_of`."""
    return [layer.cell for layer in stack_of(model).layers]


def initial_states(model: keras.Model, batch_size: int) -> list[list[Tensor]]:
    """Return the learned initial states of a model: per layer, a list of (B, N)."""
    return [
        keras.tree.flatten(cell.get_initial_state(batch_size=batch_size))
        for cell in recurrent_cells(model)
    ]


def step(
    model: keras.Model, x: Tensor, states: list[list[Tensor]]
) -> tuple[Tensor, list[list[Tensor]]]:
    """Run a model, as for `stack_of`, for one time step.

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
    return stack_of(model).readout(x), after


def get_weights(model: keras.Model) -> Weights:
    """Return the weights of a model, as for `stack_of`, in NumPy, in the form of `forward`.

    Biases that the model does not have are zeros.
    """
    layers, readout = stack_of(model)
    bias = readout.bias.value if readout.use_bias else ops.zeros(readout.units)
    live = {
        "layers": [layer.cell.weight_tensors(layer.cell.variable_dtype) for layer in layers],
        "readout": {"kernel": readout.kernel.value, "bias": bias},
    }
    return keras.tree.map_structure(ops.convert_to_numpy, live)


def set_weights(model: keras.Model, weights: Weights) -> None:
    """Assign weights in the form of `get_weights` to a model."""
    layers, readout = stack_of(model)
    for layer, values in zip(layers, weights["layers"], strict=True):
        layer.cell.assign_weights(values)
    readout.kernel.assign(weights["readout"]["kernel"])
    if readout.use_bias:
        readout.bias.assign(weights["readout"]["bias"])
