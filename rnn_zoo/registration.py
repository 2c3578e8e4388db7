"""Registration of custom cells as architectures."""

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from rnn_zoo import names, numpy_ops
from rnn_zoo.algebra import Gate, Vector, divisor, state_widths
from rnn_zoo.architectures import ALIASES, ARCHITECTURES, Architecture
from rnn_zoo.cells import CELLS, AbstractRNNCell
from rnn_zoo.cells.base import names_in_equations, own_options
from rnn_zoo.cells.noise import replace, with_functions
from rnn_zoo.cells.normalization import gains, shifts
from rnn_zoo.layers import LAYERS, CellLayer, make_layer


def register(
    name: str,
    cell_class: type[AbstractRNNCell],
    summary: str = "",
    ranges: Mapping[str, Any] | None = None,
) -> type[CellLayer]:
    """Add an architecture to `CELLS`, `ARCHITECTURES` and `layers.LAYERS`, in this process.

    Functions that take an architecture's name, such as `build_model` and `count_params`, then
    accept this one. The cell and its layer are registered with Keras, so a saved model loads in any
    process that has registered the cell.

    The part of a *dotted* name before its last dot is the module that registers it:
    `import my_cells` makes `my_cells.leaky` known.

    Args:
        name: letters, digits and underscores, preceded by the name of a module and a dot if
            importing that module registers the cell.
        cell_class: a subclass of `AbstractRNNCell` with `gates` and `step`, whose constructor takes
            the arguments of `AbstractRNNCell`.
        summary: one-line description; by default the first line of the class's docstring.
        ranges: name of an argument of the constructor that `AbstractRNNCell` lacks -> its range in
            a search: (low, high), (low, high, "log") or a list of choices. Without one, it keeps
            its value.

    Returns:
        The layer class, a `layers.CellLayer`.

    Raises:
        TypeError: `cell_class` is not a subclass of `AbstractRNNCell`.
        ValueError: the name is taken or malformed; the class lacks gates, states or equations, or
            overrides `build`; its step mixes units; or an argument of its constructor lacks a
            default, or an attribute of the same name, which keeps its value. A class with the
            module and name of the registered one replaces it, which helps in notebooks.

    Example:
        class LeakyCell(rnn_zoo.AbstractRNNCell):
            gates = ("c",)

            def step(self, ops, x, pre, states):
                h = 0.9 * states[0] + 0.1 * self.activation(pre("c", states[0]))
                return h, [h]


        rnn_zoo.register("my_cells.leaky", LeakyCell)  # in my_cells.py
        model = rnn_zoo.build_model("my_cells.leaky", 2, 64, 27, 27)
    """
    _check_class(cell_class)
    names.check("architecture", name, cell_class, CELLS.get(ALIASES.get(name, name)))
    options = own_options(cell_class)
    _check_options(cell_class, options, ranges or {})
    cell = cell_class(2 * divisor(cell_class.gates))
    _check_vectors(cell)
    _check_step(cell)
    summary = summary or (cell_class.__doc__ or cell_class.__name__).strip().split("\n")[0]
    ARCHITECTURES[name] = Architecture(
        summary,
        cell_class.__name__,
        cell_class.gates,
        cell_class.forget_gates,
        cell_class.state_names,
        cell_class.mixes_input,
        cell_class.always_reads_in,
        **{name: _default(cell_class, name) for name in ("activation", "matrix_init")},
        options=options,
        ranges=ranges or {},
        lane_options=cell_class.lane_options,
        vectors=cell_class.vectors,
        zero_states=cell_class.zero_states,
        uses_activation="activation" in names_in_equations(cell_class),
    )
    layer = cell_class.__name__.removesuffix("Cell") + "Layer"
    CELLS[name] = cell_class
    LAYERS[name] = make_layer(cell_class, layer, f"rnn_zoo.{name}", cell_class.__module__)
    return LAYERS[name]


def _default(cell_class: Any, argument: str) -> Any:
    """Return an argument's default, from the first class in the MRO that names it."""
    signatures = (inspect.signature(each.__init__).parameters for each in cell_class.__mro__)
    return next(found[argument].default for found in signatures if argument in found)


def _check_options(cell_class, options, ranges):
    name = cell_class.__name__
    for option, default in options.items():
        if default is inspect.Parameter.empty:
            raise ValueError(f"{name}: the argument {option} needs a default")
    for option in (*ranges, *cell_class.lane_options):
        if option not in options:
            raise ValueError(
                f"{option!r} is not an argument of {name} of its own; it has "
                f"{', '.join(options) or 'none'}"
            )
    cell = cell_class(divisor(cell_class.gates))
    missing = [option for option in options if not hasattr(cell, option)]
    if missing:
        raise ValueError(f"{name} must store its argument {missing[0]} as self.{missing[0]}")
    config = cell.get_config()
    again = cell_class.from_config(config).get_config()
    # A number is stored as it is; other defaults may stand for an object.
    given = {name: value for name, value in options.items() if isinstance(value, (int, float))}
    for before, after in ((given, config), (config, again)):
        for option, value in before.items():
            if option in options and after[option] is not value and after[option] != value:
                raise ValueError(
                    f"{name} must store its argument {option} as it is: from {value!r}, "
                    f"self.{option} becomes {after[option]!r}"
                )


