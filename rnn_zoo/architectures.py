"""The architectures' names and shapes, free of Keras: what flags and parameter counts need."""

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

    Raises:
        ValueError: the name is not one of `ARCHITECTURES` or `ALIASES`.
    """
    name = ALIASES.get(arch, arch)
    if name not in ARCHITECTURES:
        raise ValueError(f"unknown architecture {arch!r}; choose one of {', '.join(ARCHITECTURES)}")
    return name
