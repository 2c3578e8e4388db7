"""Whole models of Keras's layers against their conversions, in both directions."""

import keras
import numpy as np
import pytest
from cell_twins import BATCH, INPUT, TIME, UNITS
from conversions import assert_same, refusal
from on_backend import tensorflow_only, to_numpy

import rnn_zoo
from rnn_zoo import convert, layers

KERAS, OURS = keras.layers, layers
MORE = {"return_sequences": True}


def classifier(of, **gru):
    """A Sequential model with a mask, two directions and layers with statistics of the data."""
    return keras.Sequential(
        [
            keras.Input((TIME,), dtype="int32"),
            KERAS.Embedding(5, INPUT, mask_zero=True),
            KERAS.Bidirectional(of.LSTM(UNITS, name="l", **MORE), merge_mode="sum", name="both"),
            KERAS.BatchNormalization(),
            of.GRU(UNITS, go_backwards=True, dropout=0.2, name="last", **gru),
            KERAS.Dense(2, activation="softmax", name="readout"),
        ],
        name="classifier",
    )


def encoder_decoder(of):
    """A functional model that hands states over, uses a layer twice and contains a model."""
    source, target = (
        keras.Input((None, INPUT), name="source"),
        keras.Input((None, INPUT), name="target"),
    )
    encoder = of.LSTM(UNITS, return_state=True, name="encoder")
    _, *states = encoder(source)
    decoded = of.LSTM(UNITS, name="decoder", **MORE)(target, initial_state=states)
    twice = keras.ops.tanh(encoder(target)[0])
    inner = keras.Sequential(
        [keras.Input((TIME, 1)), of.SimpleRNN(2), KERAS.Dense(1, name="inner_readout")]
    )
    by_feature = KERAS.TimeDistributed(inner)(KERAS.Permute((2, 1))(source)[..., None])
    inputs = {"source": source, "target": target}
    return keras.Model(inputs, [KERAS.Dense(2)(decoded), twice, by_feature])


def words(rng):
    array = rng.integers(1, 5, (BATCH, TIME), "int32")
    array[0, 3:] = array[1, 1:] = 0
    return array


def pair(rng):
    arrays = rng.normal(size=(2, BATCH, TIME, INPUT)).astype("float32")
    return dict(zip(("source", "target"), arrays, strict=True))


MODELS = [
    (classifier, words, {"reset_after": False}),
    (classifier, words, {"reset_after": True}),
    (encoder_decoder, pair, {}),
]


def randomized(model, rng):
    for weight in model.weights:
        values = rng.normal(scale=0.5, size=weight.shape)
        weight.assign(np.abs(values) if "variance" in weight.name else values)
    return model


def recurrent(model):
    found = [each for each in model._flatten_layers() if isinstance(each, KERAS.RNN)]
    return {type(each).__module__.partition(".")[0] for each in found}, len(found)


@pytest.mark.parametrize(("make", "draw", "options"), MODELS)
def test_a_model_and_its_conversions_are_equal(make, draw, options, rng):
    model = randomized(make(KERAS, **options), rng)
    inputs = draw(rng)
    expected = model(inputs)
    found = convert.from_keras(model)
    assert_same(found(inputs), expected)
    back = convert.to_keras(found)
    assert_same(back(inputs), expected)
    number = recurrent(model)[1]
    assert [recurrent(each) for each in (model, found, back)] == [
        ({"keras"}, number),
        ({"rnn_zoo"}, number),
        ({"keras"}, number),
    ]
    spare = 2 * UNITS if options.get("reset_after") else 0  # the second biases of two gates
    assert found.count_params() == model.count_params() - spare
    assert [each.name for each in found.layers] == [each.name for each in model.layers]
    randomized(found, rng)  # a copy: the model keeps its weights
    assert_same(model(inputs), expected)


def test_options_of_layers_are_kept(rng):
    model = classifier(KERAS, reset_after=False)
    model.get_layer("readout").trainable = False
    found = convert.from_keras(model, learned_initial_state=True)
    last, both = found.get_layer("last"), found.get_layer("both")
    assert (last.go_backwards, last.dropout, both.merge_mode) == (True, 0.2, "sum")
    assert both.forward_layer.name == "forward_l" and both.backward_layer.go_backwards
    assert not found.get_layer("readout").trainable
    assert all(each.cell.learned_initial_state for each in (last, both.forward_layer))


