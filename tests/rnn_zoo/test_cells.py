"""Every cell against its NumPy twin, and what all cells promise."""

import keras
import numpy as np
import pytest
import reference_cells as reference
from cell_twins import (
    BATCH,
    CASES,
    INPUT,
    UNITS,
    by_gate,
    case_id,
    central_differences,
    in_every_way,
    one_case_each,
    random_cell,
    random_inputs,
    twin_step,
    values_of,
)
from on_backend import (
    TOLERANCE,
    execute,
    layer_gradients,
    needs_float64,
    to_numpy,
)
from twins import TWINS

import rnn_zoo
from rnn_zoo.architectures import ARCHITECTURES, canonical_name
from rnn_zoo.cells.base import own_options

every_case = pytest.mark.parametrize("case", CASES, ids=case_id)
every_arch = pytest.mark.parametrize("arch", reference.GATES)


# Numbers


@pytest.mark.parametrize(("case", "dtype", "mode"), in_every_way())
def test_equals_the_twin(case, dtype, mode, rng):
    cell = random_cell(case, rng, dtype)
    inputs, states = random_inputs(case, rng, dtype)
    expected, expected_states = twin_step(case, values_of(cell), inputs[:, 0], states)

    output, new_states = execute(mode, cell, inputs[:, 0], states)

    assert isinstance(new_states, list)  # a tuple fails in Keras's loop on JAX
    assert output.dtype == dtype
    np.testing.assert_allclose(output, expected, rtol=0, atol=TOLERANCE[dtype])
    for state, expected_state in zip(new_states, expected_states, strict=True):
        np.testing.assert_allclose(state, expected_state, rtol=0, atol=TOLERANCE[dtype])


