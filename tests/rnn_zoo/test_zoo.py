"""What every cell of the zoo promises beside the paper's: the contract, cell by cell."""

import keras
import numpy as np
import pytest
from cell_twins import BATCH, random_mask
from keras import ops
from on_backend import BACKEND, QUICKEST, execute, gradients, needs_float64, to_numpy
from twins import TWINS
from twins.base import by_gate

import rnn_zoo
from rnn_zoo.algebra import Diagonal, state_widths
from rnn_zoo.architectures import ARCHITECTURES
from rnn_zoo.backend import generic
from rnn_zoo.cells.base import names_in_equations, own_options
from rnn_zoo.layers import LAYERS
from rnn_zoo.unroll import unroll
from rnn_zoo.unroll.derived import is_large

TIME, LANES = 4, 2
every_cell = pytest.mark.parametrize("arch", TWINS)


def made(arch, rng, dtype="float64"):
    """A layer with random weights, and its twin."""
    twin = TWINS[arch]
    layer = LAYERS[arch](
        twin.units, return_sequences=True, return_state=True, dtype=dtype, **twin.options
    )
    layer.build((None, None, twin.features or twin.units))
    drawn = keras.tree.map_structure(
        lambda array: rng.normal(scale=0.6, size=array.shape), weights_of(layer.cell)
    )
    layer.cell.assign_weights(drawn)
    return layer, twin


def weights_of(cell):
    return to_numpy(cell.weight_tensors(cell.variable_dtype))


def problem(arch, rng, lanes=(), batch=BATCH):
    twin, row = TWINS[arch], ARCHITECTURES[arch]
    inputs = rng.normal(size=(*lanes, batch, TIME, twin.features or twin.units))
    widths = state_widths(row, twin.units)
    return inputs, twin.valid([rng.normal(size=(*lanes, batch, width)) for width in widths])


def run_twin(layer, twin, inputs, states):
    weights, outputs = by_gate(layer.cell, weights_of(layer.cell)), []
    for x in np.moveaxis(inputs, 1, 0):
        output, states = twin.step(weights, x, states, **twin.options)
        outputs.append(output)
    return np.stack(outputs, 1), states


