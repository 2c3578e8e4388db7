"""Declarations of weights: what each structure stores, and cells that use all of them."""

import keras
import numpy as np
import pytest
from cell_twins import BATCH, TIME, by_gate, random_mask, randomize
from keras import ops
from on_backend import QUICKEST, gradients, needs_float64, to_numpy

import rnn_zoo
from rnn_zoo import algebra, unroll
from rnn_zoo.algebra import Antisymmetric, BlockDiagonal, Diagonal, Gate, LowRank, Scalar, Vector
from rnn_zoo.backend import generic
from rnn_zoo.initializers import Orthogonal, ScaledNormal
from rnn_zoo.layers import make_layer
from rnn_zoo.model import get_weights

UNITS, FEATURES = 4, 3


def halves(generator, units):
    return 0.5 * generator.standard_normal(units)


class EverythingCell(rnn_zoo.AbstractRNNCell):
    """One gate of each kind, a vector and a scalar."""

    gates = {
        "f": Gate(),
        "z": Gate(recurrent=None, bias=False),
        "q": Gate(input=False),
        "d": Gate(recurrent=Diagonal(halves)),
        "e": Gate(input=False, recurrent=Diagonal(0.3), bias=False),
        "b": Gate(recurrent=BlockDiagonal(2)),
        "l": Gate(recurrent=LowRank(2), bias=False),
        "a": Gate(input=False, recurrent=Antisymmetric()),
    }
    forget_gates = ("f",)
    state_names = ("h", "c")
    vectors = {"beta": Vector(0.3), "alpha": Scalar(0.7)}

    def step(self, ops, x, pre, states):
        h, c = states
        f = ops.sigmoid(pre("f", h) + self.gate_bias["f"])
        candidate = ops.tanh(pre("z") * pre("q", h) + pre("d", c) + pre("e", f * h))
        c = f * c + self.beta * candidate
        h = self.activation(pre("b", h) + pre("l", c) + self.alpha * pre("a", h))
        return h * c, [h, c]


Everything = make_layer(EverythingCell, "Everything", "test_algebra")


def matrices(weights):
    """Each U as written in the docstrings, with loops."""
    found = {gate: array for gate, array in weights["recurrent"].items() if gate in "fq"}
    found["b"] = np.zeros((UNITS, UNITS))
    for k, block in enumerate(weights["recurrent"]["b"]):
        found["b"][2 * k : 2 * k + 2, 2 * k : 2 * k + 2] = block
    left, right = weights["recurrent"]["l"]
    found["l"] = left @ right.T
    found["a"], entries = np.zeros((UNITS, UNITS)), iter(weights["recurrent"]["a"][:, 0])
    for i in range(UNITS):
        for j in range(i + 1, UNITS):
            found["a"][i, j] = next(entries)
            found["a"][j, i] = -found["a"][i, j]
    return found


def twin(weights, inputs, states):
    """The equations in NumPy."""

    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    outputs, (h, c), u = [], states, matrices(weights)
    w, b, diagonal = weights["input"], weights["bias"], weights["recurrent"]
    beta, alpha = weights["vectors"]["beta"], weights["vectors"]["alpha"]
    for x in np.moveaxis(inputs, 1, 0):
        f = sigmoid(x @ w["f"] + h @ u["f"] + b["f"] + 1.0)
        candidate = (x @ w["z"]) * (h @ u["q"] + b["q"])
        candidate += x @ w["d"] + diagonal["d"] * c + b["d"] + diagonal["e"] * (f * h)
        c = f * c + beta * np.tanh(candidate)
        total = x @ w["b"] + h @ u["b"] + b["b"] + x @ w["l"] + c @ u["l"]
        h = np.tanh(total + alpha * (h @ u["a"] + b["a"]))
        outputs.append(h * c)
    return np.stack(outputs, 1), [h, c]


@pytest.fixture
def layer(rng):
    made = Everything(UNITS, return_sequences=True, return_state=True, dtype="float64")
    made.build((None, None, FEATURES))
    randomize(made.weights, rng)
    return made


@pytest.fixture
def inputs(rng):
    return rng.normal(size=(BATCH, TIME, FEATURES))


@pytest.fixture
def states(rng):
    return [rng.normal(size=(BATCH, UNITS)) for _ in range(2)]


def weights_of(layer):
    return to_numpy(layer.cell.weight_tensors("float64"))


