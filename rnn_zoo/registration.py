"""Makes a cell of one's own an architecture like the project's: one call, `register`."""

import inspect
import re

import keras

from rnn_zoo.architectures import ALIASES, ARCHITECTURES, Architecture
from rnn_zoo.cells import CELLS, AbstractRNNCell
from rnn_zoo.layers import LAYERS, CellLayer


def register(name, cell_class, summary=""):
    """Adds an architecture, for this process: to `CELLS`, `ARCHITECTURES` and `layers.LAYERS`.

    What takes an architecture's name then takes this one: `build_model`, `count_params`,
    `trainer.TrainConfig`, the search space, lanes. The layer, and the cell, are registered with
    Keras, so that a saved model loads wherever this call was made before.

    Commands and worker processes find a *dotted* name by themselves: "my_cells.leaky" is looked for
    by importing `my_cells`, which must be on Python's path and make this call. (Worker processes of
    a script run the script's top level first, so they know of any name that it registers there.)

    Args:
        name: letters, digits and underscores, a module and a dot before them if there is one that
            makes this call when it is imported.
        cell_class: a subclass of `AbstractRNNCell` with `gates` and `step`, whose constructor takes
            the arguments of `AbstractRNNCell`.
        summary: for people; by default the first line of the class's docstring.

    Returns:
        The layer class, a `layers.CellLayer`.

    Raises:
        TypeError: `cell_class` is no subclass of `AbstractRNNCell`.
        ValueError: the name is taken or malformed, or the class lacks gates, states or equations,
            or has a `build` of its own. A class of the same module and name replaces its earlier
            self, as in a notebook.

    Example:
        class LeakyCell(rnn_zoo.AbstractRNNCell):
            gates = ("c",)

            def step(self, ops, x, pre, states):
                h = 0.9 * states[0] + 0.1 * self.activation(pre("c", states[0]))
                return h, [h]


        rnn_zoo.register("my_cells.leaky", LeakyCell)  # in my_cells.py
        model = rnn_zoo.build_model("my_cells.leaky", 2, 64, 27, 27)

        python -m tuning --task=parens --arch=my_cells.leaky
    """
    _check_class(cell_class)
    _check_name(name, cell_class)
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
    )
    CELLS[name], LAYERS[name] = cell_class, _layer_class(name, cell_class)
    return LAYERS[name]


def _default(cell_class, argument):
    """What a constructor takes for an argument, or the first of its bases' that names it."""
    signatures = (inspect.signature(each.__init__).parameters for each in cell_class.__mro__)
    return next(found[argument].default for found in signatures if argument in found)


def _check_class(cell_class):
    if not (isinstance(cell_class, type) and issubclass(cell_class, AbstractRNNCell)):
        raise TypeError(f"a cell must be a subclass of AbstractRNNCell, got {cell_class!r}")
    for what in ("gates", "state_names"):
        names = getattr(cell_class, what)
        is_tuple = isinstance(names, tuple) and len(set(names)) == len(names) > 0
        if not (is_tuple and all(isinstance(n, str) and n.isidentifier() for n in names)):
            raise ValueError(
                f"{cell_class.__name__}.{what} must be a tuple of different names, as ('c', 'g'), "
                f"got {names!r}"
            )
    if cell_class.step is AbstractRNNCell.step:
        raise ValueError(f"{cell_class.__name__} must define step(ops, x, pre, states)")
    if cell_class.build is not AbstractRNNCell.build:
        raise ValueError(
            f"{cell_class.__name__} must leave build() as it is: an architecture has no weights "
            f"but its gates'; keras.layers.RNN({cell_class.__name__}(units)) trains others too"
        )


def _check_name(name, cell_class):
    if not (isinstance(name, str) and re.fullmatch(r"\w+(\.\w+)*", name, re.ASCII)):
        raise ValueError(
            f"an architecture's name has letters, digits and underscores, and dots after a "
            f"module's; got {name!r}"
        )
    if name in ALIASES or (name in CELLS and _home(CELLS[name]) != _home(cell_class)):
        holder = _home(CELLS[ALIASES.get(name, name)])
        raise ValueError(f"the name {name!r} is taken by {holder}; choose another")


def _home(a_class):
    return f"{a_class.__module__}.{a_class.__qualname__}"


def _layer_class(name, cell_class):
    """The cell as a layer; both known to Keras by names that begin with the architecture's."""
    attributes = {
        "__doc__": f"{cell_class.__name__} as a layer; see `CellLayer`.",
        "__module__": cell_class.__module__,
        "cell_class": cell_class,
    }
    layer = type(cell_class.__name__.removesuffix("Cell") + "Layer", (CellLayer,), attributes)
    for each in (cell_class, layer):
        # One that its author has registered keeps the name that saved models have.
        if keras.saving.get_registered_name(each) == each.__name__:
            keras.saving.register_keras_serializable(f"rnn_zoo.{name}")(each)
    return layer
