"""Steppers, weights and exports of Sequential and functional models of a user's own."""

import keras
import numpy as np
import pytest
from on_backend import tensorflow_only, to_numpy

import rnn_zoo
from rnn_zoo import layers
from rnn_zoo.model import get_weights, recurrent_cells, set_weights
from rnn_zoo.quantization import quantize

BATCH, TIME, INPUT = 2, 5, 3


def sequential(last=True):
    return keras.Sequential(
        [
            keras.Input((None, INPUT)),
            layers.GRU(4, return_sequences=True, dropout=0.2),
            keras.layers.Dropout(0.5),
            layers.LSTM(6, return_sequences=last),
            keras.layers.Dense(5, activation="softmax", use_bias=False),
        ]
    )


def functional():
    inputs = keras.Input((None, INPUT))
    x = layers.UGRNN(4, return_sequences=True)(inputs)
    x = layers.IntersectionRNN(3, return_sequences=True)(x)
    return keras.Model(inputs, keras.layers.Dense(5)(x))


def randomized(model, rng):
    for weight in model.weights:
        if weight.trainable:
            weight.assign(rng.normal(scale=0.7, size=weight.shape))
    return model


@pytest.mark.parametrize("make", [sequential, functional])
def test_a_stepper_equals_the_model(make, rng):
    model = randomized(make(), rng)
    inputs = rng.normal(size=(BATCH, TIME, INPUT)).astype("float32")
    stepper = rnn_zoo.make_stepper(model, BATCH)
    streamed = np.stack([stepper(inputs[:, t]) for t in range(TIME)], axis=1)
    np.testing.assert_allclose(streamed, to_numpy(model(inputs)), rtol=1e-4, atol=1e-5)


def test_a_model_of_the_last_output_is_streamed_at_each_step(rng):
    model = randomized(sequential(last=False), rng)
    inputs = rng.normal(size=(1, TIME, INPUT)).astype("float32")
    stepper = rnn_zoo.make_stepper(model)
    for t in range(TIME):
        expected = to_numpy(model(inputs[:, : t + 1]))
        np.testing.assert_allclose(stepper(inputs[:, t]), expected, rtol=1e-4, atol=1e-5)


def test_weights_are_read_and_set_in_the_form_of_forward(rng):
    model, other = randomized(sequential(), rng), sequential()
    weights = get_weights(model)
    assert [cell.units for cell in recurrent_cells(model)] == [4, 6]
    assert weights["readout"]["bias"].tolist() == [0] * 5
    set_weights(other, weights)
    inputs = rng.normal(size=(BATCH, TIME, INPUT)).astype("float32")
    np.testing.assert_array_equal(other(inputs), model(inputs))
    rounded = quantize(weights, 4, "row")
    set_weights(other, rounded)
    kernel = to_numpy(other.layers[-1].kernel)
    np.testing.assert_array_equal(kernel, rounded["readout"]["kernel"])
    assert np.abs(kernel - weights["readout"]["kernel"]).max() > 1e-3


@tensorflow_only
@pytest.mark.slow
def test_a_model_of_ones_own_is_exported(rng, tmp_path):
    import tensorflow as tf

    from trainer.export import export_model

    model = randomized(sequential(), rng)
    inputs = rng.normal(size=(BATCH, TIME, INPUT)).astype("float32")
    signatures = tf.saved_model.load(export_model(model, tmp_path / "own")).signatures
    found = signatures["serving_default"](inputs=tf.constant(inputs))["outputs"]
    np.testing.assert_allclose(found, model(inputs), rtol=1e-4, atol=1e-5)
    states = signatures["initial_state"](batch_size=tf.constant(BATCH))
    stepped = signatures["step"](inputs=tf.constant(inputs[:, 0]), **states)["outputs"]
    np.testing.assert_allclose(stepped, model(inputs)[:, 0], rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="with return_sequences=True"):
        export_model(sequential(last=False), tmp_path / "last")


def branched():
    inputs = keras.Input((None, INPUT))
    one, other = (layers.GRU(4, return_sequences=True)(inputs) for _ in range(2))
    return keras.Model(inputs, keras.layers.Dense(5)(keras.layers.Add()([one, other])))


def parallel():
    """Two layers of which only one is used: all are of the right kinds."""
    inputs = keras.Input((None, INPUT))
    one, other = (layers.GRU(4, return_sequences=True)(inputs) for _ in range(2))
    return keras.Model(inputs, [keras.layers.Dense(5)(one), other])


@pytest.mark.parametrize(
    ("make", "kinds"),
    [
        (branched, "GRU, GRU, Add, Dense"),
        (parallel, "GRU"),
        (lambda: keras.Sequential([layers.GRU(4), keras.layers.Dense(2)]), "GRU, Dense"),
        (lambda: keras.Sequential([keras.Input((None, 3)), layers.GRU(4)]), "GRU"),
        (
            lambda: keras.Sequential(
                [keras.Input((None, 3)), keras.layers.GRU(4), keras.layers.Dense(2)]
            ),
            "GRU, Dense",
        ),
    ],
)
def test_other_models_are_refused(make, kinds):
    with pytest.raises(ValueError, match=f"must be a built chain of .*; its layers are .*{kinds}"):
        rnn_zoo.make_stepper(make())
