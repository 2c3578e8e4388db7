"""Layer normalisation, and noise on initial states."""

import keras
import numpy as np
import pytest
from cell_twins import BATCH, TIME, random_mask, randomize
from keras import ops
from on_backend import QUICKEST, gradients, needs_float64, to_numpy

import rnn_zoo
from rnn_zoo import layers
from rnn_zoo.backend import generic
from rnn_zoo.unroll import unroll

UNITS, FEATURES = 4, 3


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def twin(w, inputs, states):
    """The GRU, eqs. (5) to (8), with normalised pre-activations."""

    def pre(gate, x, a):
        z = x @ w["input"][gate] + a @ w["recurrent"][gate]
        z = (z - z.mean(-1, keepdims=True)) / np.sqrt(z.var(-1, keepdims=True) + 1e-3)
        return w["vectors"][f"{gate}_gain"] * z + w["bias"][gate]

    (h,), outputs = states, []
    for x in np.moveaxis(inputs, 1, 0):
        r, u = sigmoid(pre("r", x, h)), sigmoid(pre("u", x, h) + 0.5)
        h = u * h + (1 - u) * np.tanh(pre("c", x, r * h))
        outputs.append(h)
    return np.stack(outputs, 1)


@pytest.fixture
def layer(rng):
    made = layers.GRU(UNITS, layer_norm=True, gate_bias=0.5, return_sequences=True, dtype="float64")
    made.build((None, None, FEATURES))
    randomize(made.weights, rng)
    return made


def weights_of(layer):
    return to_numpy(layer.cell.weight_tensors("float64"))


@needs_float64
def test_layer_cell_and_stepper_equal_the_twin(layer, rng):
    inputs, states = rng.normal(size=(BATCH, TIME, FEATURES)), [rng.normal(size=(BATCH, UNITS))]
    expected = twin(weights_of(layer), inputs, states)
    tolerance = {"rtol": 1e-9, "atol": 1e-9}
    np.testing.assert_allclose(to_numpy(layer(inputs, initial_state=states)), expected, **tolerance)
    stock = keras.layers.RNN(layer.cell, return_sequences=True, dtype="float64")
    np.testing.assert_allclose(to_numpy(stock(inputs, initial_state=states)), expected, **tolerance)
    weights = {
        "layers": [weights_of(layer)],
        "readout": {"kernel": np.eye(UNITS), "bias": np.zeros(UNITS)},
    }
    stepper = rnn_zoo.Stepper([layer.cell], weights, batch_size=BATCH)
    stepper.states = [states]
    found = np.stack([stepper(x) for x in np.moveaxis(inputs, 1, 0)], 1)
    np.testing.assert_allclose(found, expected, **tolerance)


@needs_float64
@pytest.mark.parametrize("arch", ["gru", "min_gru", "peephole_lstm"])
def test_the_derived_gradient_equals_the_automatic_one(arch, rng, monkeypatch):
    cell = rnn_zoo.CELLS[arch](UNITS, layer_norm=True, dtype="float64")
    cell.build((None, FEATURES))
    arguments = {
        "weights": keras.tree.map_structure(
            lambda array: rng.normal(size=array.shape), to_numpy(cell.weight_tensors())
        ),
        "inputs": rng.normal(size=(BATCH, TIME, FEATURES)),
    }
    mask, direction = random_mask(rng), rng.normal(size=(TIME, BATCH, UNITS))

    def loss(given):
        outputs, _ = unroll(cell, given["weights"], given["inputs"], mask=mask)
        return ops.sum(outputs * direction)

    with monkeypatch.context() as patch:
        patch.setattr(rnn_zoo.backend, "current", lambda: generic)
        expected = gradients(QUICKEST, loss, arguments)
    monkeypatch.setattr(rnn_zoo.backend.current(), "is_compiled", lambda: True)
    found = gradients(QUICKEST, loss, arguments)
    for one, other in zip(keras.tree.flatten(found), keras.tree.flatten(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-9)
    assert np.any(expected["weights"]["vectors"][f"{next(iter(cell.gates))}_gain"])


def test_it_starts_with_gain_one_and_survives_a_file(rng, tmp_path):
    model = rnn_zoo.build_model("lstm", 2, UNITS, FEATURES, 2, layer_norm=True)
    cell = model.get_layer("layer_1").cell
    np.testing.assert_array_equal(to_numpy(cell.f_gain), np.ones(UNITS))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    inputs = rng.normal(size=(2, 5, FEATURES)).astype("float32")
    np.testing.assert_array_equal(to_numpy(again(inputs)), to_numpy(model(inputs)))
    plain = rnn_zoo.build_model("lstm", 2, UNITS, FEATURES, 2)
    assert model.count_params() == plain.count_params() + 2 * 4 * UNITS


# Noise on initial states


def test_initial_noise_is_drawn_in_training_alone_and_once_per_sequence(rng):
    inputs = np.zeros((500, 1, FEATURES), "float32")
    layer = layers.RNN(
        UNITS, activation="linear", matrix_init="identity", initial_noise=0.5, seed=1
    )
    np.testing.assert_array_equal(to_numpy(layer(inputs)), 0)
    layer.cell.initial_h.assign(np.full(UNITS, 2.0))
    drawn = to_numpy(layer(inputs, training=True))  # h_1 = h_0
    assert abs(drawn.mean() - 2) < 0.05 and abs(drawn.std() - 0.5) < 0.03
    again = to_numpy(layer(inputs, training=True))
    assert np.abs(again - drawn).min() > 0
    given = to_numpy(layer(inputs, initial_state=np.ones((500, UNITS)), training=True))
    np.testing.assert_array_equal(given, 1)
    with pytest.raises(ValueError, match="initial_noise must be finite and not negative, got -1"):
        layers.RNN(UNITS, initial_noise=-1)
