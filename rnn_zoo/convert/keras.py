"""Conversion from and to Keras layers, and whole models of them."""

import functools
from typing import Any

import keras
import numpy as np

from rnn_zoo import layers
from rnn_zoo.convert import arrays
from rnn_zoo.convert.models import CONTAINERS, with_converted_layers

_FROM = {
    keras.layers.SimpleRNN: layers.RNN,
    keras.layers.GRU: layers.GRU,
    keras.layers.LSTM: layers.LSTM,
}
_TO = {ours: theirs for theirs, ours in _FROM.items()} | {
    layers.IRNN: keras.layers.SimpleRNN,
    layers.GRUResetAfter: keras.layers.GRU,
}
_OF_BIAS = ("bias_regularizer", "bias_constraint")
#: Options that both have.
_SHARED = (
    *("return_sequences", "return_state", "go_backwards", "stateful", "zero_output_for_mask"),
    *("dropout", "recurrent_dropout", "activity_regularizer"),
    *(f"{part}_{kind}" for part in ("kernel", "recurrent", "bias")
      for kind in ("regularizer", "constraint")),
)  # fmt: skip


def from_keras(layer: Any, learned_initial_state: bool = False) -> Any:
    """Return a layer or model with the weights and options of a Keras layer or model.

    Args:
        layer: a built `keras.layers.SimpleRNN`, `GRU`, or `LSTM` of `activation="tanh"`; or a
            Sequential or functional model, `Bidirectional` or `TimeDistributed` with such layers.
            Models may be nested.
        learned_initial_state: whether the initial states, zero in Keras, are trainable.

    Returns:
        A layer of `rnn_zoo.layers` with `gate_bias=0`, of the same name and options, a
        `GRUResetAfter` for a GRU of `reset_after=True`, Keras's default; or a copy of the model
        with such layers in place of Keras's. Other layers are copied with their weights. The model
        is not compiled, and stateful layers start anew.

    Raises:
        ValueError: another recurrent layer, one without weights, a GRU with `recurrent_dropout`, or
            with `reset_after` and a regularizer or constraint of the bias, or a layer inside a
            subclassed model or another layer.

    Example:
        layer = rnn_zoo.convert.from_keras(model.get_layer("gru"))
        model = rnn_zoo.convert.from_keras(keras.models.load_model("model.keras"))
    """
    if isinstance(layer, CONTAINERS):
        convert = functools.partial(from_keras, learned_initial_state=learned_initial_state)
        return with_converted_layers(layer, convert, _is_foreign)
    if type(layer) not in _FROM:
        raise ValueError(
            f"cannot convert {_described(layer)}; choose a layer that is exactly a "
            "keras.layers.SimpleRNN, GRU or LSTM"
        )
    _check(layer)
    cell, kind = layer.cell, _FROM[type(layer)]
    if getattr(layer, "reset_after", False):
        kind = layers.GRUResetAfter
    ours = kind(
        layer.units,
        activation=layer.activation,
        gate_bias=0.0,
        learned_initial_state=learned_initial_state,
        use_bias=cell.use_bias,
        **_gates(layer),
        **_common(layer),
    )
    numbers = keras.ops.convert_to_numpy
    bias, recurrent_bias = numbers(cell.bias) if cell.use_bias else None, None
    if kind is layers.GRUResetAfter and bias is not None:
        bias, recurrent_bias = bias
    return arrays.filled(
        ours,
        numbers(cell.kernel),
        numbers(cell.recurrent_kernel),
        bias,
        recurrent_bias,
        _batch_size(layer),
    )


