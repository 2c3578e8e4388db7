"""The derived backward pass against a plain loop with automatic gradients.

Legend: P lanes, T time, B batch, N units.
"""

import itertools

import keras
import numpy as np
import pytest
from cell_twins import (
    BATCH,
    CASES,
    ONE_CASE_EACH,
    QUICK_CASES,
    TIME,
    UNITS,
    case_id,
    mostly_slow,
    one_case_of,
    random_cell,
    random_inputs,
    random_mask,
)
from keras import ops
from on_backend import (
    BACKEND,
    COMPILED,
    QUICKEST,
    execute,
    gradients,
    needs_float64,
    tensorflow_only,
    to_numpy,
)
from slow import slow_except, slow_rows_except

import rnn_zoo
import rnn_zoo.unroll as engine
from rnn_zoo import backend
from rnn_zoo.backend import generic
from rnn_zoo.cells.lanes import lane_cell

LANES = 2
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}

every_case = pytest.mark.parametrize("case", slow_except(ONE_CASE_EACH, CASES), ids=case_id)
#: One state, two states, and an output that is not a state. The GRU has an operand that is not its
#: state, the MinimalRNN a nonlinear read-in.
four_cases = pytest.mark.parametrize(
    "case",
    slow_except(QUICK_CASES, one_case_of("gru", "lstm", "+rnn", "minimal_rnn")),
    ids=case_id,
)


#: With gradients added up in the loop or after it, and with input products in the loop or before.
every_way = pytest.mark.parametrize(
    "derived",
    slow_except(["", "summed, hoisted"], ["", "summed", "hoisted", "summed, hoisted"]),
    indirect=True,
)


@pytest.fixture(autouse=True)
def derived(request, monkeypatch):
    """Use the derived backward pass wherever operations run, and one of its ways."""
    monkeypatch.setattr(backend.current(), "is_compiled", lambda: True)
    way = getattr(request, "param", "")
    if "hoisted" in way:
        monkeypatch.setattr(backend.current(), "prefers_hoisting", lambda: True)
    if "summed" in way:
        monkeypatch.setattr("rnn_zoo.unroll.derived._CACHED", 0)


@pytest.fixture
def plainly(monkeypatch):
    """Call a function with the plain loop in place of the derived one."""

    def call(function, *arguments):
        with monkeypatch.context() as patch:
            patch.setattr(backend, "current", lambda: generic)
            return function(*arguments)

    return call


def assert_same(found, expected, tolerance):
    keras.tree.assert_same_structure(found, expected)
    for one, other in zip(keras.tree.flatten(found), keras.tree.flatten(expected), strict=True):
        scale = max(1.0, np.max(abs(other)))
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * scale)


def problem(cell, case, rng, dtype="float64", lanes=()):
    """Return all differentiable arguments of `unroll` as one nested structure of arrays."""

    def draw(weight):
        return rng.normal(scale=0.6, size=(*lanes, *weight.shape)).astype(dtype)

    inputs, states = random_inputs(case, rng, dtype, lanes)
    weights = keras.tree.map_structure(draw, to_numpy(cell.weight_tensors()))
    return {"weights": weights, "inputs": inputs, "states": states}


def values(cell, mask=None, given_states=True):
    """arguments -> (outputs (T, ..., B, N), last states)."""

    def run(arguments):
        states = arguments["states"] if given_states else None
        return engine.unroll(cell, arguments["weights"], arguments["inputs"], states, mask)

    return run


def loss(run, dtype, lanes=()):
    """Return a random linear function of all outputs and last states."""
    rng = np.random.default_rng(7)
    of_outputs = rng.normal(size=(TIME, *lanes, BATCH, UNITS)).astype(dtype)
    of_states = rng.normal(size=(2, *lanes, BATCH, UNITS)).astype(dtype)

    def total(arguments):
        outputs, states = run(arguments)
        pairs = zip([outputs, *states], [of_outputs, *of_states], strict=False)
        return sum(ops.sum(result * weight) for result, weight in pairs)

    return total


def check_against_plain(cell, arguments, plainly, dtype, mask, lanes=(), mode=QUICKEST, **how):
    run = values(cell, mask, **how)
    expected = plainly(execute, QUICKEST, run, arguments)
    slopes = plainly(gradients, QUICKEST, loss(run, dtype, lanes), arguments)
    assert_same(execute(mode, run, arguments), expected, TOLERANCE[dtype])
    assert_same(gradients(mode, loss(run, dtype, lanes), arguments), slopes, TOLERANCE[dtype])


@needs_float64
@every_case
@every_way
@pytest.mark.parametrize("masked", slow_except([False], [False, True]))
def test_fast_equals_plain(case, masked, plainly, rng):
    cell = random_cell(case, rng)
    mask = random_mask(rng) if masked else None
    check_against_plain(cell, problem(cell, case, rng), plainly, "float64", mask)


