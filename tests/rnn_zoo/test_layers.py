"""Every layer against its NumPy twin, in every way that Keras calls a recurrent layer."""

import itertools

import keras
import numpy as np
import pytest
from cell_twins import (
    BATCH,
    CASES,
    INPUT,
    ONE_CASE_EACH,
    QUICK_CASES,
    TIME,
    UNITS,
    by_gate,
    case_id,
    central_differences,
    in_every_way,
    mostly_slow,
    one_case_each,
    one_case_of,
    random_cell,
    random_inputs,
    random_layer,
    random_mask,
    randomize,
    twin_unroll,
    values_of,
)
from on_backend import (
    BACKEND,
    COMPILED,
    QUICKEST,
    TOLERANCE,
    every_mode,
    execute,
    layer_gradients,
    needs_float64,
    tensorflow_only,
    to_numpy,
)
from slow import slow_except, slow_rows_except

import rnn_zoo
from rnn_zoo.layers import LAYERS

every_case = pytest.mark.parametrize("case", slow_except(ONE_CASE_EACH, CASES), ids=case_id)


def assert_close(found, expected, dtype):
    found, expected = keras.tree.flatten(found), keras.tree.flatten(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=TOLERANCE[dtype])


def zeroed(outputs, mask):
    return np.where(mask[..., None], outputs, 0)


# Numbers


@pytest.mark.parametrize(("case", "dtype", "mode"), in_every_way())
def test_equals_the_twin(case, dtype, mode, rng):
    layer = random_layer(case, rng, dtype, return_sequences=True, return_state=True)
    inputs, states = random_inputs(case, rng, dtype)
    outputs, last = twin_unroll(case, values_of(layer.cell), inputs, states)

    found = execute(mode, lambda x, s: layer(x, initial_state=s), inputs, states)

    assert {array.dtype.name for array in found} == {dtype}
    assert_close(found, [outputs, *last], dtype)


@mostly_slow
@every_mode
def test_starts_from_the_learned_state(case, mode, rng):
    layer = random_layer(case, rng, "float32", return_sequences=True)
    inputs, _ = random_inputs(case, rng, "float32")
    outputs, _ = twin_unroll(case, values_of(layer.cell), inputs)
    assert_close(execute(mode, layer, inputs), [outputs], "float32")


def expected_results(case, layer, inputs, states, mask):
    """What the layer's options make of the twin's sequence; also for Keras's own loop."""
    outputs, last = twin_unroll(
        case, values_of(layer.cell), inputs, states, mask=mask, go_backwards=layer.go_backwards
    )
    if mask is not None and layer.zero_output_for_mask:
        outputs = zeroed(outputs, mask[:, ::-1] if layer.go_backwards else mask)
    output = outputs if layer.return_sequences else outputs[:, -1]
    return [output, *last] if layer.return_state else [output]


@pytest.mark.parametrize("case", one_case_of("lstm", "+rnn"), ids=case_id)
@pytest.mark.parametrize("masked", ["no mask", "last output again", "zeros"])
@pytest.mark.parametrize(
    ("go_backwards", "return_sequences"),
    slow_rows_except([(False, False), (True, True)], [*itertools.product([False, True], repeat=2)]),
)
def test_options_and_masks(case, masked, go_backwards, return_sequences, rng):
    """Of the two cells that have more than one state, or an output that is none."""
    inputs, states = random_inputs(case, rng, "float32")
    mask = None if masked == "no mask" else random_mask(rng)
    layer = random_layer(
        case, rng, "float32", return_state=True, return_sequences=return_sequences,
        go_backwards=go_backwards, zero_output_for_mask=masked == "zeros",
    )  # fmt: skip
    found = execute(QUICKEST, lambda x, s: layer(x, initial_state=s, mask=mask), inputs, states)
    assert_close(found, expected_results(case, layer, inputs, states, mask), "float32")


@mostly_slow
@pytest.mark.parametrize("return_sequences", [False, True])
def test_without_states_the_output_comes_bare(case, return_sequences, rng):
    layer = random_layer(case, rng, "float32", return_sequences=return_sequences)
    inputs, _ = random_inputs(case, rng, "float32")
    assert_close(
        to_numpy(layer(inputs)), expected_results(case, layer, inputs, None, None)[0], "float32"
    )


@mostly_slow
@pytest.mark.parametrize("zero_output", slow_except([True], [False, True]))
def test_masks_compiled(case, zero_output, rng):
    layer = random_layer(
        case, rng, "float32", return_sequences=True, return_state=True, go_backwards=True,
        zero_output_for_mask=zero_output,
    )  # fmt: skip
    inputs, states = random_inputs(case, rng, "float32")
    mask = random_mask(rng)
    found = execute(
        COMPILED, lambda x, s, m: layer(x, initial_state=s, mask=m), inputs, states, mask
    )
    assert_close(found, expected_results(case, layer, inputs, states, mask), "float32")


