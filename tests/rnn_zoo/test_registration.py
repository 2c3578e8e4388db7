"""A cell of one's own is an architecture like any other once it is registered."""

import importlib
import json
import sys

import keras
import numpy as np
import pytest
from keras import ops
from on_backend import layer_gradients, to_numpy
from processes import python
from registrations import restored
from slow import slow_except

import rnn_zoo
from rnn_zoo import CELLS, algebra, build_model, count_params, names, register
from rnn_zoo.algebra import Gate
from rnn_zoo.cells.lanes import lane_cell
from rnn_zoo.functional import draw_weights, forward, make_cells
from rnn_zoo.layers import LAYERS, CellLayer

OWN = ("own_cells.leaky", "own_cells.echo")
BATCH, TIME, INPUT, UNITS, OUTPUT = 3, 5, 4, 6, 2
every_own = pytest.mark.parametrize("arch", OWN)


@pytest.fixture(autouse=True)
def _restored():
    with restored():
        yield


class MineCell(rnn_zoo.AbstractRNNCell):
    """One unit's memory of the others.

    More of it.
    """

    gates = ("c",)

    def step(self, ops, x, pre, states):
        h = self.activation(pre("c", states[0]))
        return h, [h]


def sequences(rng):
    return rng.normal(size=(BATCH, TIME, INPUT)).astype("float32")


def test_the_tables_have_it_and_a_summary():
    layer = register("mine", MineCell)
    assert CELLS["mine"] is MineCell is layer.cell_class and LAYERS["mine"] is layer
    assert issubclass(layer, CellLayer) and layer.__name__ == "MineLayer"
    row = rnn_zoo.ARCHITECTURES["mine"]
    assert row[:5] == ("One unit's memory of the others.", "MineCell", {"c": Gate()}, (), ("h",))
    assert (row.activation, row.matrix_init, row.uses_activation) == ("tanh", "orthogonal", True)
    others = ("options", "ranges", "lane_options", "vectors", "zero_states", "mixes_input", "paper")
    assert not any(getattr(row, name) for name in others) and row.min_depth == 1
    assert list(rnn_zoo.ARCHITECTURES) == list(CELLS) == list(LAYERS)
    register("mine", MineCell, summary="another")
    assert rnn_zoo.ARCHITECTURES["mine"].summary == "another"


def test_a_module_is_imported_by_its_user_alone():
    for known in (False, True):
        assert set(OWN).isdisjoint(CELLS) is not known
        if not known:
            with pytest.raises(ValueError, match=r"unknown .*own_cells\.leaky.*`import own_cells`"):
                count_params("own_cells.leaky", 1, UNITS, INPUT, OUTPUT)
            assert "own_cells" not in sys.modules
            importlib.import_module("own_cells")
    assert count_params("own_cells.leaky", 1, UNITS, INPUT, OUTPUT) > 0
    assert "own_cells" in names.homes()


@every_own
def test_counts_are_the_model_s(arch):
    importlib.import_module("own_cells")
    for depth, units in ((1, 3), (1, INPUT), (3, 5)):
        model = build_model(arch, depth, units, INPUT, OUTPUT)
        assert model.count_params() == count_params(arch, depth, units, INPUT, OUTPUT)


@every_own
@pytest.mark.parametrize("masked", [False, True])
def test_the_layer_equals_keras_s_own_loop(arch, masked, rng):
    """Values and gradients, from random weights and initial states."""
    arguments = {"sequences": sequences(rng)}
    importlib.import_module("own_cells")
    cell = CELLS[arch](UNITS, gate_bias=0.3)
    stock = keras.layers.RNN(cell, return_sequences=True, zero_output_for_mask=True)
    ours = LAYERS[arch](UNITS, gate_bias=0.3, return_sequences=True, zero_output_for_mask=True)
    if masked:
        arguments["mask"] = np.arange(TIME) < np.array([[5], [2], [3]])
    for layer in (stock, ours):
        layer(**arguments)
    weights = [rng.normal(size=weight.shape) / 2 for weight in stock.get_weights()]
    found = []
    for layer in (stock, ours):
        layer.set_weights(weights)
        slopes, inputs = layer_gradients(
            "eager", layer, lambda outputs: keras.ops.sum(outputs**2), arguments
        )
        found.append([to_numpy(layer(**arguments)), inputs["sequences"], *slopes.values()])
    assert all(np.abs(array).max() > 1e-3 for array in found[0])
    for expected, actual in zip(*found, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("arch", slow_except(OWN[:1], OWN))
def test_a_model_streams_and_comes_back_from_its_file(arch, rng, tmp_path):
    importlib.import_module("own_cells")
    model, inputs = build_model(arch, 2, UNITS, INPUT, OUTPUT), sequences(rng)
    model.set_weights([rng.normal(size=weight.shape) / 2 for weight in model.get_weights()])
    expected = to_numpy(model(inputs))
    stepper = model.stepper(BATCH)
    streamed = np.stack([stepper(inputs[:, t]) for t in range(TIME)], axis=1)
    np.testing.assert_allclose(streamed, expected, atol=1e-5)
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "inputs.npy", inputs)
    script = """
import own_cells, json, keras, numpy as np
model = keras.saving.load_model("model.keras")
print(json.dumps(np.asarray(model(np.load("inputs.npy"))).tolist()))
"""
    done = python("-c", script, cwd=tmp_path)
    assert done.code == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout), expected, atol=1e-6)


