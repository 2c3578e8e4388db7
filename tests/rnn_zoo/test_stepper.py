"""Steppers against the same models on whole sequences and against the NumPy twin."""

import keras
import numpy as np
import pytest
from cell_twins import CASES, ONE_CASE_EACH, TIME, UNITS, case_id, randomize
from on_backend import COMPILED, execute, needs_float64, to_numpy
from slow import slow_except

import rnn_zoo
from rnn_zoo.cells import AbstractRNNCell
from rnn_zoo.layers import CellLayer
from rnn_zoo.model import RecurrentModel, check_as_built, recurrent_cells

from .test_model import twin_outputs

OUTPUT = 2


def random_model(case, rng, depth=2, scale=1.0, **options):
    arch, case_options, features = case
    model = rnn_zoo.build_model(arch, depth, UNITS, features, OUTPUT, **case_options, **options)
    randomize(model.weights, rng)
    model.set_weights([scale * weight for weight in model.get_weights()])
    return model


def random_inputs(model, rng, batch, time=TIME):
    return rng.normal(size=(batch, time, model.input_shape[-1])).astype("float32")


def streamed(stepper, inputs):
    return np.stack([stepper(inputs[:, t]) for t in range(inputs.shape[1])], axis=1)


@pytest.mark.slow
@pytest.mark.parametrize("case", ONE_CASE_EACH, ids=case_id)
def test_ten_thousand_steps_equal_the_whole_sequence(case, rng):
    """Weights are scaled down so that a ReLU's states stay bounded."""
    model = random_model(case, rng, scale=0.7)
    inputs = random_inputs(model, rng, batch=1, time=10_000)
    expected = execute(COMPILED, model, inputs)
    scale = max(1.0, np.abs(expected).max())
    assert 0.1 < np.abs(expected).max() < 100
    assert np.abs(streamed(model.stepper(), inputs) - expected).max() <= 1e-6 * scale