@needs_float64
@every_case
def test_gradients_are_central_differences(case, rng):
    cell = random_cell(case, rng)
    inputs, states = random_inputs(case, rng)
    values, arguments = values_of(cell), {"inputs": inputs[:, 0], "states": states}
    direction = rng.normal(size=(1 + len(states), BATCH, UNITS))

    def loss(results):
        output, new_states = results
        pairs = zip([output, *new_states], direction, strict=True)
        return sum(keras.ops.sum(result * weight) for result, weight in pairs)

    def twin_loss():
        output, new_states = twin_step(case, values, inputs[:, 0], states)
        return np.sum(np.stack([output, *new_states]) * direction)

    of_weights, of_arguments = layer_gradients("eager", cell, loss, arguments)
    named = values | {"x": inputs[:, 0]} | {f"state {i}": s for i, s in enumerate(states)}
    slopes = central_differences(twin_loss, named)

    found = by_gate(cell, of_weights) | {"x": of_arguments["inputs"]}
    found |= {f"state {i}": g for i, g in enumerate(of_arguments["states"])}
    assert set(found) == set(slopes)
    for name, slope in slopes.items():
        np.testing.assert_allclose(found[name], slope, rtol=0, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("features", [INPUT, UNITS, 1])
def test_plus_rnn_reads_in_where_sizes_differ(features):
    cell = rnn_zoo.IntersectionRNNCell(UNITS)
    cell.build((None, features))
    assert hasattr(cell, "read_in_kernel") == (features != UNITS)
    assert cell.gate_weights()["y"]["input"].shape == (UNITS, UNITS)


@pytest.mark.parametrize("features", [INPUT, UNITS, 1])
def test_minimal_rnn_always_reads_in(features):
    cell = rnn_zoo.MinimalRNNCell(UNITS)
    cell.build((None, features))
    assert tuple(cell.read_in_kernel.shape) == (features, UNITS)
    assert cell.gate_weights()["u"]["input"].shape == (UNITS, UNITS)


@pytest.mark.parametrize("arch", ["ugrnn", "gru", "+rnn", "mgu", "minimal_rnn"])
def test_a_large_gate_bias_keeps_the_old_state_and_a_low_one_replaces_it(arch, rng):
    inputs, states = random_inputs((arch, {}, INPUT), rng)
    for gate_bias, is_kept in ((40.0, True), (-40.0, False)):
        cell = random_cell((arch, {"gate_bias": gate_bias}, INPUT), rng)
        _, (new,) = cell(inputs[:, 0], states)
        kept = np.isclose(to_numpy(new), states[0], rtol=0, atol=1e-9)
        assert np.all(kept) if is_kept else not np.any(kept)


def test_gate_bias_is_a_number_for_all_gates_or_a_dict_by_gate():
    assert rnn_zoo.GRUCell(3, gate_bias=2).gate_bias == {"u": 2.0}
    assert rnn_zoo.RNNCell(3, gate_bias=2.0).gate_bias == {}
    by_gate = {"gh": 2.0, "gy": 1.0}
    for given in (2.0, (1, 2), [1, 2], np.array([1, 2]), by_gate):
        expected = by_gate if np.ndim(given) or given is by_gate else {"gy": 2.0, "gh": 2.0}
        assert rnn_zoo.IntersectionRNNCell(3, gate_bias=given).gate_bias == expected
    with pytest.raises(ValueError, match=r"number, a pair \(y, h\) or a dict.*\(1, 2, 3\)"):
        rnn_zoo.IntersectionRNNCell(3, gate_bias=(1, 2, 3))
    with pytest.raises(ValueError, match="gates of gate_bias must be u; got r"):
        rnn_zoo.GRUCell(3, gate_bias={"r": 1.0})


def test_irnn_begins_as_an_integrator(rng):
    cell = rnn_zoo.IRNNCell(UNITS)
    cell.build((None, INPUT))
    state = abs(rng.normal(size=(BATCH, UNITS))).astype("float32")
    output, _ = cell(np.zeros((BATCH, INPUT), "float32"), [state])
    np.testing.assert_array_equal(to_numpy(output), state)


# What every cell promises


@every_arch
def test_the_light_table_equals_the_class(arch):
    cell_class, row = rnn_zoo.CELLS[arch], ARCHITECTURES[arch]
    assert row.cell == cell_class.__name__
    assert getattr(rnn_zoo, row.cell) is cell_class
    assert row.gates == cell_class.gates
    assert tuple(row.gates) == reference.GATES[arch]
    assert row.vectors == cell_class.vectors
    assert row.forget_gates == cell_class.forget_gates
    assert row.state_names == cell_class.state_names
    assert len(row.state_names) == reference.STATES[arch]
    assert row.mixes_input == cell_class.mixes_input
    assert row.always_reads_in == cell_class.always_reads_in
    assert row.options == own_options(cell_class)
    assert row.lane_options == cell_class.lane_options
    assert row.min_depth == (2 if arch == "+rnn" else 1)
    cell = cell_class(3)
    assert (row.activation, row.matrix_init) == (cell.activation.__name__, cell.matrix_init)


def test_names():
    assert list(rnn_zoo.CELLS) == list(ARCHITECTURES)
    assert set(ARCHITECTURES) == {*reference.GATES, *TWINS}
    assert canonical_name("plus_rnn") == "+rnn"
    with pytest.raises(
        ValueError,
        match=r"'gnu'.*rnn, irnn, ugrnn, gru, lstm, \+rnn, mgu, minimal_rnn, .*; to add one see",
    ):
        canonical_name("gnu")
    with pytest.raises(AttributeError, match="gnu"):
        _ = rnn_zoo.gnu
    assert set(rnn_zoo.__all__) <= set(dir(rnn_zoo))
    assert all(getattr(rnn_zoo, name) is not None for name in rnn_zoo.__all__)


@one_case_each
def test_sizes_and_initial_state(case, rng):
    cell = random_cell(case, rng, dtype="float32")
    values = values_of(cell)
    names = ARCHITECTURES[case[0]].state_names
    assert isinstance(cell, rnn_zoo.AbstractRNNCell)
    assert cell.output_size == UNITS
    assert cell.state_size == (UNITS if len(names) == 1 else [UNITS] * len(names))
    for name, learned, batch in zip(
        names,
        cell.initial_state,
        keras.tree.flatten(cell.get_initial_state(batch_size=BATCH)),
        strict=True,
    ):
        np.testing.assert_allclose(learned, values[f"initial_{name}"])
        np.testing.assert_allclose(to_numpy(batch), np.tile(learned, (BATCH, 1)))


@one_case_each
def test_initial_states_start_at_zero_and_can_be_fixed(case):
    arch, _, features = case
    for learned in (True, False):
        cell = rnn_zoo.CELLS[arch](UNITS, learned_initial_state=learned)
        cell.build((None, features))
        assert not np.any(cell.initial_state)
        held = [weight.name for weight in cell.weights if weight.name.startswith("initial_")]
        assert len(held) == (reference.STATES[arch] if learned else 0)
        states = cell.get_initial_state(batch_size=BATCH)
        assert [tuple(s.shape) for s in keras.tree.flatten(states)] == [(BATCH, UNITS)] * len(
            cell.state_names
        )


@one_case_each
def test_config_makes_an_equal_cell(case, rng):
    options = dict(
        seed=5,
        learned_initial_state=False,
        bias_init="normal",
        matrix_init="normal",
        bias_scale=0.3,
        input_scale={gate: 0.5 + i for i, gate in enumerate(rnn_zoo.CELLS[case[0]].gates)},
    )
    arch, case_options, _ = case
    cell = rnn_zoo.CELLS[arch](UNITS, **case_options, **options)
    twin = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(cell))
    assert type(twin) is type(cell)
    assert twin.get_config() == cell.get_config()
    inputs, states = random_inputs(case, rng, "float32")
    for original, copied in zip(
        keras.tree.flatten(to_numpy(cell(inputs[:, 0], states))),
        keras.tree.flatten(to_numpy(twin(inputs[:, 0], states))),
        strict=True,
    ):
        np.testing.assert_array_equal(original, copied)