def test_a_stateful_model_goes_on(rng):
    model = keras.Sequential(
        [
            keras.Input(batch_shape=(BATCH, None, INPUT)),
            KERAS.Bidirectional(KERAS.LSTM(UNITS, stateful=True, **MORE)),
            KERAS.SimpleRNN(UNITS, stateful=True),
        ]
    )
    found = convert.from_keras(model)
    inputs = pair(rng)["source"]
    first = model(inputs)
    assert_same(found(inputs), first)
    again = model(inputs)
    assert_same(found(inputs), again)
    assert np.abs(to_numpy(again) - to_numpy(first)).max() > 1e-3


@tensorflow_only
def test_layers_adapted_to_data_are_copied_with_it(rng):
    lookup = KERAS.StringLookup()
    lookup.adapt(["a", "b", "b"])
    chain = [lookup, KERAS.Embedding(3, INPUT), KERAS.LSTM(UNITS)]
    model = keras.Sequential([keras.Input((None,), dtype="string"), *chain])
    words = keras.ops.convert_to_tensor([["a", "b"], ["b", "other"]])
    assert_same(convert.from_keras(model)(words), model(words))


class Scale(KERAS.Layer):
    """A layer of a user's own, not registered."""

    def build(self, input_shape):
        self.scale = self.add_weight(shape=input_shape[-1:], initializer="random_normal")

    def call(self, inputs):
        return inputs * self.scale


def test_own_layers_losses_and_classes_are_no_hindrance(rng):
    inputs = keras.Input((None, INPUT))
    model = keras.Model(inputs, Scale()(KERAS.LSTM(UNITS)(inputs)))
    model.compile("sgd", lambda target, output: output[:, 0])
    x = pair(rng)["source"]
    assert_same(convert.from_keras(model)(x), model(x))
    ours = rnn_zoo.build_model("lstm", 2, UNITS, INPUT, 2)
    theirs = convert.to_keras(ours)
    assert not isinstance(theirs, rnn_zoo.RecurrentModel)
    assert_same(theirs(x), ours(x))


def test_directions_that_differ(rng):
    x = pair(rng)["source"]
    backward = KERAS.SimpleRNN(UNITS, go_backwards=True)
    layer = KERAS.Bidirectional(KERAS.LSTM(UNITS), backward_layer=backward, merge_mode=None)
    expected = layer(x)
    found = convert.from_keras(layer)
    assert_same(found(x), expected)
    assert_same(convert.to_keras(found)(x), expected)


class Chained(keras.Model):
    def __init__(self):
        super().__init__(name="outer")
        self.recurrent = KERAS.LSTM(UNITS, name="mine")

    def call(self, inputs):
        return self.recurrent(inputs)


class Holder(KERAS.Layer):
    def __init__(self):
        super().__init__(name="outer")
        self.recurrent = KERAS.LSTM(UNITS, name="mine")

    def call(self, inputs):
        return self.recurrent(inputs)


class Cell(KERAS.SimpleRNNCell):
    pass


def after_input(*chain):
    return keras.Sequential([keras.Input((TIME, INPUT)), *chain])


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (
            lambda: after_input(KERAS.LSTM(UNITS, activation="relu", name="mine")),
            "LSTM 'mine' has activation relu",
        ),
        (
            lambda: after_input(KERAS.Bidirectional(KERAS.LSTM(UNITS, "relu", name="mine"))),
            "LSTM 'forward_mine' has activation relu",
        ),
        (lambda: after_input(KERAS.RNN(Cell(UNITS), name="mine")), "cannot convert RNN 'mine'"),
        (lambda: after_input(Holder()), "cannot convert LSTM 'mine' inside Holder 'outer'"),
        (Chained, "cannot convert LSTM 'mine' inside Chained 'outer'; convert it alone"),
        (
            lambda: keras.Sequential([KERAS.LSTM(UNITS)], name="mine"),
            "Sequential 'mine' has no weights yet",
        ),
    ],
)
def test_refusals_name_the_layer(make, expected):
    assert expected in refusal(convert.from_keras, make())


def test_layers_that_keras_lacks_are_named():
    model = after_input(OURS.UGRNN(UNITS, name="mine"))
    assert "equations of UGRNN 'mine'; choose" in refusal(convert.to_keras, model)
    assert recurrent(convert.from_keras(model)) == ({"rnn_zoo"}, 1)