@needs_float64
@pytest.mark.parametrize("case", slow_except(ONE_CASE_EACH, CASES), ids=case_id)
def test_steps_equal_the_twin_in_float64(case, rng):
    keras.config.set_dtype_policy("float64")
    try:
        model = random_model(case, rng)
    finally:
        keras.config.set_dtype_policy("float32")
    inputs = rng.normal(size=(3, TIME, model.input_shape[-1]))
    outputs = streamed(model.stepper(3), inputs)
    assert outputs.dtype == "float64"
    np.testing.assert_allclose(outputs, twin_outputs(case, model, inputs), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("arch", ["lstm", "+rnn"])
def test_states_can_be_read_and_set(arch, rng):
    model = random_model((arch, {}, 4), rng)
    inputs = random_inputs(model, rng, batch=2)
    expected = streamed(model.stepper(2), inputs)
    first, second = model.stepper(2), model.stepper(2)
    streamed(first, inputs[:, :3])
    kept = first.states
    names = [cell.state_names for cell in recurrent_cells(model)]
    assert [[state.shape for state in layer] for layer in kept] == [
        [(2, UNITS) for _ in layer] for layer in names
    ]
    second.states = kept
    np.testing.assert_array_equal(streamed(second, inputs[:, 3:]), expected[:, 3:])
    kept[0][0][:] = 7  # a copy, which the stepper does not see
    np.testing.assert_array_equal(streamed(first, inputs[:, 3:]), expected[:, 3:])


def test_reset_restores_the_learned_initial_states(rng):
    model = random_model(("lstm", {}, 4), rng)
    stepper = model.stepper(3)
    learned = [cell.initial_state for cell in recurrent_cells(model)]
    inputs = random_inputs(model, rng, batch=3)
    expected = streamed(stepper, inputs)
    assert not np.array_equal(streamed(stepper, inputs), expected)
    stepper.reset()
    for layer, values in zip(stepper.states, learned, strict=True):
        for state, value in zip(layer, values, strict=True):
            np.testing.assert_array_equal(state, np.stack([value] * 3))
    np.testing.assert_array_equal(streamed(stepper, inputs), expected)


@pytest.mark.parametrize("rows", [1, [0, 2], np.array([False, True, True]), slice(1, None)])
def test_single_sequences_can_be_reset(rows, rng):
    model = random_model(("gru", {}, 4), rng)
    stepper, inputs = model.stepper(3), random_inputs(model, rng, batch=3)
    first = streamed(stepper, inputs)
    before = stepper.states
    stepper.reset(rows)
    again = streamed(stepper, inputs)
    chosen = np.zeros(3, bool)
    chosen[rows] = True
    np.testing.assert_array_equal(again[chosen], first[chosen])
    stepper.states = before
    np.testing.assert_array_equal(again[~chosen], streamed(stepper, inputs)[~chosen])


def test_a_stepper_copies_the_weights(rng):
    model = random_model(("ugrnn", {}, 4), rng)
    inputs = random_inputs(model, rng, batch=1)
    stepper, before = model.stepper(), to_numpy(model(inputs))
    randomize(model.weights, rng)
    np.testing.assert_allclose(streamed(stepper, inputs), before, rtol=1e-5, atol=1e-6)
    assert np.abs(to_numpy(model(inputs)) - before).max() > 1e-2


@pytest.mark.parametrize(
    "activation",
    ["softplus", "gelu", "leaky_relu", keras.layers.ReLU(max_value=0.3), "softsign", "elu"],
    ids=str,
)
def test_any_keras_activation_can_be_streamed(activation, rng):
    """Including those without a NumPy equivalent, and a ReLU layer with options."""
    model = random_model(("mgu", {"activation": activation}, 4), rng)
    inputs = random_inputs(model, rng, batch=2)
    expected = to_numpy(model(inputs))
    np.testing.assert_allclose(streamed(model.stepper(2), inputs), expected, rtol=1e-5, atol=1e-6)


class Odd(AbstractRNNCell):
    """Gates requested late and out of order, with operands of their own; an unchanged state."""

    gates = ("a", "b", "c")
    state_names = ("h", "old")

    def step(self, ops, x, pre, states):
        h, old = states
        c = ops.clip(pre("c", old), -0.5, 0.5)
        a = pre("a", h)
        b = ops.where(a > 0, pre("b", c * h), 2.0 - a)
        return ops.maximum(a, b) / 2, [ops.tanh(b), h]


class OddLayer(CellLayer):
    cell_class = Odd


class OnTheBackend(AbstractRNNCell):
    """Functions without a NumPy equivalent, from `ops` and from `keras.ops` itself."""

    gates = ("a", "b")

    def step(self, ops, x, pre, states):
        a = ops.hard_tanh(pre("a", states[0]))
        b = keras.ops.erf(pre("b", states[0]))
        return a * b, [ops.where(a > 0, b, 0.5 * states[0])]


class OnTheBackendLayer(CellLayer):
    cell_class = OnTheBackend


class InPlace(AbstractRNNCell):
    gates = ("a",)

    def step(self, ops, x, pre, states):
        (h,) = states
        h *= 0.5
        h += pre("a", states[0])
        return h, [h]


class InPlaceLayer(CellLayer):
    cell_class = InPlace


def model_of(layer):
    inputs = keras.Input((None, 4))
    hidden = layer(UNITS, return_sequences=True)(inputs)
    return RecurrentModel(inputs, keras.layers.Dense(OUTPUT, name="readout")(hidden))


@pytest.mark.parametrize("layer", [OddLayer, OnTheBackendLayer])
def test_custom_cells_can_be_streamed(layer, rng):
    model = model_of(layer)
    randomize(model.weights, rng)
    data = random_inputs(model, rng, batch=2, time=9)
    np.testing.assert_allclose(
        streamed(model.stepper(2), data), to_numpy(model(data)), rtol=1e-5, atol=1e-6
    )


def test_a_step_that_changes_its_arguments_in_place_is_refused():
    with pytest.raises(ValueError, match=r"InPlace.step changes an argument in place: write h = g"):
        model_of(InPlaceLayer).stepper()


class Delay(AbstractRNNCell):
    """Cell whose new state is its input."""

    gates = ("c",)
    mixes_input = True

    def step(self, ops, x, pre, states):
        return states[0] + 0 * pre("c", states[0]), [x]


class DelayLayer(CellLayer):
    cell_class = Delay


def test_an_input_buffer_may_be_reused(rng):
    inputs = keras.Input((None, UNITS))
    hidden = DelayLayer(UNITS, return_sequences=True)(inputs)
    model = RecurrentModel(inputs, keras.layers.Dense(OUTPUT, name="readout")(hidden))
    stepper, other, buffer = model.stepper(), model.stepper(), np.empty((1, UNITS), "float32")
    for x in random_inputs(model, rng, batch=1)[0]:
        buffer[:] = x
        np.testing.assert_array_equal(stepper(buffer), other(x[None].copy()))
        buffer[:] = 9


@pytest.mark.parametrize("policy", ["float16", "bfloat16", "mixed_bfloat16", "float32"])
def test_half_precision_streams_in_float32(policy, rng):
    keras.config.set_dtype_policy(policy)
    try:
        model = random_model(("gru", {"gate_bias": np.float64(1.0)}, 4), rng)
    finally:
        keras.config.set_dtype_policy("float32")
    stepper = model.stepper(2)
    inputs = random_inputs(model, rng, batch=2)
    outputs = streamed(stepper, inputs)
    assert outputs.dtype == "float32" == stepper.states[0][0].dtype
    expected = np.asarray(to_numpy(model(inputs)), "float32")
    tolerance = 1e-5 if policy == "float32" else 0.1
    np.testing.assert_allclose(outputs, expected, rtol=tolerance, atol=tolerance)


class Halves(keras.Operation):
    """Operation with two results and an option that Keras cannot serialize."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def call(self, x):
        return self.factor() * x, x - self.factor() * x

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, x.dtype), keras.KerasTensor(x.shape, x.dtype)


def test_operations_with_several_results_are_streamed(rng):
    def activation(z):
        first, second = Halves(lambda: 0.25)(z)
        return keras.ops.tanh(first) - second

    model = random_model(("rnn", {"activation": activation}, 4), rng)
    inputs = random_inputs(model, rng, batch=2)
    np.testing.assert_allclose(
        streamed(model.stepper(2), inputs), to_numpy(model(inputs)), rtol=1e-5, atol=1e-6
    )


def test_a_model_not_made_by_build_model_is_refused():
    with pytest.raises(
        ValueError, match=r"of rnn_zoo.build_model or rnn_zoo.load, got a Sequential"
    ):
        check_as_built(keras.Sequential())


def test_a_model_that_differs_from_its_equations_is_refused(rng):
    backwards = random_model(("gru", {}, 4), rng, go_backwards=True)
    with pytest.raises(ValueError, match="layer_0 runs backwards, so it needs the whole sequence"):
        backwards.stepper()
    quantized = random_model(("gru", {}, 4), rng)
    quantized.get_layer("readout").quantize("int8")
    adapted = random_model(("gru", {}, 4), rng)
    adapted.get_layer("readout").enable_lora(2)
    for model in (quantized, adapted):
        with pytest.raises(ValueError, match="the readout is quantized or has LoRA"):
            model.stepper()


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_diverged_model_streams_without_a_warning(rng):
    model = random_model(("irnn", {}, 4), rng, scale=1e30)
    assert not np.isfinite(streamed(model.stepper(), random_inputs(model, rng, batch=1))).all()


def test_saved_and_cloned_models_stream(rng, tmp_path):
    model = random_model(("+rnn", {}, 4), rng)
    inputs = random_inputs(model, rng, batch=2)
    expected = streamed(model.stepper(2), inputs)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, RecurrentModel)
    np.testing.assert_array_equal(streamed(loaded.stepper(2), inputs), expected)
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(streamed(clone.stepper(2), inputs), expected)


def test_wrong_shapes_are_refused(rng):
    model = random_model(("lstm", {}, 4), rng, depth=1)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        model.stepper(0)
    stepper = model.stepper(2)
    before = stepper.states
    with pytest.raises(ValueError, match=r"a step's inputs must be \(2, 4\), got \(2, 5, 4\)"):
        stepper(np.zeros((2, 5, 4)))
    for states in ([], [before[0][:1]], [[state[:1] for state in before[0]]]):
        with pytest.raises(ValueError, match="states must have the shapes"):
            stepper.states = states
    np.testing.assert_array_equal(stepper.states, before)


@pytest.mark.parametrize("arch", ["gru", "lstm"])
def test_zoned_out_states_are_averaged(arch, rng):
    model = rnn_zoo.build_model(arch, 1, UNITS, 2, OUTPUT, zoneout=0.3, layer_norm=True)
    randomize(model.weights, rng)
    inputs = random_inputs(model, rng, 3)
    whole = to_numpy(model(inputs))
    np.testing.assert_allclose(streamed(model.stepper(3), inputs), whole, rtol=0, atol=1e-5)