def _are_names(found):
    """Return whether a collection has at least one name, and names alone."""
    return bool(found) and all(isinstance(name, str) and name.isidentifier() for name in found)


def _check_class(cell_class):
    if not (isinstance(cell_class, type) and issubclass(cell_class, AbstractRNNCell)):
        raise TypeError(f"a cell must be a subclass of AbstractRNNCell, got {cell_class!r}")
    name, gates, states = cell_class.__name__, cell_class.gates, cell_class.state_names
    kinds = gates.values() if isinstance(gates, Mapping) else [None]
    if not (_are_names(gates) and all(isinstance(gate, Gate) for gate in kinds)):
        raise ValueError(
            f"{name}.gates must be a tuple of different names like ('c', 'g'), or a dict from "
            f"name to rnn_zoo.algebra.Gate, got {gates!r}"
        )
    if not (isinstance(states, tuple) and len(set(states)) == len(states) and _are_names(states)):
        raise ValueError(
            f"{name}.state_names must be a tuple of different names like ('h', 'c'), got {states!r}"
        )
    strangers = [gate for gate in cell_class.forget_gates if gate not in cell_class.gates]
    if strangers:
        raise ValueError(
            f"{cell_class.__name__}.forget_gates must be among its gates, "
            f"{', '.join(cell_class.gates)}; got {', '.join(strangers)}"
        )
    if cell_class.step is AbstractRNNCell.step:
        raise ValueError(f"{cell_class.__name__} must define step(ops, x, pre, states)")
    if cell_class.build is not AbstractRNNCell.build:
        raise ValueError(
            f"{name} must not override build(): declare further weights as `vectors`; "
            f"keras.layers.RNN({name}(units)) trains any"
        )


def _check_vectors(cell):
    """Check that further weights have names that nothing else of a cell has."""
    name, gates = type(cell).__name__, cell.gates
    odd = [each for each, kind in cell.vectors.items() if not isinstance(kind, Vector)]
    if odd:
        raise ValueError(
            f"{name}.vectors must map names to rnn_zoo.algebra.Vector or Scalar; "
            f"{odd[0]!r} is {cell.vectors[odd[0]]!r}"
        )
    own = replace(cell, vectors={})._layout_of(cell.units + 1)
    others = {*own, *gains(gates), *shifts(dict.fromkeys(gates))}  # the last two of layer_norm
    taken = [each for each in cell.vectors if hasattr(cell, each) or each in others]
    if taken or not all(map(str.isidentifier, cell.vectors)):
        raise ValueError(
            f"{name}.vectors must have names that are not attributes or weights of a cell, got "
            f"{', '.join(taken or cell.vectors)}"
        )


def _check_step(cell):
    """Check that a step computes the same with the batch last, as loops run it."""
    name, rng = type(cell).__name__, np.random.default_rng(0)
    if cell.weights:
        added = ", ".join(weight.name for weight in cell.weights)
        raise ValueError(f"{name} has weights that it does not declare: {added}; use `vectors`")
    x, states = _drawn(rng, cell.units), [_drawn(rng, w) for w in state_widths(cell, cell.units)]
    answers = {gate: _drawn(rng, cell.units) for gate in cell.gates}
    sizes = {each: kind.shape(cell.units)[0] for each, kind in cell.vectors.items()}
    vectors = {each: _drawn(rng, size)[:1] for each, size in sizes.items()}

    def run(axis):
        def turned(array):
            return array if axis == -1 else array.T

        def pre(gate, *operands):
            if gate not in answers:
                raise ValueError(
                    f"{name}.step reads the gate {gate!r}; its gates are {', '.join(answers)}"
                )
            return turned(answers[gate])

        pre.axis = axis
        own = replace(
            with_functions(cell, numpy_ops.equivalent),
            **{each: turned(array) for each, array in vectors.items()},
        )
        with np.errstate(all="ignore"):
            output, new = own.step(numpy_ops, turned(x), pre, [turned(state) for state in states])
        return [turned(np.asarray(each)) for each in (output, *new)]

    try:
        expected = run(-1)
    except KeyError as error:
        raise ValueError(
            f"{name}.step reads gate_bias[{error}], but its forget_gates are "
            f"{', '.join(cell.forget_gates) or 'none'}"
        ) from None
    if len(expected) != 1 + len(states):
        raise ValueError(
            f"{name}.step returns {len(expected) - 1} states; its state_names are "
            f"{', '.join(cell.state_names)}"
        )
    try:
        turned = run(-2)
    except Exception:  # of any backend: shapes that do not fit
        turned = []
    if len(turned) != len(expected) or not all(
        one.shape == like.shape and np.allclose(one, other, 1e-4, 1e-4, True)
        for one, other, like in zip(expected, turned, (x, *states), strict=True)
    ):
        raise ValueError(
            f"{name}.step must treat all units and samples alike: with the batch last, as in "
            "loops, its result differs. A function over the units needs axis=pre.axis"
        )


def _drawn(rng, size):
    """Draw numbers of three samples (B, size)."""
    return rng.normal(size=(3, size)).astype("float32")
