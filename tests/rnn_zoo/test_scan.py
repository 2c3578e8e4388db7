"""Linear recurrences as a parallel scan, and truncated backpropagation."""

import math

import keras
import numpy as np
import pytest
from keras import ops
from on_backend import QUICKEST, execute, gradients, needs_float64, to_numpy

import rnn_zoo
from rnn_zoo.algebra import state_widths
from rnn_zoo.cells.linear import ChunkedRNNCell, LinearRNNCell
from rnn_zoo.functional import draw_weights, forward, make_cells
from rnn_zoo.layers import GRU, MLSTM, MinGRU
from rnn_zoo.unroll import scan as scan_module
from rnn_zoo.unroll import unroll
from rnn_zoo.unroll.scan import linear_scan

BATCH, TIME, UNITS, FEATURES = 2, 9, 3, 3
LINEAR = [arch for arch, cell in rnn_zoo.CELLS.items() if issubclass(cell, LinearRNNCell)]


def test_the_cells_that_are_linear():
    expected = "gilr lru min_gru min_lstm qrnn sru t_gru t_lstm t_rnn"
    assert sorted(LINEAR) == expected.split()


def parts(rng, is_complex, *shape):
    return list(rng.normal(scale=0.7, size=(1 + is_complex, *shape)))


def by_loop(a, b, first):
    """Complex numbers, one step at a time."""
    a, b, state = (each[0] + 1j * each[1] if len(each) > 1 else each[0] for each in (a, b, first))
    found = []
    for one, other in zip(a, b, strict=True):
        state = one * state + other
        found.append(state)
    found = np.stack(found)
    return [found.real, found.imag] if np.iscomplexobj(found) else [found]


@needs_float64
@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize("time", [1, 2, 7, 8])
def test_a_scan_equals_a_loop_and_its_gradient_central_differences(is_complex, time, rng):
    given = {
        "a": parts(rng, is_complex, time, 2),
        "b": parts(rng, is_complex, time, 2),
        "first": parts(rng, is_complex, 2),
    }
    direction = rng.normal(size=(2, time, 2))

    def run(arguments):
        return linear_scan(**arguments)

    def loss(arguments):
        found = linear_scan(**arguments)
        return sum(ops.sum(each * d) for each, d in zip(found, direction, strict=False))

    found = execute(QUICKEST, run, given)
    np.testing.assert_allclose(found, by_loop(**given), rtol=1e-12)
    slopes = gradients(QUICKEST, loss, given)
    for name, arrays in given.items():
        for part, array in enumerate(arrays):
            for place in np.ndindex(array.shape):
                values = []
                for sign in (1, -1):
                    array[place] += sign * 1e-6
                    states = zip(by_loop(**given), direction, strict=False)
                    values.append(sum(np.sum(x * d) for x, d in states))
                    array[place] -= sign * 1e-6
                slope = (values[0] - values[1]) / 2e-6
                np.testing.assert_allclose(slopes[name][part][place], slope, rtol=1e-7, atol=1e-8)


def scan_and_loop_agree(run, arguments, directions):
    """Compare results and gradients of `run(scan)`; return the loop's gradients."""

    def loss(scan):
        def total(given):
            pairs = zip(run(scan)(given), directions, strict=True)
            return sum(ops.sum(each * direction) for each, direction in pairs)

        return total

    expected = execute(QUICKEST, run(False), arguments)
    for one, other in zip(execute(QUICKEST, run(True), arguments), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-10)
    slopes = gradients(QUICKEST, loss(False), arguments)
    found = gradients(QUICKEST, loss(True), arguments)
    for one, other in zip(keras.tree.flatten(found), keras.tree.flatten(slopes), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-9)
    return slopes


@needs_float64
@pytest.mark.parametrize("lanes", [(), (2,)])
@pytest.mark.parametrize("arch", LINEAR)
def test_a_cell_by_scan_equals_itself_by_loop(arch, lanes, rng):
    cell = rnn_zoo.CELLS[arch](UNITS, dtype="float64")
    cell.build((None, FEATURES))
    arguments = {
        "weights": keras.tree.map_structure(
            lambda array: rng.normal(scale=0.5, size=(*lanes, *array.shape)),
            to_numpy(cell.weight_tensors()),
        ),
        "inputs": rng.normal(size=(*lanes, BATCH, TIME, FEATURES)),
    }
    directions = rng.normal(size=(1 + len(cell.state_names), TIME, *lanes, BATCH, UNITS))

    def run(scan):
        def result(given):
            outputs, states = unroll(
                cell, given["weights"], given["inputs"], state_sequences=True, scan=scan
            )
            return [outputs, *states]

        return result

    slopes = scan_and_loop_agree(run, arguments, directions)
    assert all(map(np.any, keras.tree.flatten(slopes)))


