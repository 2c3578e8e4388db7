"""Arguments and behaviour that our layers share with those of Keras."""

import inspect

import keras
import numpy as np
import pytest
from cell_twins import initial_variables
from on_backend import tensorflow_only, to_numpy
from processes import JAX, python
from slow import slow_except

from rnn_zoo import layers

BATCH, TIME, INPUT, UNITS = 3, 6, 2, 4


@pytest.fixture
def inputs(rng):
    return rng.normal(size=(BATCH, TIME, INPUT)).astype("float32")


# Arguments --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [layers.RNN, layers.GRU, layers.LSTM])
@pytest.mark.parametrize("part", ["kernel", "recurrent", "bias"])
def test_an_initializer_draws_for_all_gates_at_once_as_in_keras(kind, part):
    """Else the limits of glorot_uniform would be those of another shape."""
    initializer = {
        "kernel": keras.initializers.GlorotUniform(3),
        "recurrent": keras.initializers.Orthogonal(seed=3),
        "bias": keras.initializers.RandomNormal(seed=3),
    }[part]
    layer = kind(UNITS, **{f"{part}_initializer": initializer})
    layer.build((None, None, INPUT))
    gates = layer.cell.gates
    held = layer.cell.gate_weights()
    name = {"kernel": "input"}.get(part, part)
    rows = {"kernel": (INPUT,), "recurrent": (UNITS,), "bias": ()}[part]
    joined = to_numpy(initializer((*rows, len(gates) * UNITS)))
    np.testing.assert_array_equal(np.concatenate([held[g][name] for g in gates], -1), joined)
    drawn = layer.cell.draw_weights(INPUT)[name]
    np.testing.assert_array_equal(np.concatenate([drawn[g] for g in gates], -1), joined)


def test_a_layer_without_bias_has_none_and_equals_one_of_zeros(inputs):
    bare = layers.LSTM(UNITS, use_bias=False, seed=1)
    full = layers.LSTM(UNITS, seed=1)
    np.testing.assert_array_equal(bare(inputs), full(inputs))
    assert bare.count_params() == full.count_params() - 4 * UNITS
    assert "bias" not in bare.cell.gate_weights()["i"]


@pytest.mark.parametrize("name", ["ugrnn", "gru", "lstm", "+rnn", "mgu", "minimal_rnn"])
def test_every_gate_has_the_recurrent_activation(name, inputs):
    """With constant gates of 1 nothing forgets, with gates of 0 everything does."""
    one = layers.LAYERS[name](UNITS, recurrent_activation=keras.ops.ones_like)
    none = layers.LAYERS[name](UNITS, recurrent_activation=keras.ops.zeros_like)
    usual = layers.LAYERS[name](UNITS)
    outputs = [to_numpy(layer(inputs)) for layer in (one, none, usual)]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(outputs[first] - outputs[second]).max() > 1e-3


@pytest.mark.parametrize("kind", [layers.IntersectionRNN, layers.MinimalRNN])
def test_options_of_kernel_and_bias_are_those_of_a_read_in_too(kind, inputs):
    layer = kind(
        UNITS,
        kernel_initializer=keras.initializers.Constant(0.5),
        kernel_regularizer=keras.regularizers.L2(0.1),
        bias_initializer="ones",
        bias_regularizer=keras.regularizers.L1(0.2),
        bias_constraint="non_neg",
    )
    layer(inputs)
    cell = layer.cell
    kernels = to_numpy([cell.read_in_kernel, cell.kernel])
    biases = to_numpy([cell.read_in_bias, cell.bias])
    assert all((kernel == 0.5).all() for kernel in kernels)
    assert all((bias == 1).all() for bias in biases)
    penalty = 0.1 * sum(np.sum(each**2) for each in kernels) + 0.2 * sum(map(np.sum, biases))
    np.testing.assert_allclose(float(sum(layer.losses)), penalty, rtol=1e-5)
    assert isinstance(cell.read_in_bias.constraint, keras.constraints.NonNeg)