# Options of its own


def test_arguments_that_other_cells_lack_are_its_options():
    importlib.import_module("own_cells")
    facts = rnn_zoo.ARCHITECTURES["own_cells.decay"]
    assert (facts.options, facts.lane_options) == ({"rate": 0.9}, ("rate",))
    assert facts.ranges == {"rate": (0.5, 0.99)}
    cell = CELLS["own_cells.decay"](3, rate=0.7)
    assert type(cell).from_config(cell.get_config()).rate == 0.7


def test_lanes_have_options_of_their_own(rng):
    rates, inputs = (0.2, 0.7), rng.normal(size=(BATCH, TIME, INPUT))
    importlib.import_module("own_cells")
    alone = [make_cells("own_cells.decay", 2, UNITS, seed=1, rate=rate) for rate in rates]
    # In float64, as outputs near 0 have few right digits in float32.
    weights = draw_weights(alone[0], INPUT, OUTPUT, seed=1)
    weights = keras.tree.map_structure(lambda array: np.asarray(array, "float64"), weights)
    arguments = (["tanh"], np.zeros(2, int), {}, {"rate": ops.convert_to_tensor(rates, "float64")})
    together = [lane_cell(cell, *arguments) for cell in alone[0]]
    twice = keras.tree.map_structure(lambda array: np.stack([array, array]), (weights, inputs))
    found = to_numpy(forward(together, *twice))
    for lane, cells in enumerate(alone):
        expected = to_numpy(forward(cells, weights, inputs))
        np.testing.assert_allclose(found[lane], expected, 1e-5)
    assert np.abs(found[0] - found[1]).max() > 0.01


# What is refused


def test_what_is_no_cell_is_refused():
    for other in (keras.layers.GRUCell, MineCell(3), "MineCell"):
        with pytest.raises(TypeError, match="must be a subclass of AbstractRNNCell, got"):
            register("other", other)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"gates": ()}, r"OddCell.gates must be a tuple of different names.*got \(\)"),
        ({"gates": "cg"}, "OddCell.gates must be a tuple.*got 'cg'"),
        ({"gates": ("c", "c")}, "OddCell.gates must be a tuple of different names"),
        ({"gates": ("c.1",)}, "OddCell.gates must be"),
        ({"forget_gates": ("g",)}, "OddCell.forget_gates must be among its gates, c; got g"),
        ({"state_names": ()}, "OddCell.state_names must be a tuple"),
        ({"step": rnn_zoo.AbstractRNNCell.step}, r"must define step\(ops, x, pre, states\)"),
        ({"build": lambda self, shape: None}, r"OddCell must not override build\(\)"),
    ],
)
def test_a_class_that_lacks_something_is_refused(attributes, message):
    odd = type("OddCell", (MineCell,), attributes)
    with pytest.raises(ValueError, match=message):
        register("odd", odd)
    assert "odd" not in CELLS


class Unkept(MineCell):
    def __init__(self, units, rate=0.5, **kwargs):
        super().__init__(units, **kwargs)


class Turned(MineCell):
    def __init__(self, units, rate=0.75, **kwargs):
        super().__init__(units, **kwargs)
        self.rate = 1 - rate


class Constant(MineCell):
    def __init__(self, units, rate=0.5, **kwargs):
        super().__init__(units, **kwargs)
        self.rate = 0.25


class NoDefault(MineCell):
    def __init__(self, units, rate, **kwargs):
        super().__init__(units, **kwargs)