def assert_close(found, expected, tolerance=1e-9):
    for one, other in zip(keras.tree.flatten(found), keras.tree.flatten(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


@needs_float64
@every_cell
def test_layer_cell_and_stepper_equal_the_twin(arch, rng):
    layer, twin = made(arch, rng)
    inputs, states = problem(arch, rng)
    expected, last = run_twin(layer, twin, inputs, states)
    assert_close(to_numpy(layer(inputs, initial_state=states)), [expected, *last])
    output, new = layer.cell(inputs[:, 0], states)
    assert_close(to_numpy(output), expected[:, 0])
    assert len(new) == twin.num_states
    readout = {"kernel": np.eye(twin.units), "bias": np.zeros(twin.units)}
    weights = {"layers": [weights_of(layer.cell)], "readout": readout}
    stepper = rnn_zoo.Stepper([layer.cell], weights, batch_size=BATCH)
    stepper.states = [states]
    found = np.stack([stepper(x) for x in np.moveaxis(inputs, 1, 0)], 1)
    assert_close(found, expected, 1e-6)  # functions without NumPy equivalents run in float32
    np.testing.assert_array_less(0, np.abs(expected[:, 1:] - expected[:, :-1]).max((0, 1)))


@needs_float64
@every_cell
def test_the_derived_gradient_equals_the_automatic_one(arch, rng, monkeypatch):
    check_gradients(arch, rng, monkeypatch, (), None, TWINS[arch].units)  # batch last


@pytest.mark.slow
@needs_float64
@every_cell
def test_the_derived_gradient_of_lanes_under_a_mask(arch, rng, monkeypatch):
    check_gradients(arch, rng, monkeypatch, (LANES,), random_mask(rng)[:, :TIME], BATCH)


@pytest.mark.slow
@needs_float64
@every_cell
def test_the_derived_gradient_batch_first(arch, rng, monkeypatch):
    assert is_large(TWINS[arch].units, BATCH)
    check_gradients(arch, rng, monkeypatch, (), None, BATCH)


def check_gradients(arch, rng, monkeypatch, lanes, mask, batch):
    layer, twin = made(arch, rng)
    inputs, states = problem(arch, rng, lanes, batch)
    weights = keras.tree.map_structure(
        lambda array: rng.normal(scale=0.6, size=(*lanes, *array.shape)), weights_of(layer.cell)
    )
    direction = rng.normal(size=(TIME, *lanes, batch, twin.units))
    of_states = [rng.normal(size=state.shape) for state in states]
    arguments = {"weights": weights, "inputs": inputs, "states": states}

    def run(given):
        return unroll(layer.cell, given["weights"], given["inputs"], given["states"], mask)

    def loss(given):
        outputs, last = run(given)
        pairs = zip([outputs, *last], [direction, *of_states], strict=True)
        return sum(ops.sum(result * direction) for result, direction in pairs)

    with monkeypatch.context() as patch:
        patch.setattr(rnn_zoo.backend, "current", lambda: generic)
        expected = gradients(QUICKEST, loss, arguments)
        outputs = execute(QUICKEST, run, arguments)
    monkeypatch.setattr(rnn_zoo.backend.current(), "is_compiled", lambda: True)
    found = gradients(QUICKEST, loss, arguments)
    assert_close(execute(QUICKEST, run, arguments), outputs)
    for path, slope in keras.tree.flatten_with_path(expected):
        one = found
        for key in path:
            one = one[key]
        np.testing.assert_allclose(one, slope, rtol=1e-7, atol=1e-8, err_msg=str(path))
        unused = path[:2] == ("weights", "initial_state")
        assert unused or np.any(slope), f"nothing depends on {path}"


@every_cell
def test_the_light_table_and_the_counts(arch):
    row, cell_class, twin = ARCHITECTURES[arch], rnn_zoo.CELLS[arch], TWINS[arch]
    assert cell_class.__name__ == row.cell and getattr(rnn_zoo, row.cell) is cell_class
    assert LAYERS[arch].__name__ + "Cell" == row.cell
    for trait in ("gates", "vectors", "zero_states", "forget_gates", "state_names", "mixes_input"):
        assert getattr(row, trait) == getattr(cell_class, trait), trait
    assert row.always_reads_in == cell_class.always_reads_in
    assert (row.options, row.lane_options) == (own_options(cell_class), cell_class.lane_options)
    assert row.uses_activation == ("activation" in names_in_equations(cell_class))
    assert len(row.state_names) == twin.num_states
    assert any(source in row.paper for source in ("arXiv:", ", 10.", "https://"))
    cell = cell_class(twin.units, seed=1)
    assert (row.activation, row.matrix_init) == (cell.activation.__name__, cell.matrix_init)
    model = rnn_zoo.build_model(arch, 2, twin.units, 3, 2, seed=1)
    assert rnn_zoo.count_params(arch, 2, twin.units, 3, 2) == model.count_params()
    for gate in row.gates_with("recurrent"):  # a scale of an initial value has an effect
        structure = row.gates[gate].recurrent
        if isinstance(structure, Diagonal):
            assert np.any(cell.draw_weights(3)["recurrent"][gate]), gate


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "tensorflow", reason="files are the same on every backend")
@every_cell
def test_it_survives_its_file_and_trains(arch, rng, tmp_path):
    model = rnn_zoo.build_model(arch, 1, TWINS[arch].units, 3, 1, seed=1)
    model.compile("adam", "mse")
    inputs = rng.normal(size=(64, 6, 3)).astype("float32")
    targets = inputs.sum(axis=-1, keepdims=True)
    history = model.fit(inputs, targets, batch_size=8, epochs=4, verbose=0).history["loss"]
    assert history[-1] < history[0]
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(to_numpy(again(inputs)), to_numpy(model(inputs)))