@needs_float64
def test_layer_cell_and_stepper_equal_the_twin(layer, inputs, states):
    expected, last = twin(weights_of(layer), inputs, states)
    outputs, *found = to_numpy(layer(inputs, initial_state=states))
    np.testing.assert_allclose(outputs, expected, rtol=1e-6, atol=1e-9)
    for one, other in zip(found, last, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-9)
    stock = keras.layers.RNN(layer.cell, return_sequences=True, dtype="float64")
    np.testing.assert_allclose(
        to_numpy(stock(inputs, initial_state=states)), expected, rtol=1e-6, atol=1e-9
    )
    readout = {"kernel": np.eye(UNITS), "bias": np.zeros(UNITS)}
    stepper = rnn_zoo.Stepper(
        [layer.cell], {"layers": [weights_of(layer)], "readout": readout}, batch_size=BATCH
    )
    stepper.states = [states]
    for t in range(TIME):
        np.testing.assert_allclose(stepper(inputs[:, t]), expected[:, t], rtol=1e-6, atol=1e-9)


WAYS = ["", "summed", "hoisted"]


@needs_float64
@pytest.mark.parametrize("lanes", [(), (2,)])
@pytest.mark.parametrize("way", WAYS)
def test_the_derived_gradient_equals_the_automatic_one(layer, way, lanes, rng, monkeypatch):
    def drawn(array):
        return rng.normal(scale=0.5, size=(*lanes, *array.shape))

    arguments = {
        "weights": keras.tree.map_structure(drawn, weights_of(layer)),
        "inputs": rng.normal(size=(*lanes, BATCH, TIME, FEATURES)),
        "states": [rng.normal(size=(*lanes, BATCH, UNITS)) for _ in range(2)],
    }
    mask = random_mask(rng)
    directions = rng.normal(size=(3, TIME, *lanes, BATCH, UNITS))

    def loss(given):
        outputs, last = unroll.unroll(
            layer.cell, given["weights"], given["inputs"], given["states"], mask
        )
        pairs = zip([outputs, *last], [directions[0], *directions[1:, 0]], strict=True)
        return sum(ops.sum(result * direction) for result, direction in pairs)

    with monkeypatch.context() as patch:
        patch.setattr(rnn_zoo.backend, "current", lambda: generic)
        expected = gradients(QUICKEST, loss, arguments)
    backend = rnn_zoo.backend.current()
    monkeypatch.setattr(backend, "is_compiled", lambda: True)
    if way == "hoisted":
        monkeypatch.setattr(backend, "prefers_hoisting", lambda: True)
    if way == "summed":
        monkeypatch.setattr("rnn_zoo.unroll.derived._CACHED", 0)
    found = gradients(QUICKEST, loss, arguments)
    keras.tree.assert_same_structure(found, expected)
    for path, slope in keras.tree.flatten_with_path(expected):
        one = found
        for key in path:
            one = one[key]
        np.testing.assert_allclose(one, slope, rtol=1e-8, atol=1e-8, err_msg=str(path))
        assert path[-2:] in [("initial_state", 0), ("initial_state", 1)] or np.any(slope), path


def test_counts_are_of_the_stored_weights(layer):
    of_gates = {
        "f": 3 * 4 + 16 + 4,
        "z": 3 * 4,
        "q": 16 + 4,
        "d": 3 * 4 + 4 + 4,
        "e": 4,
        "b": 3 * 4 + 2 * 2 * 2 + 4,
        "l": 3 * 4 + 2 * 4 * 2,
        "a": 4 * 3 // 2 + 4,
    }
    assert layer.count_params() == sum(of_gates.values()) + 4 + 1 + 2 * 4
    readout = UNITS * 5 + 5
    assert rnn_zoo.count_params(EverythingCell, 1, UNITS, FEATURES, 5) == (
        layer.count_params() + readout
    )


def test_a_budget_gets_a_number_of_units_that_blocks_divide():
    for budget in (400, 500, 1000, 3000):
        units = rnn_zoo.units_for_budget(EverythingCell, 1, budget, FEATURES, 5)
        assert units % 2 == 0
        few, many = (
            rnn_zoo.count_params(EverythingCell, 1, n, FEATURES, 5) for n in (units, units + 2)
        )
        assert few <= budget < many
    with pytest.raises(ValueError, match="units of EverythingCell must be a multiple of 2"):
        EverythingCell(3)


