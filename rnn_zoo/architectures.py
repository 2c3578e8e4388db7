"""Names and traits of the architectures, without Keras, for flags and parameter counts."""

import importlib
import traceback
from typing import NamedTuple


class Architecture(NamedTuple):
    """Facts about a cell class that are needed before Keras is imported.

    The class repeats them; a test compares the two.
    """

    summary: str
    cell: str
    gates: tuple[str, ...]
    forget_gates: tuple[str, ...]
    state_names: tuple[str, ...]
    mixes_input: bool = False
    always_reads_in: bool = False
    min_depth: int = 1
    activation: str = "tanh"
    matrix_init: str = "orthogonal"


ARCHITECTURES: dict[str, Architecture] = {
    "rnn": Architecture("vanilla RNN", "RNNCell", ("h",), (), ("h",)),
    "irnn": Architecture(
        "identity-initialised ReLU RNN",
        "IRNNCell",
        ("h",),
        (),
        ("h",),
        activation="relu",
        matrix_init="identity",
    ),
    "ugrnn": Architecture("update gate RNN", "UGRNNCell", ("c", "g"), ("g",), ("h",)),
    "gru": Architecture("gated recurrent unit", "GRUCell", ("r", "u", "c"), ("u",), ("h",)),
    "lstm": Architecture(
        "long short-term memory", "LSTMCell", ("i", "f", "c", "o"), ("f",), ("h", "c")
    ),
    "+rnn": Architecture(
        "intersection RNN",
        "IntersectionRNNCell",
        ("y", "h", "gy", "gh"),
        ("gy", "gh"),
        ("h",),
        mixes_input=True,
        min_depth=2,
    ),
    # Not in the paper.
    "mgu": Architecture("minimal gated unit", "MGUCell", ("f", "h"), ("f",), ("h",)),
    "minimal_rnn": Architecture(
        "MinimalRNN, one gate over a map of the input",
        "MinimalRNNCell",
        ("u",),
        ("u",),
        ("h",),
        mixes_input=True,
        always_reads_in=True,
    ),
}

#: Alias -> architecture name.
ALIASES = {"plus_rnn": "+rnn"}


def canonical_name(arch: str) -> str:
    """Return the registered name of an architecture; resolve aliases.

    An unknown dotted name such as "my_cells.leaky" is looked up by importing the module before its
    last dot, which must call `rnn_zoo.register`. So any process can find the cell by its name
    alone.

    Raises:
        ValueError: the name is unknown, or its module cannot be imported.
    """
    name = ALIASES.get(arch, arch)
    if name in ARCHITECTURES:
        return name
    hint = "to add one see rnn_zoo.register"
    if isinstance(name, str) and "." in name:
        hint = _import_home(name)
    if name not in ARCHITECTURES:
        choices = ", ".join(ARCHITECTURES)
        raise ValueError(f"unknown architecture {arch!r}; choose one of {choices}; {hint}")
    return name


def _import_home(name):
    """Import the module of a dotted name; return a hint in case the name stays unknown.

    Raises:
        ValueError: the module raises; the message says where.
    """
    home = name.rpartition(".")[0]
    if not all(part.isidentifier() for part in home.split(".")):
        return f"{home!r} is not the name of a module"
    try:
        importlib.import_module(home)
    except Exception as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name
        if missing and f"{home}.".startswith(f"{missing}."):
            return f"there is no module {missing!r} on Python's path"
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise ValueError(
            f"the module {home!r} of architecture {name!r} cannot be imported: "
            f"{type(error).__name__}: {error} ({place.filename}, line {place.lineno})"
        ) from error
    return f"the module {home!r} does not register it"