@mostly_slow
def test_fast_equals_plain_in_float32(case, plainly, rng):
    cell = random_cell(case, rng, "float32")
    arguments = problem(cell, case, rng, "float32")
    check_against_plain(cell, arguments, plainly, "float32", random_mask(rng))


@pytest.mark.slow  # the lanes of the next section are compiled, too
@pytest.mark.parametrize("case", one_case_of("gru", "lstm", "+rnn"), ids=case_id)
def test_fast_equals_plain_compiled(case, plainly, rng):
    cell = random_cell(case, rng, "float32")
    arguments = problem(cell, case, rng, "float32")
    check_against_plain(cell, arguments, plainly, "float32", None, mode=COMPILED)


@needs_float64
@four_cases
@pytest.mark.parametrize("masked", slow_except([True], [False, True]))
def test_the_last_output_alone_is_that_of_the_sequence(case, masked, rng):
    cell = random_cell(case, rng)
    arguments, mask = problem(cell, case, rng), random_mask(rng) if masked else None

    def run(arguments, sequence):
        outputs, states = engine.unroll(
            cell,
            arguments["weights"],
            arguments["inputs"],
            arguments["states"],
            mask,
            sequence=sequence,
        )
        return (outputs[-1] if sequence else outputs), states

    def of_last(sequence):
        def total(arguments):
            last, (state, *_) = run(arguments, sequence)
            return ops.sum(last**2) + ops.sum(ops.cos(state))

        return total

    results = [execute(QUICKEST, lambda a, s=s: run(a, s), arguments) for s in (True, False)]
    assert_same(results[1], results[0], TOLERANCE["float64"])
    slopes = [gradients(QUICKEST, of_last(sequence), arguments) for sequence in (True, False)]
    assert_same(slopes[1], slopes[0], TOLERANCE["float64"])


@needs_float64
@four_cases
@pytest.mark.parametrize("masked", slow_except([True], [False, True]))
def test_states_of_all_steps(case, masked, rng):
    """They are those of runs that end at each step, and have the sum of their gradients."""
    cell = random_cell(case, rng)
    arguments, mask = problem(cell, case, rng), random_mask(rng) if masked else None
    directions = rng.normal(size=(2, TIME, BATCH, UNITS))

    def run(arguments, length, **how):
        inputs, states = arguments["inputs"][:, :length], arguments["states"]
        shown = None if mask is None else mask[:, :length]
        return engine.unroll(cell, arguments["weights"], inputs, states, shown, **how)

    def together(arguments):
        _, states = run(arguments, TIME, state_sequences=True)
        return sum(ops.sum(s * d) for s, d in zip(states, directions, strict=False))

    def apart(arguments):
        return sum(
            ops.sum(state * direction[length - 1])
            for length in range(1, TIME + 1)
            for state, direction in zip(run(arguments, length)[1], directions, strict=False)
        )

    outputs, states = execute(QUICKEST, lambda a: run(a, TIME, state_sequences=True), arguments)
    final = execute(QUICKEST, lambda a: run(a, TIME), arguments)
    assert_same([outputs, *(state[-1] for state in states)], [final[0], *final[1]], 1e-10)
    slopes = [gradients(QUICKEST, function, arguments) for function in (together, apart)]
    assert_same(slopes[0], slopes[1], TOLERANCE["float64"])


@needs_float64
@pytest.mark.parametrize("lanes", slow_except([()], [(), (LANES,)]))
@pytest.mark.parametrize("arch", slow_except(["gru"], ["gru", "lstm", "rnn"]))
def test_fast_equals_plain_for_inputs_wider_than_their_product(arch, lanes, plainly, rng):
    case = (arch, {"activation": "tanh"}, 4 * UNITS + 1)
    cell = random_cell(case, rng)
    arguments = problem(cell, case, rng, lanes=lanes)
    check_against_plain(cell, arguments, plainly, "float64", random_mask(rng), lanes)


@pytest.mark.parametrize(
    ("features", "is_compiled", "is_in_loop"),
    [(3 * UNITS + 1, True, False), (3 * UNITS, True, True), (3 * UNITS + 1, False, True)],
)
def test_loops_leave_out_wide_inputs(features, is_compiled, is_in_loop, rng, monkeypatch):
    monkeypatch.setattr(backend.current(), "is_compiled", lambda: is_compiled)
    monkeypatch.setattr(backend.current(), "prefers_hoisting", lambda: False)
    seen, forward = [], engine.Loops.forward

    def recorded(loops, products, projections, x, *arguments, **how):
        seen.append(x is not None)
        return forward(loops, products, projections, x, *arguments, **how)

    monkeypatch.setattr(engine.Loops, "forward", recorded)
    case = ("gru", {"activation": "tanh"}, features)
    cell = random_cell(case, rng, "float32")
    execute(QUICKEST, values(cell), problem(cell, case, rng, "float32"))
    assert set(seen) == {is_in_loop}