def test_options_are_saved_and_are_attributes(inputs, tmp_path):
    options = {
        "kernel_initializer": "he_normal",
        "recurrent_regularizer": keras.regularizers.L2(0.1),
        "bias_constraint": "non_neg",
        "activity_regularizer": "l1",
        "recurrent_activation": "hard_sigmoid",
    }
    model = keras.Sequential([keras.Input((None, INPUT)), layers.GRU(UNITS, "relu", **options)])
    model.save(tmp_path / "m.keras")
    layer = keras.saving.load_model(tmp_path / "m.keras").layers[0]
    assert (layer.units, layer.activation) == (UNITS, keras.activations.relu)
    assert layer.recurrent_activation is keras.activations.hard_sigmoid
    assert isinstance(layer.kernel_initializer, keras.initializers.HeNormal)
    assert isinstance(layer.bias_constraint, keras.constraints.NonNeg)
    recurrent = layer.cell.gate_weights().values()
    penalty = 0.1 * sum(np.sum(parts["recurrent"] ** 2) for parts in recurrent)
    activity = 0.01 * np.abs(layer(inputs)).sum() / BATCH
    np.testing.assert_allclose(float(sum(layer.losses)), penalty + activity, rtol=1e-5)


def test_the_signature_is_the_cells_and_the_layers():
    names = list(inspect.signature(layers.GRU).parameters)
    assert names[:3] == ["units", "activation", "gate_bias"]
    assert {"use_bias", "kernel_initializer", "stateful", "return_state", "dtype"} <= {*names}
    assert "depth_activation" in inspect.signature(layers.IntersectionRNN).parameters
    assert next(iter(inspect.signature(layers.GRU(3)).parameters)) == "args"
    assert layers.SimpleRNN is layers.RNN
    with pytest.raises(TypeError, match="positional"):
        layers.GRU(3, "tanh", 1.0)


def test_input_shape_builds_a_sequential_model():
    with pytest.warns(UserWarning, match="input_shape"):
        model = keras.Sequential([layers.GRU(UNITS, input_shape=(None, INPUT))])
    assert model.built and model.output_shape == (None, UNITS)


# Inputs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
def test_integers_and_booleans_are_cast(dtype):
    layer = layers.LSTM(UNITS)
    inputs = np.arange(BATCH * TIME * INPUT).reshape(BATCH, TIME, INPUT) % 3
    expected = layer(inputs.astype(dtype).astype("float32"))
    np.testing.assert_array_equal(layer(inputs.astype(dtype)), expected)


def test_wrong_shapes_are_named():
    layer = layers.GRU(UNITS)
    layer.build((None, None, INPUT))
    with pytest.raises(ValueError, match="expected ndim=3, found ndim=2"):
        layer(np.zeros((BATCH, INPUT), "float32"))
    with pytest.raises(ValueError, match="expected axis -1 of input shape to have value 2"):
        layer(np.zeros((BATCH, TIME, INPUT + 1), "float32"))


@pytest.mark.parametrize("return_sequences", [False, True])
def test_a_mask_may_have_an_axis_of_one(inputs, rng, return_sequences):
    layer = layers.GRU(UNITS, return_sequences=return_sequences)
    mask = rng.integers(2, size=(BATCH, TIME)).astype(bool)
    expected = layer(inputs, mask=mask)
    np.testing.assert_array_equal(layer(inputs, mask=mask[..., None]), expected)
    kept = layer.compute_mask(inputs, mask[..., None])
    if return_sequences:
        np.testing.assert_array_equal(kept, mask)
    else:
        assert kept is None


def test_one_initial_state_may_be_for_all_samples(inputs, rng):
    layer = layers.LSTM(UNITS)
    states = [rng.normal(size=(1, UNITS)).astype("float32") for _ in range(2)]
    repeated = [np.repeat(state, BATCH, axis=0) for state in states]
    expected = layer(inputs, initial_state=repeated)
    np.testing.assert_array_equal(layer(inputs, initial_state=states), expected)


# Stateful ---------------------------------------------------------------------------------------


def stateful(inputs, learned=0.5):
    layer = layers.LSTM(UNITS, stateful=True, seed=1)
    layer.build(inputs.shape)
    for variable in initial_variables(layer):
        variable.assign(np.full(UNITS, learned, "float32"))
    layer.reset_state()
    return layer


