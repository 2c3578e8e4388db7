"""Whole models: stacks against the NumPy twin, training by `fit`, saving and loading."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import reference_cells as reference
from cell_twins import (
    BATCH,
    INPUT,
    ONE_CASE_EACH,
    TIME,
    UNITS,
    case_id,
    mostly_slow,
    one_case_each,
    one_case_of,
    randomize,
    twin_read_in,
    twin_weights,
    values_of,
)
from on_backend import execute, gradients, to_numpy
from registrations import restored
from slow import slow_except

import rnn_zoo
from rnn_zoo import build_model, functional, model
from rnn_zoo.layers import LAYERS

OUTPUT = 2


def random_model(case, rng, depth=2, **options):
    arch, case_options, features = case
    net = build_model(arch, depth, UNITS, features, OUTPUT, **case_options, **options)
    randomize(net.weights, rng)
    return net


def sequences(rng, time=TIME, batch=BATCH):
    return rng.normal(size=(batch, time, INPUT)).astype("float32")


def twin_outputs(case, net, inputs):
    arch, options, _ = case
    layers = []
    for cell in model.recurrent_cells(net):
        values = values_of(cell)
        initial = [values[f"initial_{name}"] for name in cell.state_names]
        layers.append(
            {
                "weights": twin_weights(arch, values),
                "initial": initial,
                "read_in": twin_read_in(arch, values),
            }
        )
    kernel, bias = net.get_layer("readout").get_weights()
    return reference.stack(arch, layers, {"kernel": kernel, "bias": bias}, inputs, **options)


# Outputs


@one_case_each
@pytest.mark.parametrize("depth", slow_except([2], [1, 2, 4]))
def test_equals_the_twin(case, depth, rng):
    net, inputs = random_model(case, rng, depth), sequences(rng)
    assert net.input_shape == (None, None, INPUT)
    assert net.output_shape == (None, None, OUTPUT)
    np.testing.assert_allclose(to_numpy(net(inputs)), twin_outputs(case, net, inputs), atol=2e-5)


@mostly_slow
def test_time_and_batch_are_dynamic(case, rng):
    net = random_model(case, rng)
    for batch, time in [(1, 1), (4, 9)]:
        inputs = sequences(rng, time, batch)
        found = net.predict(inputs, verbose=0)
        np.testing.assert_allclose(found, twin_outputs(case, net, inputs), atol=2e-5)


@pytest.mark.parametrize("steps", [slice(2, None), slice(-1, None), slice(1, 4, 2)])
def test_readout_runs_at_the_requested_steps(steps, rng):
    (case,) = one_case_of("+rnn")
    net, inputs = random_model(case, rng, output_steps=steps), sequences(rng)
    found = to_numpy(net(inputs))
    np.testing.assert_allclose(found, twin_outputs(case, net, inputs)[:, steps], atol=2e-5)
    cells, weights = model.recurrent_cells(net), model.get_weights(net)
    again = to_numpy(functional.forward(cells, weights, inputs, steps))
    np.testing.assert_allclose(again, found, atol=1e-6)


@one_case_each
def test_plus_rnn_has_one_read_in_and_minimal_rnn_one_per_layer(case, rng):
    cells = model.recurrent_cells(random_model(case, rng, depth=3))
    expected = {"+rnn": [True, False, False], "minimal_rnn": [True] * 3}
    assert [hasattr(cell, "read_in_kernel") for cell in cells] == expected.get(case[0], [False] * 3)


def test_seeds():
    first, again, other = (build_model("gru", 2, 3, 4, 2, seed=seed) for seed in (1, 1, 2))
    for one, same in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, same)
    kernels = [
        net.get_layer(name).cell.gate_weights()["c"]["recurrent"]
        for net in (first, other)
        for name in ("layer_0", "layer_1")
    ]
    readouts = [net.get_layer("readout").get_weights()[0] for net in (first, other)]
    for arrays in (kernels, readouts):
        for i, one in enumerate(arrays):
            assert all(np.any(one != before) for before in arrays[:i])


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"'gnu'.*rnn, irnn, ugrnn, gru, lstm, \+rnn"):
        build_model("gnu", 1, 3, 4, 2)
    with pytest.raises(ValueError, match="depth must be at least 1, got 0"):
        build_model("gru", 0, 3, 4, 2)
    with pytest.raises(ValueError, match="units must be at least 1, got 0"):
        build_model("gru", 1, 0, 4, 2)
    with pytest.raises(ValueError, match="input_dim must be at least 1, got 0"):
        build_model("gru", 1, 3, 0, 2)
    with pytest.raises((TypeError, ValueError), match="gate_bais"):
        build_model("gru", 1, 3, 4, 2, gate_bais=1.0)
    assert build_model("plus_rnn", 1, 3, 4, 2).get_layer("layer_0").cell.gates["y"]


# Functions of plain weights


@mostly_slow
def test_forward_equals_the_model(case, rng):
    net, inputs = random_model(case, rng), sequences(rng)
    cells, weights = model.recurrent_cells(net), model.get_weights(net)
    found = execute("eager", lambda w, x: functional.forward(cells, w, x), weights, inputs)
    np.testing.assert_allclose(found, to_numpy(net(inputs)), atol=1e-6)


@pytest.mark.parametrize("arch", ["lstm", "+rnn"])
@pytest.mark.parametrize("learned", [True, False])
def test_drawn_weights_equal_those_of_a_model_with_the_same_seed(arch, learned, rng):
    net = build_model(arch, 2, 3, INPUT, OUTPUT, seed=7, learned_initial_state=learned)
    cells = functional.make_cells(arch, 2, 3, seed=7, learned_initial_state=learned)
    weights = functional.draw_weights(cells, INPUT, OUTPUT, seed=7)
    keras.tree.map_structure(np.testing.assert_array_equal, weights, model.get_weights(net))
    inputs = sequences(rng)
    found = to_numpy(functional.forward(cells, weights, inputs))
    np.testing.assert_allclose(found, to_numpy(net(inputs)), atol=1e-6)


def test_weights_added_in_a_constructor_are_refused():
    """Training would not update them."""

    class ScaledCell(rnn_zoo.AbstractRNNCell):
        gates = ("c",)

        def __init__(self, units, **options):
            super().__init__(units, **options)
            self.scale = self.add_weight(name="scale", shape=(units,))

        def step(self, ops, x, pre, states):
            h = self.activation(pre("c", self.scale * states[0]))
            return h, [h]

    with restored(), pytest.raises(ValueError, match="weights that it does not declare: scale"):
        rnn_zoo.register("scaled", ScaledCell)


@mostly_slow
def test_set_weights_inverts_get_weights(case, rng):
    net, other, inputs = random_model(case, rng), random_model(case, rng), sequences(rng)
    model.set_weights(other, model.get_weights(net))
    np.testing.assert_array_equal(to_numpy(other(inputs)), to_numpy(net(inputs)))


@mostly_slow
def test_a_population_equals_its_models(case, rng):
    """Outputs and gradients of lanes in one program equal those of each model alone."""
    nets, inputs = [random_model(case, rng) for _ in range(2)], sequences(rng)
    cells, each = model.recurrent_cells(nets[0]), [model.get_weights(net) for net in nets]
    stacked = keras.tree.map_structure(lambda *arrays: np.stack(arrays), *each)
    both = np.stack([inputs, inputs[::-1]])

    def loss(weights, x):
        return keras.ops.sum(keras.ops.square(functional.forward(cells, weights, x)))

    slopes = gradients("eager", lambda weights: loss(weights, both), stacked)
    found = execute("eager", lambda w, x: functional.forward(cells, w, x), stacked, both)
    for lane, (net, weights) in enumerate(zip(nets, each, strict=True)):
        np.testing.assert_allclose(found[lane], to_numpy(net(both[lane])), atol=1e-5)
        alone = gradients("eager", lambda w, lane=lane: loss(w, both[lane]), weights)
        for one, other in zip(keras.tree.flatten(slopes), keras.tree.flatten(alone), strict=True):
            np.testing.assert_allclose(one[lane], other, rtol=1e-4, atol=1e-4)


# Training by fit


def running_mean_task(rng, examples=64):
    """Return inputs and their running means, which a recurrent layer can learn."""
    inputs = sequences(rng, batch=examples)
    steps = np.arange(1, TIME + 1)[:, None]
    return inputs, (np.cumsum(inputs, axis=1) / steps)[..., :OUTPUT]


def assert_learns(net, rng, epochs=8, **compile_options):
    net.compile(keras.optimizers.Adam(0.02), "mse", **compile_options)
    losses = net.fit(*running_mean_task(rng), batch_size=16, epochs=epochs, verbose=0)
    losses = losses.history["loss"]
    assert np.all(np.isfinite(losses))
    assert losses[-1] < 0.6 * losses[0]


# Each cell trains in one of two ways, since compiling `fit` takes seconds.


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    slow_except(one_case_of("+rnn"), one_case_of("lstm", "+rnn", "minimal_rnn")),
    ids=case_id,
)
def test_fit_under_xla(case, rng):
    arch, options, features = case
    net = build_model(arch, 2 if arch == "+rnn" else 1, 8, features, OUTPUT, seed=1, **options)
    before = [cell.initial_state for cell in model.recurrent_cells(net)]
    assert_learns(net, rng, jit_compile=True)
    for cell, initial in zip(model.recurrent_cells(net), before, strict=True):
        for state, start in zip(cell.initial_state, initial, strict=True):
            assert np.all(state != start)  # learned initial states train too


@pytest.mark.slow  # tests/keras_suite fits cells in other models
@pytest.mark.parametrize("case", one_case_of("rnn", "irnn", "ugrnn", "gru", "mgu"), ids=case_id)
def test_fit_of_a_cell_in_a_functional_model(case, rng):
    arch, options, _ = case
    inputs = keras.Input((None, INPUT))
    x = keras.layers.Dense(6, activation="tanh")(inputs)
    cell = rnn_zoo.CELLS[arch](8, seed=1, **options)
    x = keras.layers.RNN(cell, return_sequences=True)(x)
    assert_learns(keras.Model(inputs, keras.layers.Dense(OUTPUT)(x)), rng, jit_compile=False)
    assert all(np.all(state != 0) for state in cell.initial_state)


@pytest.mark.slow
def test_fit_without_xla_with_masking_and_both_directions(rng):
    inputs = keras.Input((None, INPUT))
    x = keras.layers.Masking(-9.0)(inputs)
    x = keras.layers.Bidirectional(rnn_zoo.layers.LSTM(6, return_sequences=True))(x)
    x = rnn_zoo.layers.IntersectionRNN(8, return_sequences=True)(x)
    net = keras.Model(inputs, keras.layers.Dense(OUTPUT)(x))
    assert_learns(net, rng, jit_compile=False)


@pytest.mark.slow
def test_fit_in_mixed_precision(float16_policy, rng):
    net = build_model("ugrnn", 1, 8, INPUT, OUTPUT, seed=1)
    assert keras.backend.standardize_dtype(net(sequences(rng)).dtype) == "float16"
    assert {weight.dtype for weight in net.weights} == {"float32"}
    assert_learns(net, rng, jit_compile=False)


@pytest.fixture
def float16_policy():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy(before)


@pytest.mark.slow
@mostly_slow
def test_a_layer_may_be_used_twice(case, rng):
    arch, options, features = case
    layer = LAYERS[arch](UNITS, return_sequences=True, **options)
    one, other = keras.Input((None, features)), keras.Input((None, features))
    net = keras.Model([one, other], keras.layers.concatenate([layer(one), layer(other)], axis=1))
    assert len(net.weights) == len(layer.weights)
    first, second = sequences(rng), sequences(rng, time=TIME + 2)
    expected = np.concatenate([to_numpy(layer(x)) for x in (first, second)], axis=1)
    np.testing.assert_allclose(net.predict([first, second], verbose=0), expected, atol=1e-6)


def test_states_pass_from_an_encoder_to_a_decoder(rng):
    source, target = keras.Input((None, INPUT)), keras.Input((None, INPUT))
    _, *states = rnn_zoo.layers.LSTM(UNITS, return_state=True)(source)
    decoder = rnn_zoo.layers.LSTM(UNITS, return_sequences=True)
    net = keras.Model([source, target], decoder(target, initial_state=states))
    one, other, read = sequences(rng), sequences(rng), sequences(rng)
    found = [net.predict([x, read], verbose=0) for x in (one, other)]
    assert np.all(found[0] != found[1])


# Saving


def parts_in_a_model(case):
    """A layer, a bare cell and both directions of a layer, side by side."""
    arch, options, features = case
    inputs = keras.Input((None, features))
    cell = rnn_zoo.CELLS[arch](UNITS, matrix_init="normal", bias_scale=0.1, **options)
    parts = [
        keras.layers.RNN(cell),
        LAYERS[arch](UNITS, go_backwards=True, **options),
        keras.layers.Bidirectional(LAYERS[arch](UNITS, **options)),
    ]
    return keras.Model(inputs, keras.layers.concatenate([part(inputs) for part in parts]))


def stack_of_two(case):
    arch, options, features = case
    return build_model(arch, 2, UNITS, features, OUTPUT, **options)


@mostly_slow
@pytest.mark.parametrize("make", [parts_in_a_model, stack_of_two])
def test_a_keras_file_restores_the_model(case, make, rng, tmp_path):
    net, path = make(case), tmp_path / "net.keras"
    randomize(net.weights, rng)
    net.save(path)
    again = keras.models.load_model(path)
    inputs = sequences(rng)
    assert [w.name for w in again.weights] == [w.name for w in net.weights]
    for weight, loaded in zip(net.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(loaded, weight)
    np.testing.assert_array_equal(to_numpy(again(inputs)), to_numpy(net(inputs)))


LOAD = """
import sys
import keras, numpy as np
import rnn_zoo.layers
assert rnn_zoo.convert.from_torch and "torch" not in sys.modules
net = keras.models.load_model(sys.argv[1])
seeded = rnn_zoo.build_model("+rnn", 2, 3, 4, 2, seed=11, bias_init="normal", bias_scale=1.0)
np.savez(sys.argv[3], *seeded.get_weights(), outputs=net(np.load(sys.argv[2])))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "cases"),
    [("jax", ONE_CASE_EACH), ("tensorflow", ONE_CASE_EACH)],
    ids=["jax", "tensorflow"],
)
def test_a_keras_file_loads_in_a_fresh_process(backend, cases, rng, tmp_path):
    """Also on another backend; equal seeds give equal weights there too.

    PyTorch is imported only when asked for.
    """
    inputs, outputs = keras.Input((None, INPUT)), []
    for arch, options, _ in cases:
        outputs.append(LAYERS[arch](UNITS, **options)(inputs))
        outputs.append(keras.layers.RNN(rnn_zoo.CELLS[arch](UNITS, **options))(inputs))
    net, x = keras.Model(inputs, keras.layers.concatenate(outputs)), sequences(rng)
    randomize(net.weights, rng)
    net.save(tmp_path / "net.keras")
    np.save(tmp_path / "x.npy", x)
    subprocess.run(
        [sys.executable, "-c", LOAD, *(str(tmp_path / n) for n in ("net.keras", "x.npy", "y.npz"))],
        env=os.environ | {"KERAS_BACKEND": backend},
        check=True,
        timeout=120,
    )
    found = np.load(tmp_path / "y.npz")
    np.testing.assert_allclose(found["outputs"], to_numpy(net(x)), atol=1e-5)
    seeded = build_model("+rnn", 2, 3, 4, 2, seed=11, bias_init="normal", bias_scale=1.0)
    for index, weight in enumerate(seeded.get_weights()):
        np.testing.assert_array_equal(found[f"arr_{index}"], weight)