@tensorflow_only
@four_cases
def test_operations_one_by_one_equal_plain(case, plainly, rng, monkeypatch):
    monkeypatch.setattr(backend.current(), "is_compiled", lambda: False)
    cell = random_cell(case, rng, "float64")
    arguments, mask = problem(cell, case, rng), random_mask(rng)
    check_against_plain(cell, arguments, plainly, "float64", mask, mode="graph")


@tensorflow_only
def test_only_compiled_programs_derive_their_gradient(monkeypatch):
    import tensorflow as tf

    monkeypatch.undo()
    found = []
    for jit_compile in (False, True):
        run = tf.function(
            lambda: found.append(backend.current().is_compiled()), jit_compile=jit_compile
        )
        run.get_concrete_function()
    assert found == [False, True] and not backend.current().is_compiled()


@mostly_slow
def test_fast_equals_plain_from_learned_states(case, plainly, rng):
    cell = random_cell(case, rng, "float32")
    arguments = problem(cell, case, rng, "float32")
    check_against_plain(cell, arguments, plainly, "float32", None, given_states=False)
    slopes = gradients(QUICKEST, loss(values(cell, given_states=False), "float32"), arguments)
    for slope in slopes["weights"]["initial_state"]:
        assert np.all(slope != 0)


# Lanes


@needs_float64
@four_cases
@pytest.mark.parametrize(
    ("masked", "given_states"), slow_rows_except([(True, False)], [(False, True), (True, False)])
)
def test_each_lane_equals_itself_alone(case, masked, given_states, rng):
    cell = random_cell(case, rng)
    mask = random_mask(rng) if masked else None
    together = problem(cell, case, rng, lanes=(LANES,))
    run = values(cell, mask, given_states)
    mode = QUICKEST if masked else COMPILED
    outputs, states = execute(mode, run, together)
    slopes = gradients(mode, loss(run, "float64", (LANES,)), together)

    directions = np.random.default_rng(7)
    of_outputs = directions.normal(size=(TIME, LANES, BATCH, UNITS))
    of_states = directions.normal(size=(2, LANES, BATCH, UNITS))
    for lane in range(LANES):

        def lane_loss(arguments, lane=lane):
            outputs, states = run(arguments)
            pairs = zip(
                [outputs, *states], [of_outputs[:, lane], *of_states[:, lane]], strict=False
            )
            return sum(ops.sum(result * weight) for result, weight in pairs)

        alone = keras.tree.map_structure(lambda array, lane=lane: array[lane], together)
        expected = [outputs[:, lane], [state[lane] for state in states]]
        assert_same(list(execute(QUICKEST, run, alone)), expected, 1e-12)
        lane_slopes = keras.tree.map_structure(lambda array, lane=lane: array[lane], slopes)
        assert_same(gradients(QUICKEST, lane_loss, alone), lane_slopes, 1e-12)


@needs_float64
@mostly_slow
def test_each_lane_has_its_own_nonlinearity_and_gate_bias(case, rng):
    arch, _, features = case
    names, gate_biases = ("tanh", "relu"), np.array([0.7, -0.4])
    alone = [
        random_cell((arch, {"activation": name, "gate_bias": bias}, features), rng)
        for name, bias in zip(names, gate_biases, strict=True)
    ]
    of_lanes = dict.fromkeys(alone[0].forget_gates, ops.convert_to_tensor(gate_biases))
    cell = lane_cell(alone[0], names, np.arange(LANES), of_lanes)
    together = problem(alone[0], case, rng, lanes=(LANES,))
    outputs, states = execute(QUICKEST, values(cell), together)
    for lane in range(LANES):
        each = keras.tree.map_structure(lambda array, lane=lane: array[lane], together)
        expected = execute(QUICKEST, values(alone[lane]), each)
        assert_same([outputs[:, lane], [s[lane] for s in states]], list(expected), 1e-12)


@mostly_slow
@pytest.mark.parametrize("lanes", [(), (LANES,)])
def test_time_major(case, lanes, rng):
    cell = random_cell(case, rng, "float32")
    arguments = problem(cell, case, rng, "float32", lanes)
    mask = random_mask(rng)
    weights, inputs, states = (arguments[key] for key in ("weights", "inputs", "states"))
    batch_major = to_numpy(engine.unroll(cell, weights, inputs, states, mask))
    time_first = np.moveaxis(inputs, -2, 0)
    time_major = engine.unroll(cell, weights, time_first, states, mask.T, time_major=True)
    assert_same(to_numpy(time_major), batch_major, 1e-6)