@needs_float64
@every_case
def test_gradients_are_central_differences(case, rng):
    check_gradients(case, rng, QUICKEST)


@needs_float64
@mostly_slow
@pytest.mark.parametrize("go_backwards", [False, True])
def test_gradients_under_a_mask_are_central_differences(case, go_backwards, rng):
    check_gradients(case, rng, QUICKEST, mask=random_mask(rng), go_backwards=go_backwards)


def check_gradients(case, rng, mode, mask=None, go_backwards=False):
    """Weights, given initial states and inputs; outputs and last states in the loss."""
    layer = random_layer(
        case, rng, return_sequences=True, return_state=True, go_backwards=go_backwards
    )
    inputs, states = random_inputs(case, rng)
    values = values_of(layer.cell)
    directions = [rng.normal(size=(BATCH, TIME, UNITS)), *rng.normal(size=(2, BATCH, UNITS))]

    def loss(results):
        return sum(keras.ops.sum(r * d) for r, d in zip(results, directions, strict=False))

    def twin_loss():
        outputs, last = twin_unroll(
            case, values, inputs, states, mask=mask, go_backwards=go_backwards
        )
        return sum(np.sum(r * d) for r, d in zip([outputs, *last], directions, strict=False))

    arguments = {"sequences": inputs, "initial_state": states}
    arguments |= {} if mask is None else {"mask": mask}
    of_weights, of_arguments = layer_gradients(mode, layer, loss, arguments)
    named = {name: array for name, array in values.items() if not name.startswith("initial_")}
    named |= {"x": inputs} | {f"state {i}": state for i, state in enumerate(states)}
    found = by_gate(layer.cell, of_weights) | {"x": of_arguments["sequences"]}
    found |= {f"state {i}": g for i, g in enumerate(of_arguments["initial_state"])}
    for name, slope in central_differences(twin_loss, named).items():
        np.testing.assert_allclose(found[name], slope, rtol=1e-7, atol=1e-7, err_msg=name)


@needs_float64
@mostly_slow
def test_gradients_of_learned_states_are_central_differences(case, rng):
    layer = random_layer(case, rng)
    inputs, _ = random_inputs(case, rng)
    values, direction = values_of(layer.cell), rng.normal(size=(BATCH, UNITS))

    def twin_loss():
        return np.sum(twin_unroll(case, values, inputs)[0][:, -1] * direction)

    of_weights, _ = layer_gradients(
        QUICKEST, layer, lambda y: keras.ops.sum(y * direction), {"sequences": inputs}
    )
    learned = {name: array for name, array in values.items() if name.startswith("initial_")}
    slopes = central_differences(twin_loss, learned)
    for name, slope in slopes.items():
        assert np.any(of_weights[name])
        np.testing.assert_allclose(of_weights[name], slope, rtol=1e-7, atol=1e-7, err_msg=name)


# Inside Keras


@mostly_slow
@pytest.mark.parametrize("masked", [False, True])
def test_a_bare_cell_in_keras_rnn_equals_the_twin(case, masked, rng):
    inputs, states = random_inputs(case, rng, "float32")
    mask = random_mask(rng) if masked else None
    for go_backwards, return_sequences in itertools.product([False, True], repeat=2):
        layer = keras.layers.RNN(
            random_cell(case, rng, "float32"),
            go_backwards=go_backwards,
            return_sequences=return_sequences,
            return_state=True,
            # Without this, Keras on JAX puts state[0] where the mask is false, not the last output.
            zero_output_for_mask=masked and BACKEND == "jax",
        )
        found = execute("eager", lambda x, s: layer(x, initial_state=s, mask=mask), inputs, states)  # noqa: B023
        assert_close(found, expected_results(case, layer, inputs, states, mask), "float32")


@mostly_slow
def test_a_bare_cell_in_keras_rnn_compiles(case, rng):
    layer = keras.layers.RNN(random_cell(case, rng, "float32"), return_sequences=True)
    inputs, _ = random_inputs(case, rng, "float32")
    layer(inputs)
    expected = expected_results(case, layer, inputs, None, None)
    assert_close(execute(COMPILED, layer, inputs), expected, "float32")