def test_unknown_names_are_refused_with_the_choices():
    with pytest.raises(ValueError, match=r"matrix_init 'eye'.*identity, orthogonal, normal"):
        rnn_zoo.GRUCell(3, matrix_init="eye")
    with pytest.raises(ValueError, match=r"bias_init 'zeros'.*constant, normal"):
        rnn_zoo.GRUCell(3, bias_init="zeros")
    with pytest.raises(ValueError, match=r"input_scale must be r, u, c; got r, z"):
        rnn_zoo.GRUCell(3, input_scale={"r": 1.0, "z": 1.0})
    for units in (0, 2.0, True):
        with pytest.raises(ValueError, match=f"units must be a whole number .* 1, got {units}"):
            rnn_zoo.GRUCell(units)
    with pytest.raises(ValueError, match=r"unknown matrix_init \['normal'\]; choose one of"):
        rnn_zoo.GRUCell(3, matrix_init=["normal"])
    with pytest.raises(ValueError, match="sofplus"):
        rnn_zoo.GRUCell(3, activation="sofplus")
    with pytest.raises((TypeError, ValueError), match="gate_bais"):
        rnn_zoo.GRUCell(3, gate_bais=2.0)


def test_scales_are_finite_numbers_also_beyond_numpy_s_integers():
    assert rnn_zoo.GRUCell(3, bias_scale=10**30).bias_scale["u"] == 1e30
    for number in ("1", 1j, float("nan"), 10**400):
        with pytest.raises(ValueError, match="bias_scale must be a finite number, got "):
            rnn_zoo.GRUCell(3, bias_scale=number)


# Weights by gate


@one_case_each
def test_gate_weights_and_their_inverse(case, rng):
    cell, other = random_cell(case, rng), random_cell(case, rng)
    values, weights = values_of(cell), cell.gate_weights()
    width = cell.gate_weights()[next(iter(cell.gates))]["input"].shape[0]
    for gate in cell.gates:
        assert weights[gate]["input"].shape == (width, UNITS)
        for part in ("input", "recurrent", "bias"):
            np.testing.assert_allclose(weights[gate][part], values[f"{gate}_{part}"], rtol=1e-6)

    other.set_gate_weights(weights)
    for gate in cell.gates:
        for part, array in other.gate_weights()[gate].items():
            np.testing.assert_array_equal(array, weights[gate][part])


def _without(weights, gate, part=None):
    if part is None:
        return {name: parts for name, parts in weights.items() if name != gate}
    kept = {name: array for name, array in weights[gate].items() if name != part}
    return weights | {gate: kept}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda w: _without(w, "g"), r"gates must be c, g; got c$"),
        (lambda w: w | {"r": w["g"]}, r"gates must be c, g; got c, g, r"),
        (lambda w: _without(w, "g", "bias"), r"parts of gate 'g' must be input, recurrent, bias"),
        (lambda w: w | {"g": w["g"] | {"bais": 0}}, r"parts of gate 'g'.*bais"),
        (lambda w: w | {"g": w["g"] | {"bias": np.zeros(4)}}, r"g/bias must be \(3,\), got \(4,\)"),
        (lambda w: w | {"g": w["g"] | {"input": np.zeros((3, 4))}}, r"g/input must be \(4, 3\)"),
        (lambda w: w | {"g": w["g"] | {"recurrent": 0.0}}, r"g/recurrent must be \(3, 3\)"),
    ],
)
def test_refused_gate_weights_change_nothing(spoil, message, rng):
    cell = random_cell(("ugrnn", {}, INPUT), rng)
    before = values_of(cell)
    # The first gate's values are good and new: they must not be set either.
    weights = {
        gate: {part: array + 1 for part, array in parts.items()}
        for gate, parts in cell.gate_weights().items()
    }
    with pytest.raises(ValueError, match=message):
        cell.set_gate_weights(spoil(weights))
    for name, value in values_of(cell).items():
        np.testing.assert_array_equal(value, before[name])


@one_case_each
def test_assign_weights_inverts_weight_tensors(case, rng):
    cell, other = random_cell(case, rng), random_cell(case, rng)
    other.assign_weights(cell.weight_tensors())
    for name, value in values_of(other).items():
        np.testing.assert_array_equal(value, values_of(cell)[name])


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_a_nonlinearity_that_mixes_units_is_refused(name):
    with pytest.raises(ValueError, match=f"activation {name} mixes units.*tanh or relu"):
        rnn_zoo.GRUCell(3, activation=name)
    with pytest.raises(ValueError, match=f"activation {name} mixes units"):
        rnn_zoo.IntersectionRNNCell(3, depth_activation=name)
