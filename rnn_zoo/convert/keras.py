"""Conversion from and to Keras layers."""

from typing import Any

import keras
import numpy as np

from rnn_zoo import layers
from rnn_zoo.convert import arrays

_FROM = {
    keras.layers.SimpleRNN: layers.RNN,
    keras.layers.GRU: layers.GRU,
    keras.layers.LSTM: layers.LSTM,
}
_TO = {ours: theirs for theirs, ours in _FROM.items()} | {layers.IRNN: keras.layers.SimpleRNN}
_CALLING = ("return_sequences", "return_state", "go_backwards", "zero_output_for_mask")
#: Options of Keras layers that rnn_zoo layers lack.
_THEIRS_ALONE = (
    "stateful",
    "dropout",
    "recurrent_dropout",
    "activity_regularizer",
    "kernel_regularizer",
    "recurrent_regularizer",
    "bias_regularizer",
    "kernel_constraint",
    "recurrent_constraint",
    "bias_constraint",
)


def from_keras(layer: Any, learned_initial_state: bool = False) -> layers.CellLayer:
    """Return a layer with the weights and options of a Keras layer.

    Args:
        layer: a built `keras.layers.SimpleRNN`, `GRU` of `reset_after=False`, or `LSTM` of
            `activation="tanh"`, with sigmoid gates. A missing bias becomes zero.
        learned_initial_state: whether the initial state, zero in Keras, is trainable.

    Returns:
        A layer of `rnn_zoo.layers` with `gate_bias=0`, of the same name, precision, `trainable`,
        `return_sequences`, `return_state`, `go_backwards` and `zero_output_for_mask`.

    Raises:
        ValueError: another layer, one without weights, or one with options that rnn_zoo layers
            lack: dropout, regularizers, constraints, `stateful=True`.

    Example:
        layer = rnn_zoo.convert.from_keras(model.get_layer("gru"))
    """
    if type(layer) not in _FROM:
        raise ValueError(
            f"cannot convert a {type(layer).__name__}; choose a layer that is exactly a "
            "keras.layers.SimpleRNN, GRU or LSTM"
        )
    _check(layer)
    cell, kind = layer.cell, _FROM[type(layer)]
    ours = kind(
        layer.units,
        activation=layer.activation,
        gate_bias=0.0,
        learned_initial_state=learned_initial_state,
        **_common(layer),
    )
    bias = cell.bias if cell.use_bias else np.zeros(cell.kernel.shape[1])
    weights = (cell.kernel, cell.recurrent_kernel, bias)
    return arrays.filled(ours, *map(keras.ops.convert_to_numpy, weights))


def to_keras(layer: layers.CellLayer, drop_initial_state: bool = False) -> Any:
    """Return a Keras layer with the weights and options of an rnn_zoo layer; invert `from_keras`.

    Args:
        layer: a built `rnn_zoo.layers.RNN`, `IRNN`, `GRU`, or `LSTM` of `activation="tanh"`.
        drop_initial_state: whether to drop a learned initial state that is not zero.

    Returns:
        A `keras.layers.SimpleRNN`, `GRU` or `LSTM`, with b^fg added to its bias.

    Raises:
        ValueError: another layer, one without weights, or an initial state that would be lost.

    Example:
        layer = rnn_zoo.convert.to_keras(model.get_layer("layer_0"), drop_initial_state=True)
    """
    if type(layer) not in _TO:
        raise ValueError(
            f"keras.layers has none with the equations of {type(layer).__name__}; choose an "
            "rnn_zoo.layers.RNN, IRNN, GRU or LSTM"
        )
    kind, options = _TO[type(layer)], {}
    arrays.check_ours(layer, f"keras.layers.{kind.__name__}", drop_initial_state)
    if kind is keras.layers.GRU:
        options["reset_after"] = False
    cell, weights = layer.cell, arrays.joined(layer)
    theirs = kind(cell.units, activation=cell.activation, **options, **_common(layer))
    theirs.build((None, None, len(weights[0])))
    theirs.set_weights(weights)
    return theirs


def _common(layer):
    """Return the options that layers of Keras and rnn_zoo share."""
    return {option: getattr(layer, option) for option in _CALLING} | {
        "name": layer.name,
        "dtype": layer.dtype_policy,
        "trainable": layer.trainable,
    }


def _check(layer):
    """Refuse a Keras layer without an equivalent in rnn_zoo."""
    who = arrays.who(layer)
    for option in _THEIRS_ALONE:
        if getattr(layer, option):
            raise ValueError(
                f"{who} has {option}, which layers of rnn_zoo do not; convert one without it that "
                "has the same weights"
            )
    if getattr(layer, "reset_after", False):
        raise ValueError(
            f"{who} resets the state after its product, and rnn_zoo.layers.GRU before it, eq. (7); "
            "train one of reset_after=False"
        )
    gates = getattr(layer, "recurrent_activation", keras.activations.sigmoid)
    if gates is not keras.activations.sigmoid:
        raise ValueError(
            f"{who} has recurrent_activation {arrays.name(gates)}, and gates of rnn_zoo are "
            "sigmoid; train one of recurrent_activation='sigmoid'"
        )
    arrays.check_activation(layer, layer.activation)
    arrays.check_built(layer)