# In chunks of time steps

CHUNKED = [arch for arch, cell in rnn_zoo.CELLS.items() if issubclass(cell, ChunkedRNNCell)]


def test_the_cells_that_run_in_chunks():
    assert CHUNKED == ["mlstm"]


@needs_float64
@pytest.mark.parametrize("lanes", [(), (2,)])
@pytest.mark.parametrize("arch", CHUNKED)
def test_a_cell_in_chunks_equals_itself_by_loop(arch, lanes, rng, monkeypatch):
    """Chunks of 4, 4 and 1 steps, from a given state, and the gradients of all arguments."""
    monkeypatch.setattr(scan_module, "_CHUNK", 4)
    units = 8
    cell = rnn_zoo.CELLS[arch](units, dtype="float64", gate_bias=0.5)
    cell.build((None, FEATURES))
    weights = keras.tree.map_structure(
        lambda array: rng.normal(scale=0.5, size=(*lanes, *array.shape)),
        to_numpy(cell.weight_tensors()),
    )
    widths = state_widths(cell, units)
    states = [rng.normal(size=(*lanes, BATCH, width)) for width in widths]
    states[1] = np.repeat(states[1][..., ::2], 2, axis=-1)  # one m per head
    directions = [rng.normal(size=(TIME, *lanes, BATCH, units))]
    directions += [rng.normal(size=state.shape) for state in states]
    # Not m, of which a chunk reads one unit per head.
    arguments = {"weights": weights, "inputs": rng.normal(size=(*lanes, BATCH, TIME, FEATURES))}
    arguments |= {"n": states[0], "C": states[2]}

    def run(scan):
        def result(given):
            initial = [given["n"], ops.convert_to_tensor(states[1]), given["C"]]
            found = unroll(cell, given["weights"], given["inputs"], initial, scan=scan)
            return [found[0], *found[1]]

        return result

    scan_and_loop_agree(run, arguments, directions)