# Custom cells with unusual uses of operands, states and outputs


class LagCell(rnn_zoo.AbstractRNNCell):
    """Outputs its previous state; gates act on its second state and on a mixture of both."""

    gates = ("a", "b", "c")
    forget_gates = ("b",)
    state_names = ("h", "c")

    def step(self, ops, x, pre, states):
        h, c = states
        a = ops.tanh(pre("a", c))
        b = ops.sigmoid(pre("b", h) + self.gate_bias["b"])
        new = self.activation(pre("c", a * h + b * c))
        return h, [b * h + (1 - b) * new, c * a]


class TiedCell(rnn_zoo.AbstractRNNCell):
    """One constant state, one state that is multiplied by it, and x in the equations."""

    gates = ("a",)
    state_names = ("h", "k")
    mixes_input = True

    def step(self, ops, x, pre, states):
        h, k = states
        new = self.activation(pre("a", h))
        return new * x, [new * k + h, k]


class OutputOfOneGateCell(rnn_zoo.AbstractRNNCell):
    """One gate that affects only the output, and a state that is a bare pre-activation."""

    gates = ("o", "h")

    def step(self, ops, x, pre, states):
        (h,) = states
        return ops.tanh(pre("o", h)), [pre("h", h)]


@pytest.mark.parametrize("cell_class", [LagCell, TiedCell, OutputOfOneGateCell])
@pytest.mark.parametrize(
    ("masked", "lanes"),
    slow_rows_except([(True, (LANES,))], itertools.product([False, True], [(), (LANES,)])),
)
def test_custom_cell(cell_class, masked, lanes, plainly, rng):
    cell = cell_class(UNITS, dtype="float32")
    cell.build((None, UNITS))
    case = ("lstm" if len(cell.state_names) == 2 else "rnn", {}, UNITS)
    mask = random_mask(rng) if masked else None
    arguments = problem(cell, case, rng, "float32", lanes)
    check_against_plain(cell, arguments, plainly, "float32", mask, lanes)


def test_a_cell_without_step_is_refused():
    class Empty(rnn_zoo.AbstractRNNCell):
        gates = ("a",)

    cell = Empty(UNITS)
    cell.build((None, UNITS))
    with pytest.raises(NotImplementedError, match="Empty must define step"):
        cell(np.zeros((BATCH, UNITS), "float32"), cell.get_initial_state(batch_size=BATCH))


def test_a_gate_requested_twice_or_never_is_refused():
    class Twice(rnn_zoo.AbstractRNNCell):
        gates = ("a", "b")

        def step(self, ops, x, pre, states):
            h = pre("a", states[0]) + pre("a", 2 * states[0])
            return h, [h]

    cell = Twice(3)
    cell.build((None, 2))
    with pytest.raises(ValueError, match="once for each gate, a, b; it asked for a, a"):
        engine.unroll(cell, cell.weight_tensors(), np.zeros((1, 2, 2), "float32"))


def test_a_step_that_mixes_units_is_refused():
    class Leaky(rnn_zoo.AbstractRNNCell):
        gates = ("a",)

        def step(self, ops, x, pre, states):
            h = np.linspace(0, 1, 3, dtype="float32") * states[0] + pre("a", states[0])
            return h, [h]

    cell = Leaky(3)
    cell.build((None, 2))
    with pytest.raises(ValueError, match=r"treat all units and samples alike.* \(3, 3\)"):
        engine.unroll(cell, cell.weight_tensors(), np.zeros((1, 2, 2), "float32"))


@pytest.mark.skipif(BACKEND != "jax", reason="JAX's own functions")
@mostly_slow
def test_second_derivatives(case, plainly, rng):
    import jax

    cell = random_cell(case, rng, "float32")
    arguments = problem(cell, case, rng, "float32")

    def slope(arguments):
        slopes = jax.grad(loss(values(cell), "float32"))(arguments)
        return sum(ops.sum(ops.square(part)) for part in jax.tree.leaves(slopes))

    expected = plainly(gradients, QUICKEST, slope, arguments)
    assert_same(gradients(QUICKEST, slope, arguments), expected, 1e-4)


@tensorflow_only
@mostly_slow
def test_second_derivatives_on_tensorflow_equal_plain(case, rng, plainly):
    """Those of arrays, too; test_derivatives.py has those of layers."""
    import tensorflow as tf

    cell = random_cell(case, rng, "float32")
    arguments = problem(cell, case, rng, "float32")

    def penalty(x):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                total = loss(values(cell), "float32")(arguments | {"inputs": x}) ** 2
            size = tf.reduce_sum(inner.gradient(total, x) ** 2)
        return outer.gradient(size, x)

    x = tf.constant(arguments["inputs"])
    assert_same(to_numpy(penalty(x)), to_numpy(plainly(penalty, x)), 1e-4)