@pytest.mark.parametrize(
    ("cell_class", "ranges", "message"),
    [
        (Unkept, {}, "Unkept must store its argument rate as self.rate"),
        (Turned, {}, "must store its argument rate as it is: from 0.75, self.rate becomes 0.25"),
        (Constant, {}, "must store its argument rate as it is: from 0.5, self.rate becomes 0.25"),
        (NoDefault, {}, "NoDefault: the argument rate needs a default"),
        (
            MineCell,
            {"rate": (0, 1)},
            "'rate' is not an argument of MineCell of its own; it has none",
        ),
    ],
)
def test_options_that_cannot_be_kept_are_refused(cell_class, ranges, message):
    with pytest.raises(ValueError, match=message):
        register("odd", cell_class, ranges=ranges)
    assert "odd" not in CELLS


def test_names_that_are_taken_or_malformed_are_refused():
    for name, holder in (("gru", "GRUCell"), ("plus_rnn", "IntersectionRNNCell")):
        with pytest.raises(ValueError, match=f"'{name}' is taken by .*{holder}; choose another"):
            register(name, MineCell)
    for name in ("", "a b", "../mine", ".mine", "mine.", "a-b", "über", None):
        with pytest.raises(ValueError, match="letters, digits and underscores"):
            register(name, MineCell)


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        ("mine", "unknown architecture 'mine'; choose one of rnn, .*; .*see rnn_zoo.register"),
        ("no_such.mine", "unknown architecture 'no_such.mine'.*known after `import no_such`$"),
        ("json.mine", "the module 'json' does not register it$"),
        (".mine", "to add one see rnn_zoo.register$"),
        ("a..mine", "to add one see rnn_zoo.register$"),
        (["gru"], "unknown architecture"),
    ],
)
def test_unknown_names_say_what_to_do(arch, message):
    with pytest.raises(ValueError, match=message):
        names.find("architecture", arch, rnn_zoo.ARCHITECTURES, "rnn_zoo.register")


# Steps and declarations that would go wrong later


def stepping(step, **attributes):
    return type("OddCell", (MineCell,), {"step": step, **attributes})


@pytest.mark.parametrize(
    ("cell_class", "message"),
    [
        (
            lambda: stepping(lambda self, ops, x, pre, states: (ops.mean(pre("c", 1)), states)),
            "OddCell.step must treat all units and samples alike",
        ),
        (
            lambda: stepping(
                lambda self, ops, x, pre, states: [ops.cumsum(pre("c", states[0]), -1), states]
            ),
            "A function over the units needs axis=pre.axis",
        ),
        (
            lambda: stepping(
                lambda self, ops, x, pre, states: (pre("c", 1) + self.gate_bias["c"], states)
            ),
            r"OddCell.step reads gate_bias\['c'\], but its forget_gates are none",
        ),
        (
            lambda: stepping(MineCell.step, vectors={"alpha": 1.0}),
            "OddCell.vectors must map names to .*Vector or Scalar; 'alpha' is 1.0",
        ),
        (
            lambda: stepping(lambda self, ops, x, pre, states: (pre("z", states[0]), states)),
            "OddCell.step reads the gate 'z'; its gates are c",
        ),
        (
            lambda: stepping(lambda self, ops, x, pre, states: (pre("c", 1), [*states, *states])),
            "OddCell.step returns 2 states; its state_names are h",
        ),
        *(
            (
                lambda name=name: stepping(MineCell.step, vectors={name: rnn_zoo.algebra.Vector()}),
                f"vectors must have names that are not attributes or weights of a cell, got {name}",
            )
            for name in ("units", "kernel", "initial_h", "c_gain", "c_shift")
        ),
    ],
)
def test_steps_and_vectors_that_would_go_wrong_are_refused(cell_class, message):
    with pytest.raises(ValueError, match=message):
        register("odd", cell_class())
    assert "odd" not in CELLS


def test_a_step_may_normalise_over_the_axis_of_its_units():
    def step(self, ops, x, pre, states):
        z = pre("c", states[0])
        h = z - ops.mean(z, pre.axis, keepdims=True)
        return h, [h]

    register("odd", stepping(step))
    assert CELLS["odd"].step is step


@pytest.mark.parametrize("recurrent", ["diagonal", algebra.Diagonal])
def test_a_recurrent_product_is_a_structure(recurrent):
    with pytest.raises(ValueError, match=r"a structure such as Dense\(\) or Diagonal\(1.0\), got"):
        Gate(recurrent=recurrent)