def test_chunks_are_exact_when_everything_is_forgotten(rng):
    """Sums of large logarithms must not cancel where a step writes what it reads."""
    cell = rnn_zoo.MLSTMCell(8, gate_bias=-1000.0, seed=1)
    cell.build((None, 2))
    inputs = rng.normal(size=(BATCH, 64, 2)).astype("float32")
    found, expected = (
        to_numpy(unroll(cell, cell.fused(), inputs, scan=scan)[0]) for scan in (True, False)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_compiled_chunks_of_a_wide_cell_are_right(rng, monkeypatch):
    """XLA computes products with constants, here the first states, in ways of their own."""
    cells = make_cells("mlstm", 1, 160, seed=0)
    inputs = rng.normal(size=(16, 64, 2)).astype("float32")
    given = draw_weights(cells, 2, 3, seed=0), inputs

    def results():
        def loss(given):
            return ops.mean(ops.square(forward(cells, *given)))

        outputs = execute(QUICKEST, lambda given: forward(cells, *given), given)
        return [outputs, *keras.tree.flatten(gradients(QUICKEST, loss, given))]

    in_chunks = results()
    monkeypatch.setattr(scan_module, "_WIDE", math.inf)
    for one, other in zip(in_chunks, results(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4 * np.max(np.abs(other)))


def test_chunks_are_few_and_chosen_for_wide_states(rng, monkeypatch):
    """Where a loop is compiled on a CPU, from 32 units per head; elsewhere from 32 steps."""
    sizes = []
    chunk = rnn_zoo.MLSTMCell.chunk

    def counted(self, ops, pre, states):
        sizes.append(pre("q").shape[0])
        return chunk(self, ops, pre, states)

    monkeypatch.setattr(rnn_zoo.MLSTMCell, "chunk", counted)

    def sizes_of(units, time_steps, is_compiled=True, prefers_hoisting=False, **options):
        its = rnn_zoo.backend.current()
        monkeypatch.setattr(its, "is_compiled", lambda: is_compiled)
        monkeypatch.setattr(its, "prefers_hoisting", lambda: prefers_hoisting)
        sizes.clear()
        x = rng.normal(size=(1, time_steps, 2)).astype("float32")
        MLSTM(units, seed=1, **options)(x)
        return list(sizes)

    assert sizes_of(128, 100) == [64, 36]
    assert sizes_of(124, 100) == sizes_of(128, 31) == sizes_of(128, 100, scan=False) == []
    assert sizes_of(8, 32, is_compiled=False) == sizes_of(8, 32, prefers_hoisting=True) == [32]
    assert sizes_of(8, 1030, scan=True) == [65] * 15 + [55]
    assert sizes_of(128, 100, return_state_sequences=True) == []
    assert sizes_of(128, 100, layer_norm=True, scan=True) == []


def test_a_layer_takes_scan_and_a_mask_needs_a_loop(rng):
    inputs = rng.normal(size=(BATCH, TIME, FEATURES)).astype("float32")
    layers = [
        MinGRU(UNITS, seed=1, return_sequences=True, scan=scan) for scan in (None, True, False)
    ]
    found = [to_numpy(layer(inputs)) for layer in layers]
    for each in found[1:]:
        np.testing.assert_allclose(each, found[0], atol=1e-6)
    mask = np.ones((BATCH, TIME), bool)
    mask[:, 4] = False
    masked = [to_numpy(layer(inputs, mask=mask)) for layer in layers]
    np.testing.assert_array_equal(masked[1], masked[2])
    np.testing.assert_array_equal(masked[1][:, 4], masked[1][:, 3])
    assert MinGRU.from_config(layers[1].get_config()).scan is True
    with pytest.raises(ValueError, match="the recurrence of GRUCell is not linear; omit scan"):
        GRU(UNITS, scan=True)


# Truncated backpropagation


@needs_float64
@pytest.mark.parametrize("derived", [False, True])
def test_truncated_gradients_are_those_of_chunks(derived, rng, monkeypatch):
    if derived:
        monkeypatch.setattr(rnn_zoo.backend.current(), "is_compiled", lambda: True)
    cell = rnn_zoo.LSTMCell(UNITS, dtype="float64")
    cell.build((None, FEATURES))
    arguments = {
        "weights": keras.tree.map_structure(
            lambda array: rng.normal(scale=0.5, size=array.shape), to_numpy(cell.weight_tensors())
        ),
        "inputs": rng.normal(size=(BATCH, TIME, FEATURES)),
    }
    direction = rng.normal(size=(TIME, BATCH, UNITS))

    def truncated(given):
        outputs, _ = unroll(cell, given["weights"], given["inputs"], truncate=4)
        return ops.sum(outputs * direction)

    def in_chunks(given):
        total, states = 0.0, None
        for start in range(0, TIME, 4):
            chunk = given["inputs"][:, start : start + 4]
            outputs, states = unroll(cell, given["weights"], chunk, states)
            states = [ops.stop_gradient(state) for state in states]
            total += ops.sum(outputs * direction[start : start + 4])
        return total

    found = gradients(QUICKEST, truncated, arguments)
    expected = gradients(QUICKEST, in_chunks, arguments)
    for one, other in zip(keras.tree.flatten(found), keras.tree.flatten(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
    whole = gradients(
        QUICKEST,
        lambda given: ops.sum(unroll(cell, given["weights"], given["inputs"])[0] * direction),
        arguments,
    )
    assert np.abs(whole["weights"]["input"]["i"] - found["weights"]["input"]["i"]).max() > 1e-3


def test_a_layer_takes_truncate(rng):
    inputs = rng.normal(size=(BATCH, TIME, FEATURES)).astype("float32")
    layer = GRU(UNITS, seed=1, truncate=3)
    np.testing.assert_allclose(to_numpy(layer(inputs)), to_numpy(GRU(UNITS, seed=1)(inputs)))
    assert GRU.from_config(layer.get_config()).truncate == 3
    assert rnn_zoo.layers.GRU(3, truncate=np.int64(5)).truncate == 5
    with pytest.raises(ValueError, match=r"truncate must be a whole number .* got True"):
        rnn_zoo.layers.GRU(3, truncate=True)
    with pytest.raises(ValueError, match="truncate must be a whole number of at least 1, got 0"):
        GRU(UNITS, truncate=0)


@pytest.mark.slow
@pytest.mark.parametrize("scan", [True, False])
def test_ten_thousand_steps_train(scan, rng):
    inputs = rng.normal(size=(8, 10_000, 2)).astype("float32")
    targets = np.cumsum(inputs[..., :1], axis=1) / 1000
    layer = MinGRU(8, return_sequences=True, scan=scan, gate_bias=6.0, seed=1)
    model = keras.Sequential([keras.Input((10_000, 2)), layer, keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.01), "mse")
    history = model.fit(inputs, targets, batch_size=4, epochs=3, verbose=0).history["loss"]
    assert history[-1] < 0.7 * history[0]