def test_a_stateful_layer_continues_and_resets_to_the_learned_state(inputs):
    layer = stateful(inputs)
    whole = layers.LSTM(UNITS, return_sequences=True)
    whole.build((None, None, INPUT))
    whole.set_weights(layer.get_weights())
    long = np.concatenate([inputs, inputs, inputs], axis=1)
    expected = to_numpy(whole(long))[:, TIME - 1 :: TIME]
    for _ in range(2):
        found = [to_numpy(layer(inputs)) for _ in range(3)]
        np.testing.assert_allclose(np.stack(found, axis=1), expected, rtol=1e-5, atol=1e-6)
        layer.reset_state()
    np.testing.assert_array_equal(layer.states[0], np.full((BATCH, UNITS), 0.5))


@tensorflow_only
def test_a_gradient_reaches_the_learned_state_at_a_sequences_start_alone(inputs):
    import tensorflow as tf

    layer = stateful(inputs)
    learned = layer.cell.initial_h.value
    sizes = []
    for _ in range(2):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(inputs) ** 2)
        gradient = tape.gradient(loss, learned)
        sizes.append(np.abs(gradient).max())
    assert sizes[0] > 1e-4 and sizes[1] == 0


def test_states_between_batches_are_no_weights_but_trained_with(inputs):
    model = keras.Sequential(
        [
            keras.Input(batch_shape=inputs.shape),
            layers.GRU(UNITS, stateful=True),
            keras.layers.Dense(1),
        ]
    )
    assert len(model.weights) == 3 + 1 + 2
    model.compile("sgd", "mse")
    before = to_numpy(model.layers[0].states[0]).copy()
    model.fit(inputs, np.zeros((BATCH, 1)), batch_size=BATCH, epochs=2, shuffle=False, verbose=0)
    after = to_numpy(model.layers[0].states[0])
    assert np.abs(after - before).max() > 1e-4
    model.layers[0].reset_state()
    first = model.predict(inputs, verbose=0)
    assert np.abs(model.predict(inputs, verbose=0) - first).max() > 1e-5
    model.layers[0].reset_state()
    np.testing.assert_allclose(model.predict(inputs, verbose=0), first, rtol=1e-6)


def test_a_stateful_layer_needs_its_batch_size():
    with pytest.raises(ValueError, match=r"stateful layer .* needs a known batch size"):
        layers.GRU(UNITS, stateful=True).build((None, None, INPUT))


# Saved models -----------------------------------------------------------------------------------

LOAD = """
import {first}
import {second}
print(keras.saving.load_model({path!r}).layers[0].units)
"""


@pytest.mark.parametrize("first", slow_except(["rnn_zoo"], ["keras", "rnn_zoo"]))
def test_the_order_of_imports_does_not_matter(first, tmp_path):
    model = keras.Sequential([keras.Input((None, INPUT)), layers.GRU(UNITS)])
    path = str(tmp_path / "m.keras")
    model.save(path)
    (second,) = {"keras", "rnn_zoo"} - {first}
    script = LOAD.format(first=first, second=second, path=path)
    done = python("-c", script, cwd=tmp_path, **JAX)
    assert done.code == 0, done.stderr
    assert done.stdout.split() == [str(UNITS)]


def test_a_layer_returns_the_states_of_all_steps(rng):
    x = rng.normal(size=(2, 5, 3)).astype("float32")
    layer = layers.LSTM(4, return_state_sequences=True, seed=1)
    output, *states = layer(x)
    assert output.shape == (2, 4) and [state.shape for state in states] == [(2, 5, 4)] * 2
    final = layers.LSTM(4, return_state=True, seed=1)
    for length in (1, 3, 5):
        _, *expected = final(x[:, :length])
        for sequence, state in zip(states, expected, strict=True):
            np.testing.assert_allclose(
                to_numpy(sequence[:, length - 1]), to_numpy(state), atol=1e-6
            )
    symbolic = layer(keras.Input((None, 3)))
    assert [tensor.shape for tensor in symbolic] == [(None, 4), (None, None, 4), (None, None, 4)]
    copy = layers.LSTM.from_config(layer.get_config())
    assert copy.return_state_sequences and len(copy(x)) == 3
    with pytest.raises(ValueError, match=r"return_state_sequences and stateful; omit one"):
        layers.LSTM(4, return_state_sequences=True, stateful=True)