def to_keras(layer: Any, drop_initial_state: bool = False, inference_only: bool = False) -> Any:
    """Return a Keras layer or model of an rnn_zoo layer or model of them; invert `from_keras`.

    Args:
        layer: a built `rnn_zoo.layers.RNN`, `IRNN`, `GRU`, `GRUResetAfter`, or `LSTM` of
            `activation="tanh"`; or a model or wrapper of such layers, as for `from_keras`.
        drop_initial_state: whether to drop learned initial states that are not zero.
        inference_only: whether to drop what acts in training alone and Keras lacks: `truncate`,
            `initial_noise`, `candidate_dropout`; and what acts otherwise there: a GRU's
            `recurrent_dropout`, and a regularizer or constraint of the bias of a `GRUResetAfter`,
            or if b^fg is not zero.

    Returns:
        A `keras.layers.SimpleRNN`, `GRU` or `LSTM`, with b^fg added to its bias; or a copy of the
        model with such layers.

    Raises:
        ValueError: another recurrent layer, one without weights, an initial state or an option that
            would be lost or act otherwise, or one inside a subclassed model or another layer.

    Example:
        layer = rnn_zoo.convert.to_keras(model.get_layer("layer_0"), drop_initial_state=True)
    """
    if isinstance(layer, CONTAINERS):
        convert = functools.partial(
            to_keras, drop_initial_state=drop_initial_state, inference_only=inference_only
        )
        return with_converted_layers(layer, convert, _is_ours)
    if type(layer) not in _TO:
        raise ValueError(
            f"keras.layers has no layer with the equations of {_described(layer)}; choose an "
            "rnn_zoo.layers.RNN, IRNN, GRU, GRUResetAfter or LSTM"
        )
    kind, options = _TO[type(layer)], _common(layer)
    theirs = f"keras.layers.{kind.__name__}"
    otherwise = _acting_otherwise(layer)
    arrays.check_ours(layer, theirs, drop_initial_state, inference_only, otherwise=otherwise)
    options = {name: value for name, value in options.items() if name not in otherwise}
    if kind is keras.layers.GRU:
        options["reset_after"] = isinstance(layer, layers.GRUResetAfter)
    if kind is not keras.layers.SimpleRNN:
        options |= _gates(layer)
    cell, (kernel, recurrent, *biases) = layer.cell, arrays.joined(layer)
    options["use_bias"] = cell.use_bias or bool(np.any(biases))
    found = kind(cell.units, activation=cell.activation, **options)
    # Keras 3.15's SimpleRNN ignores the argument.
    found.activity_regularizer = layer.activity_regularizer
    found.build((_batch_size(layer), None, len(kernel)))
    bias = np.stack(biases) if options.get("reset_after") else biases[0]
    found.set_weights([kernel, recurrent, bias] if options["use_bias"] else [kernel, recurrent])
    return found


def _acting_otherwise(layer):
    """Return the options that both have and that act otherwise in Keras, in training alone."""
    found = []
    if isinstance(layer, (layers.GRU, layers.GRUResetAfter)):
        # Keras applies it to the state that is carried on, too.
        found.append("recurrent_dropout")
    # b^fg becomes part of the bias, and `reset_after` has two that are added up.
    if any(layer.cell.gate_bias.values()) or isinstance(layer, layers.GRUResetAfter):
        found += _OF_BIAS
    return found


def _is_ours(layer):
    return isinstance(layer, layers.CellLayer)


def _is_foreign(layer):
    return isinstance(layer, keras.layers.RNN) and not _is_ours(layer)


def _described(layer):
    return (
        arrays.who(layer) if isinstance(layer, keras.layers.Layer) else f"a {type(layer).__name__}"
    )


def _batch_size(layer):
    """Return the number of samples of a stateful layer; None of others."""
    return layer.states[0].shape[0] if layer.stateful else None


def _gates(layer):
    """Return the nonlinearity of the gates, if there are any."""
    found = getattr(layer, "recurrent_activation", None)
    return {} if found is None else {"recurrent_activation": found}


def _common(layer):
    """Return the options that layers of Keras and rnn_zoo share."""
    return {option: getattr(layer, option) for option in _SHARED} | {
        "name": layer.name,
        "dtype": layer.dtype_policy,
        "trainable": layer.trainable,
        "autocast": layer.autocast,
    }


def _check(layer):
    """Refuse a Keras layer without an equivalent in rnn_zoo."""
    if isinstance(layer, keras.layers.GRU) and layer.recurrent_dropout:
        raise ValueError(
            f"{arrays.who(layer)} has recurrent_dropout, which Keras's GRU applies to the state "
            "that it carries on too, and rnn_zoo's to the products alone; train one without it"
        )
    for option in _OF_BIAS if getattr(layer, "reset_after", False) and layer.use_bias else ():
        if getattr(layer, option) is not None:
            raise ValueError(
                f"{arrays.who(layer)} has {option}, which Keras's GRU applies to each of its two "
                "biases, and rnn_zoo's to their sum; train one without it"
            )
    arrays.check_activation(layer, layer.activation)
    arrays.check_built(layer)
