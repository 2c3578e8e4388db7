"""Copies of whole models and wrappers in which the recurrent layers are converted."""

import copy
import functools
from collections.abc import Callable
from typing import Any

import keras

from rnn_zoo.convert import arrays

#: What `with_converted_layers` takes: its inner layers can be exchanged.
CONTAINERS = (keras.Model, keras.layers.Bidirectional, keras.layers.TimeDistributed)


def with_converted_layers(
    container: Any, convert: Callable[[Any], Any], is_source: Callable[[Any], bool]
) -> Any:
    """Return a copy of a model or wrapper with its recurrent layers converted.

    All other layers are copied with their weights.

    Args:
        container: a `keras.Sequential`, a functional model, `Bidirectional` or `TimeDistributed`.
        convert: function that returns the equivalent of a recurrent layer, with its weights.
        is_source: function that returns whether a layer is to be converted.

    Raises:
        ValueError: a model without weights, a recurrent layer inside a subclassed model or a layer
            of another class, or any that `convert` raises.
    """

    @functools.cache  # so that a layer used twice stays shared
    def replace(layer):
        if is_source(layer):
            return convert(layer)
        inner = layer._flatten_layers() if isinstance(layer, keras.layers.Layer) else []
        sources = [each for each in inner if is_source(each)]
        if not sources:
            return _copy(layer)
        if isinstance(layer, (keras.Sequential, keras.Function)):
            return _model(layer, replace)
        if type(layer) is keras.layers.TimeDistributed:
            return _wrapper(layer, {"layer": replace(layer.layer)})
        if type(layer) is keras.layers.Bidirectional:
            return _bidirectional(layer, convert)
        raise ValueError(
            f"cannot convert {arrays.who(sources[0])} inside {arrays.who(layer)}; convert it "
            "alone, and build the outer layer around the result"
        )

    return replace(container)


def _model(model, replace):
    arrays.check_built(model)
    if isinstance(model, keras.Sequential):
        (inputs,) = model.inputs
        start = keras.Input(batch_shape=inputs.shape, dtype=inputs.dtype, name=inputs.name)
        return keras.Sequential([start, *map(replace, model.layers)], name=model.name)
    # A plain model of the same layers: neither its class nor a loss of one's own is in the way.
    plain = keras.Model(model.input, model.output, name=model.name)
    return keras.models.clone_model(plain, clone_function=replace)


def _wrapper(wrapper, inner):
    return type(wrapper)(**wrapper.get_config() | inner)


def _bidirectional(layer, convert):
    forward, backward = map(convert, (layer.forward_layer, layer.backward_layer))
    found = _wrapper(layer, {"layer": forward, "backward_layer": backward})
    # It makes its forward layer anew, from the configuration.
    found.build(forward.get_build_config()["input_shape"])
    found.forward_layer.set_weights(forward.get_weights())
    # Keras 3.15's SimpleRNN ignores the argument.
    found.forward_layer.activity_regularizer = forward.activity_regularizer
    return found


def _copy(layer):
    if not isinstance(layer, keras.layers.Layer):
        return layer  # an operation of a functional model, without weights
    # A class need not be registered.
    with keras.saving.custom_object_scope({type(layer).__name__: type(layer)}):
        return copy.deepcopy(layer)
