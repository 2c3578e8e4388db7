"""Layers of Keras's own against the layers that come of them, in both directions."""

import re

import keras
import numpy as np
import pytest
from cell_twins import BATCH, INPUT, TIME, UNITS, random_mask, randomize
from conversions import (
    CALLS,
    assert_same,
    layer_with_learned_state,
    our_layer,
    refusal,
    sequences,
)
from on_backend import BACKEND
from slow import slow_except

from rnn_zoo import convert, layers


def keras_layer(kind, rng, **options):
    layer = kind(UNITS, **(CALLS | options))
    layer.build((None, None, INPUT))
    randomize(layer.weights, rng)
    return layer


def assert_equal_layers(one, other, rng, mask=None):
    """From zero and from random states; a list of results with states, or bare outputs."""
    inputs, states = sequences(rng, 2 if "LSTM" in type(one).__name__ else 1)
    assert_same(one(inputs, mask=mask), other(inputs, mask=mask))
    if mask is not None and BACKEND == "jax":
        return  # Keras puts the given state where a sequence begins with masked steps.
    given = {"initial_state": states, "mask": mask}
    assert_same(one(inputs, **given), other(inputs, **given))


FROM_KERAS = [
    (keras.layers.SimpleRNN, layers.RNN, {"activation": "tanh"}),
    (keras.layers.SimpleRNN, layers.RNN, {"activation": "softplus"}),
    (keras.layers.GRU, layers.GRU, {"reset_after": False}),
    (keras.layers.GRU, layers.GRU, {"reset_after": False, "activation": "relu"}),
    (keras.layers.GRU, layers.GRUResetAfter, {}),
    (keras.layers.GRU, layers.GRUResetAfter, {"recurrent_activation": "hard_sigmoid"}),
    (keras.layers.LSTM, layers.LSTM, {}),
]
TO_KERAS = [
    (layers.RNN, keras.layers.SimpleRNN, {"activation": "tanh"}),
    (layers.RNN, keras.layers.SimpleRNN, {"activation": "softplus"}),
    (layers.IRNN, keras.layers.SimpleRNN, {}),
    (layers.GRU, keras.layers.GRU, {"gate_bias": 0.7}),
    (layers.GRU, keras.layers.GRU, {"gate_bias": -0.4, "activation": "relu"}),
    (layers.GRUResetAfter, keras.layers.GRU, {"gate_bias": 0.7}),
    (layers.LSTM, keras.layers.LSTM, {"gate_bias": 0.7}),
]
CALLING = [
    {},
    {"return_sequences": False},
    {"return_state": False},
    {"go_backwards": True},
    {"zero_output_for_mask": True},
    {"use_bias": False},
]


@pytest.mark.parametrize(("theirs", "ours", "options"), FROM_KERAS)
@pytest.mark.parametrize("calling", slow_except([{"go_backwards": True}], CALLING), ids=str)
def test_from_keras_and_back(theirs, ours, options, calling, rng):
    layer = keras_layer(theirs, rng, **options, **calling)
    found = convert.from_keras(layer)
    assert type(found) is ours
    assert (
        found.cell.gate_bias.keys() <= {"u", "f"}
        and not any(found.cell.gate_bias.values())
        and not found.cell.learned_initial_state
    )
    assert_equal_layers(found, layer, rng)
    assert_equal_layers(found, layer, rng, random_mask(rng))
    back = convert.to_keras(found)
    assert type(back) is theirs
    assert_equal_layers(back, layer, rng)
    shared = {"use_bias": layer.use_bias} | {name: getattr(layer, name) for name in CALLS}
    shared |= {"go_backwards": layer.go_backwards, "name": layer.name}
    assert shared.items() <= back.get_config().items()


@pytest.mark.parametrize(("ours", "theirs", "options"), TO_KERAS)
@pytest.mark.parametrize("calling", slow_except([{}], CALLING[:-1]), ids=str)
def test_to_keras_and_back(ours, theirs, options, calling, rng):
    layer = our_layer(ours, rng, **options, **calling)
    found = convert.to_keras(layer)
    assert type(found) is theirs
    assert_equal_layers(found, layer, rng)
    assert_equal_layers(convert.from_keras(found), layer, rng)