@pytest.mark.parametrize("cases", slow_except([QUICK_CASES], [QUICK_CASES, ONE_CASE_EACH]), ids=len)
def test_stacked_cells(cases, rng):
    """Cells one on another, each of its own number of states."""
    inputs, _ = random_inputs(("rnn", {}, INPUT), rng, "float32")
    cells, sequence = [], inputs
    for arch, case_options, _ in cases:
        cells.append(rnn_zoo.CELLS[arch](UNITS, **case_options))
    layer = keras.layers.RNN(keras.layers.StackedRNNCells(cells), return_sequences=True)
    layer(inputs)
    randomize(layer.weights, rng)
    for case, cell in zip(cases, cells, strict=True):
        sequence, _ = twin_unroll(case, values_of(cell), sequence)
    assert_close(execute("eager", layer, inputs), [sequence], "float32")
    assert_close(execute(COMPILED, layer, inputs), [sequence], "float32")


def both_directions(case, wrapper, inputs):
    forward, backward = (
        twin_unroll(case, values_of(layer.cell), inputs, go_backwards=layer.go_backwards)[0]
        for layer in (wrapper.forward_layer, wrapper.backward_layer)
    )
    return np.concatenate([forward, backward[:, ::-1]], axis=-1)


@mostly_slow
@pytest.mark.parametrize("kind", ["layer", "cell"])
def test_bidirectional(case, kind, rng):
    arch, options, _ = case
    if kind == "layer":
        layer = LAYERS[arch](UNITS, return_sequences=True, **options)
    else:
        layer = keras.layers.RNN(rnn_zoo.CELLS[arch](UNITS, **options), return_sequences=True)
    wrapper = keras.layers.Bidirectional(layer)
    inputs, _ = random_inputs(case, rng, "float32")
    wrapper(inputs)
    randomize(wrapper.weights, rng)
    assert_close(
        execute("eager", wrapper, inputs), [both_directions(case, wrapper, inputs)], "float32"
    )


def test_bidirectional_layers_start_differently():
    wrapper = keras.layers.Bidirectional(rnn_zoo.layers.GRU(UNITS))
    wrapper.build((None, None, INPUT))
    directions = wrapper.forward_layer.cell, wrapper.backward_layer.cell
    forward, backward = (cell.gate_weights()["c"]["recurrent"] for cell in directions)
    assert not np.allclose(forward, backward)


@mostly_slow
def test_state_carries_on_where_a_call_ended(case, rng):
    layer = random_layer(case, rng, "float32", return_sequences=True, return_state=True)
    inputs, _ = random_inputs(case, rng, "float32")
    whole, *last = to_numpy(layer(inputs))
    first, *between = layer(inputs[:, :2])
    second, *last_again = layer(inputs[:, 2:], initial_state=between)
    assert_close([np.concatenate(to_numpy([first, second]), axis=1)], [whole], "float32")
    assert_close(to_numpy(last_again), last, "float32")


@one_case_each
def test_config_makes_an_equal_layer(case):
    arch, options, features = case
    layer = LAYERS[arch](
        UNITS, seed=3, return_sequences=True, return_state=True, go_backwards=True,
        zero_output_for_mask=True, name="mine", bias_scale=0.3, learned_initial_state=False,
        matrix_init="normal", bias_init="normal", dtype="mixed_bfloat16", trainable=False,
        **options,
    )  # fmt: skip
    copied = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(copied) is type(layer)
    assert copied.get_config() == layer.get_config()
    for one in (layer, copied):
        assert one.return_sequences and one.return_state and one.go_backwards
        assert one.zero_output_for_mask and not one.cell.learned_initial_state
        one.build((None, None, features))
        assert one.name == "mine"
        assert not one.trainable_weights
    for weight, again in zip(layer.get_weights(), copied.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, again)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"units": 0}, "units must be a whole number of at least 1, got 0"),
        ({"use_bias": "false"}, "use_bias must be True or False, got 'false'"),
        ({"learned_initial_state": None}, "learned_initial_state must be True or False, got None"),
        ({"layer_norm": 2}, "layer_norm must be True or False, got 2"),
        ({"retrun_state": True}, "LSTM has no argument retrun_state=True; use return_state"),
        ({"recurent_activation": "relu"}, "recurent_activation='relu'; use recurrent_activation"),
        ({"use_cudnn": True}, "no argument use_cudnn=True; use use_cudnn='auto'"),
        ({"unit_forget_bias": True}, "unit_forget_bias=True; use gate_bias, which is 1 by default"),
        ({"reset_after": False}, "LSTM has no argument reset_after=False"),
    ],
)
def test_unknown_arguments_are_refused_with_what_works(options, message):
    with pytest.raises(ValueError, match=message):
        rnn_zoo.layers.LSTM(**{"units": 3} | options)