@pytest.mark.parametrize(
    "structure", [algebra.Dense(), BlockDiagonal(4), LowRank(2), Antisymmetric()]
)
def test_initial_values_of_structures(structure):
    generator, units = np.random.default_rng(1), 64
    stored = structure.draw(ScaledNormal(0.5), generator, units)
    assert stored.shape == structure.shape(units)
    matrix = np.asarray(structure.dense(np, stored))
    if isinstance(structure, Antisymmetric):
        np.testing.assert_array_equal(matrix, -matrix.T)
        assert abs(stored.std() * units**0.5 / 0.5 - 1) < 0.05
    elif isinstance(structure, BlockDiagonal):
        assert abs(stored.std() * (units / 4) ** 0.5 / 0.5 - 1) < 0.1
        assert np.count_nonzero(matrix) == stored.size
    elif isinstance(structure, LowRank):
        assert np.linalg.matrix_rank(matrix) == units // 2
        of_orthogonal = structure.draw(Orthogonal(0.5), generator, units)
        singular = np.linalg.svd(structure.dense(np, of_orthogonal))[1]
        assert singular.max() <= 0.5 + 1e-9


def test_vectors_and_diagonals_start_as_declared():
    cell = EverythingCell(UNITS, seed=3, recurrent_scale=2.0)
    cell.build((None, FEATURES))
    np.testing.assert_array_equal(to_numpy(cell.beta), np.full(UNITS, np.float32(0.3)))
    np.testing.assert_array_equal(to_numpy(cell.alpha), np.float32([0.7]))
    np.testing.assert_allclose(to_numpy(cell.e_recurrent), 0.6, rtol=1e-6)
    drawn = cell.draw_weights(FEATURES)
    keras.tree.map_structure(np.testing.assert_array_equal, drawn, to_numpy(cell.weight_tensors()))
    assert np.unique(drawn["recurrent"]["d"]).size == UNITS


def test_weights_survive_a_file_and_their_own_structure(layer, inputs, tmp_path, rng):
    model = keras.Sequential([keras.Input((None, FEATURES)), Everything(UNITS)])
    randomize(model.weights, rng)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(to_numpy(model(inputs)), to_numpy(again(inputs)))
    other = EverythingCell(UNITS, dtype="float64")
    other.build((None, FEATURES))
    other.assign_weights(weights_of(layer))
    held = {weight.name: to_numpy(weight) for weight in layer.cell.weights}
    for weight in other.weights:
        np.testing.assert_array_equal(to_numpy(weight), held[weight.name])
    assert len(by_gate(layer.cell, held)) == 17 + 2 + 2


class AskingCell(rnn_zoo.AbstractRNNCell):
    gates = {"z": Gate(recurrent=None), "q": Gate(input=False)}

    def step(self, ops, x, pre, states):
        z, q = (pre(*(each for each in pair if each is not None)) for pair in self.asked(states))
        return z + q, [z + q]


def test_an_antisymmetric_matrix_of_one_unit_is_zero(rng):
    model = rnn_zoo.build_model("antisymmetric_rnn", 1, 1, FEATURES, 1, bias_scale=0.5)
    model.compile("sgd", "mse")
    x = rng.standard_normal((2, 5, FEATURES)).astype("float32")
    model.fit(x, x[..., :1], verbose=0)
    weights = get_weights(model)
    (layer,), readout = weights["layers"], weights["readout"]
    h = np.repeat(layer["initial_state"][0][None], 2, axis=0)
    for step in range(5):
        pre = x[:, step] @ layer["input"]["h"] + layer["bias"]["h"]
        h = h + 0.1 * np.tanh(pre - 0.01 * h)
        answer = h @ readout["kernel"] + readout["bias"]
        np.testing.assert_allclose(to_numpy(model(x))[:, step], answer, atol=1e-5)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (lambda h: [("z", h), ("q", h)], "gate 'z' has no recurrent product and takes no operand"),
        (
            lambda h: [("z", None), ("q", None)],
            "gate 'q' has a recurrent product and needs an oper",
        ),
    ],
)
def test_operands_must_fit_the_declaration(asked, message):
    cell = AskingCell(UNITS)
    cell.asked = lambda states: asked(states[0])
    cell.build((None, FEATURES))
    with pytest.raises(ValueError, match=message):
        unroll.unroll(cell, cell.weight_tensors(), np.zeros((1, 2, FEATURES), "float32"))


def test_odd_declarations_are_refused():
    with pytest.raises(ValueError, match="a gate needs an input or a recurrent product"):
        Gate(input=False, recurrent=None)

    class TakenCell(rnn_zoo.AbstractRNNCell):
        gates = ("c",)
        vectors = {"units": Vector()}

        def step(self, ops, x, pre, states):
            return pre("c", states[0]), states

    with pytest.raises(ValueError, match=r"TakenCell.vectors must have names .*, got units"):
        rnn_zoo.register("taken", TakenCell)