def test_regularizers_and_constraints_travel(rng):
    """Those of all gates at once have the same value for each gate's matrix."""
    options = {f"{part}_regularizer": "l2" for part in ("kernel", "recurrent", "bias")}
    options |= {"kernel_constraint": "max_norm", "bias_constraint": "non_neg"}
    options |= {"activity_regularizer": "l1", "recurrent_activation": "hard_sigmoid"}
    options |= {"dropout": 0.1, "recurrent_dropout": 0.2}
    layer = keras_layer(keras.layers.LSTM, rng, **options)
    found = convert.from_keras(layer)
    back = convert.to_keras(found)
    inputs, _ = sequences(rng, 2)
    losses = []
    for one in (layer, found, back):
        one(inputs)
        losses.append(float(sum(one.losses)))
        assert one.recurrent_activation is keras.activations.hard_sigmoid
        assert (one.dropout, one.recurrent_dropout) == (0.1, 0.2)
        assert isinstance(one.kernel_constraint, keras.constraints.MaxNorm)
    np.testing.assert_allclose(losses, losses[0], rtol=1e-5)
    kernel = keras.ops.convert_to_numpy(found.kernel_constraint(layer.cell.kernel))
    np.testing.assert_allclose(found.kernel_constraint(found.cell.kernel), kernel, rtol=1e-6)


def test_a_stateful_layer_goes_on_where_it_was(rng):
    layer = keras.layers.GRU(UNITS, reset_after=False, stateful=True)
    layer.build((BATCH, None, INPUT))
    randomize(layer.weights, rng)
    found = convert.from_keras(layer)
    back = convert.to_keras(found)
    inputs, _ = sequences(rng, 1)
    for _ in range(3):
        expected = layer(inputs)
        assert_same(found(inputs), expected)
        assert_same(back(inputs), expected)


def test_options_and_precision_travel(rng):
    layer = keras_layer(
        keras.layers.LSTM, rng, name="mine", dtype="mixed_bfloat16", trainable=False
    )
    found = convert.from_keras(layer, learned_initial_state=True)
    back = convert.to_keras(found)
    for one in (found, back):
        assert one.name == "mine" and one.dtype_policy.name == "mixed_bfloat16"
        assert not one.trainable and {w.dtype for w in one.weights} == {"float32"}
    assert found.cell.learned_initial_state and not np.any(found.cell.initial_state)
    for weight, again in zip(layer.get_weights(), back.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, again)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (keras.layers.LSTM, {"activation": "relu"}, "activation relu, which.*output too.*tanh"),
        (keras.layers.SimpleRNN, {"activation": "softmax"}, "softmax mixes units"),
        (
            keras.layers.GRU,
            {"reset_after": False, "recurrent_dropout": 0.1},
            "recurrent_dropout, which Keras's GRU applies to the state",
        ),
        (keras.layers.GRU, {"bias_regularizer": "l2"}, "bias_regularizer, .* each of its two"),
        (keras.layers.GRU, {"bias_constraint": "non_neg"}, "bias_constraint, .* each of its two"),
    ],
)
def test_keras_layers_that_differ_are_refused(kind, options, message, rng):
    layer = kind(UNITS, name="mine", **options)
    layer.build((BATCH, TIME, INPUT))
    found = refusal(convert.from_keras, layer)
    assert re.search(message, found), found


def test_what_is_no_such_layer_is_refused(rng):
    class Mine(keras.layers.LSTM):
        pass

    choices = "exactly a keras.layers.SimpleRNN, GRU or LSTM"
    for other in (Mine(UNITS), our_layer(layers.GRU, rng), 3):
        message = refusal(convert.from_keras, other)
        assert type(other).__name__ in message and choices in message
    for kind in (layers.UGRNN, layers.IntersectionRNN, layers.MGU, layers.MinimalRNN):
        message = refusal(convert.to_keras, our_layer(kind, rng))
        assert kind.__name__ in message and "choose an rnn_zoo.layers.RNN, IRNN" in message
    assert "choose" in refusal(convert.to_keras, keras.layers.LSTM(UNITS))


def test_a_layer_without_weights_is_refused():
    for function, kind in (
        (convert.from_keras, keras.layers.LSTM),
        (convert.to_keras, layers.LSTM),
    ):
        assert "LSTM 'mine' has no weights yet" in refusal(function, kind(UNITS, name="mine"))


def test_an_lstm_of_another_activation_is_refused(rng):
    layer = our_layer(layers.LSTM, rng, activation="relu", name="mine")
    assert "LSTM 'mine' has activation relu, which" in refusal(convert.to_keras, layer)


@pytest.mark.parametrize("kind", [layers.RNN, layers.LSTM])
def test_a_learned_state_is_lost_only_if_asked(kind, rng):
    layer = layer_with_learned_state(kind, rng)
    message = refusal(convert.to_keras, layer)
    assert "'mine' starts from a learned state" in message and "drop_initial_state=True" in message
    found = convert.to_keras(layer, drop_initial_state=True)
    inputs, _ = sequences(rng, 1)
    zeros = [np.zeros((BATCH, UNITS), "float32") for _ in layer.cell.state_names]
    assert_same(found(inputs), layer(inputs, initial_state=zeros))
    # As the refusal says: the states that were learned, given at each call.
    states = [np.tile(state, (BATCH, 1)) for state in layer.cell.initial_state]
    assert_same(found(inputs, initial_state=states), layer(inputs))