def test_arguments_of_keras_that_change_nothing_are_accepted():
    options = {"unroll": True, "use_cudnn": "auto", "implementation": 1, "reset_after": False}
    layer = rnn_zoo.layers.GRU(UNITS, **options, recurrent_activation="sigmoid")
    assert not options.keys() & layer.get_config().keys()
    for cell in (rnn_zoo.FastGRNNCell, rnn_zoo.LRUCell):  # biases of the first are vectors
        assert cell(4, use_bias=True).use_bias
        with pytest.raises(ValueError, match=f"{cell.__name__} do not use use_bias; omit it"):
            cell(4, use_bias=False)
    with pytest.raises(ValueError, match="RNNCell do not use recurrent_activation; omit it"):
        rnn_zoo.layers.SimpleRNN(3, recurrent_activation="relu")


def test_weights_that_would_not_be_trained_are_refused():
    class PeepholeCell(rnn_zoo.AbstractRNNCell):
        gates = ("c",)

        def build(self, input_shape):
            super().build(input_shape)
            self.peephole = self.add_weight(name="peephole", shape=(self.units,))

        def step(self, ops, x, pre, states):
            h = self.activation(pre("c", states[0]) + self.peephole * states[0])
            return h, [h]

    class Peephole(rnn_zoo.layers.CellLayer):
        cell_class = PeepholeCell

    with pytest.raises(ValueError, match=r"peephole, and .* use keras.layers.RNN\(PeepholeCell\("):
        Peephole(UNITS).build((None, None, INPUT))
    stock = keras.layers.RNN(PeepholeCell(UNITS))
    stock.build((None, None, INPUT))
    assert [weight.name for weight in stock.trainable_weights][-1] == "peephole"


def test_layers_and_cells_have_the_same_names():
    assert list(LAYERS) == list(rnn_zoo.CELLS)
    for arch, layer_class in LAYERS.items():
        assert layer_class.cell_class is rnn_zoo.CELLS[arch]
        assert layer_class.__name__ + "Cell" == rnn_zoo.CELLS[arch].__name__
        assert getattr(rnn_zoo.layers, layer_class.__name__) is layer_class


@mostly_slow
@pytest.mark.parametrize(
    ("policy", "tolerance"), [("mixed_float16", 1e-2), ("mixed_bfloat16", 8e-2)]
)
def test_mixed_precision(case, policy, tolerance, rng):
    layer = random_layer(case, rng, policy, return_sequences=True, return_state=True)
    inputs, states = random_inputs(case, rng, "float32")
    outputs, last = twin_unroll(case, values_of(layer.cell), inputs, states)

    found = layer(inputs, initial_state=states)

    half = policy.removeprefix("mixed_")
    assert {keras.backend.standardize_dtype(array.dtype) for array in found} == {half}
    assert {weight.dtype for weight in layer.weights} == {"float32"}
    for one, other in zip(found, [outputs, *last], strict=True):
        wide = to_numpy(keras.ops.cast(one, "float32"))
        np.testing.assert_allclose(wide, other, rtol=0, atol=tolerance)


@tensorflow_only
@mostly_slow
def test_time_and_batch_may_be_unknown(case, rng):
    import tensorflow as tf

    layer = random_layer(case, rng, "float32", return_sequences=True)
    function = tf.function(layer).get_concrete_function(
        tf.TensorSpec((None, None, case[2]), tf.float32)
    )
    for batch, time in [(1, 1), (2, 7), (BATCH, TIME)]:
        inputs = rng.normal(size=(batch, time, case[2])).astype("float32")
        outputs, _ = twin_unroll(case, values_of(layer.cell), inputs)
        assert_close(to_numpy(function(tf.constant(inputs))), [outputs], "float32")


@mostly_slow
def test_whole_numbers_are_read_as_numbers(case, rng):
    """As one-hot characters may come; Keras itself casts floating-point inputs only."""
    layer = random_layer(case, rng, "mixed_bfloat16")
    inputs = rng.integers(0, 2, (BATCH, TIME, case[2]))
    expected = to_numpy(keras.ops.cast(layer(inputs.astype("float32")), "float32"))
    found = layer(inputs.astype("int32"))
    np.testing.assert_array_equal(to_numpy(keras.ops.cast(found, "float32")), expected)


def test_a_mask_layer_before_it_is_honoured(rng):
    """Keras hands on the mask of Masking: values under it must not matter."""
    (case,) = one_case_of("+rnn")
    layer = random_layer(case, rng, "float32", return_sequences=True)
    inputs, _ = random_inputs(case, rng, "float32")
    mask = random_mask(rng)
    inputs[~mask] = -9.0
    model = keras.Sequential([keras.Input((None, INPUT)), keras.layers.Masking(-9.0), layer])
    outputs, _ = twin_unroll(case, values_of(layer.cell), inputs, mask=mask)
    assert_close(to_numpy(model(inputs)), [outputs], "float32")
