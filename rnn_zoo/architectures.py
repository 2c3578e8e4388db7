"""The architectures' names and shapes, free of Keras: what flags and parameter counts need."""

import importlib
from typing import NamedTuple


class Architecture(NamedTuple):
    """What flags and counts need of a cell class; the class repeats it, and a test compares."""

    summary: str
    cell: str
    gates: tuple
    state_names: tuple
    mixes_input: bool = False
    always_reads_in: bool = False
    min_depth: int = 1


ARCHITECTURES = {
    "rnn": Architecture("vanilla RNN", "RNNCell", ("h",), ("h",)),
    "irnn": Architecture("identity-initialised ReLU RNN", "IRNNCell", ("h",), ("h",)),
    "ugrnn": Architecture("update gate RNN", "UGRNNCell", ("c", "g"), ("h",)),
    "gru": Architecture("gated recurrent unit", "GRUCell", ("r", "u", "c"), ("h",)),
    "lstm": Architecture("long short-term memory", "LSTMCell", ("i", "f", "c", "o"), ("h", "c")),
    "+rnn": Architecture(
        "intersection RNN",
        "IntersectionRNNCell",
        ("y", "h", "gy", "gh"),
        ("h",),
        mixes_input=True,
        min_depth=2,
    ),
    # Not of the paper, whose grids list its own six.
    "mgu": Architecture("minimal gated unit", "MGUCell", ("f", "h"), ("h",)),
    "minimal_rnn": Architecture(
        "MinimalRNN, one gate over a map of the input",
        "MinimalRNNCell",
        ("u",),
        ("h",),
        mixes_input=True,
        always_reads_in=True,
    ),
}

ALIASES = {"plus_rnn": "+rnn"}


def canonical_name(arch):
    """Returns the architecture's name with aliases resolved.

    A dotted name that is not known yet, as "my_cells.leaky", is looked for by importing the module
    before its last dot, which is to `rnn_zoo.register` it. So a flag, a gin file or a run's record
    says all that a process needs to find the cell.

    Raises:
        ValueError: the name is not one of `ARCHITECTURES` or `ALIASES`, nor has it become one.
    """
    name = ALIASES.get(arch, arch)
    if name in ARCHITECTURES:
        return name
    hint = "for one of your own see rnn_zoo.register"
    if isinstance(name, str) and "." in name:
        hint = _import_home(name)
    if name not in ARCHITECTURES:
        choices = ", ".join(ARCHITECTURES)
        raise ValueError(f"unknown architecture {arch!r}; choose one of {choices}; {hint}")
    return name


def _import_home(name):
    """Imports the module of a dotted name; returns why the name may still be unknown.

    An exception within the module is a bug of its own, and is not hidden.
    """
    home = name.rpartition(".")[0]
    if not all(part.isidentifier() for part in home.split(".")):
        return f"{home!r} is not the name of a module"
    try:
        importlib.import_module(home)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{home}.".startswith(f"{error.name}."):
            raise
        return f"there is no module {error.name!r} on Python's path"
    return f"the module {home!r} does not register it"
