"""Names and traits of the architectures, without Keras, for flags and parameter counts."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from rnn_zoo import names
from rnn_zoo.algebra import Gate, Vector, declared, gates_with


class Architecture(NamedTuple):
    """Facts about a cell class that are needed before Keras is imported.

    The class repeats them; a test compares the two.

    Attributes:
        summary: one line.
        cell: name of the class in `rnn_zoo.cells`.
        options: names and defaults of the constructor's own arguments, which other cells lack.
        ranges: option -> range in a search; see `rnn_zoo.register`.
        lane_options: names of the options that may differ between the trials of one program.
        vectors: learned vectors beside the gates.
        uses_activation: whether the equations use the nonlinearity s.
        paper: authors and year, and the number in arXiv or the DOI.
    """

    summary: str
    cell: str
    gates: Mapping[str, Gate]
    forget_gates: tuple[str, ...]
    state_names: tuple[str, ...]
    mixes_input: bool = False
    always_reads_in: bool = False
    min_depth: int = 1
    activation: str = "tanh"
    matrix_init: str = "orthogonal"
    options: Mapping[str, Any] = {}
    ranges: Mapping[str, Any] = {}
    lane_options: tuple[str, ...] = ()
    vectors: Mapping[str, Vector] = {}
    uses_activation: bool = True
    paper: str = ""

    def gates_with(self, part: str) -> tuple[str, ...]:
        """Return the gates with a part; see `rnn_zoo.algebra.gates_with`."""
        return gates_with(self.gates, part)


ARCHITECTURES: dict[str, Architecture] = {
    "rnn": Architecture("vanilla RNN", "RNNCell", declared(("h",)), (), ("h",)),
    "irnn": Architecture(
        "identity-initialised ReLU RNN",
        "IRNNCell",
        declared(("h",)),
        (),
        ("h",),
        activation="relu",
        matrix_init="identity",
    ),
    "ugrnn": Architecture("update gate RNN", "UGRNNCell", declared(("c", "g")), ("g",), ("h",)),
    "gru": Architecture(
        "gated recurrent unit", "GRUCell", declared(("r", "u", "c")), ("u",), ("h",)
    ),
    "lstm": Architecture(
        "long short-term memory", "LSTMCell", declared(("i", "f", "c", "o")), ("f",), ("h", "c")
    ),
    "+rnn": Architecture(
        "intersection RNN",
        "IntersectionRNNCell",
        declared(("y", "h", "gy", "gh")),
        ("gy", "gh"),
        ("h",),
        mixes_input=True,
        min_depth=2,
        options={"depth_activation": "relu"},
    ),
    # Not in the paper.
    "mgu": Architecture(
        "minimal gated unit",
        "MGUCell",
        declared(("f", "h")),
        ("f",),
        ("h",),
        paper="Zhou et al. 2016, arXiv:1603.09420",
    ),
    "minimal_rnn": Architecture(
        "MinimalRNN, one gate over a map of the input",
        "MinimalRNNCell",
        declared(("u",)),
        ("u",),
        ("h",),
        mixes_input=True,
        always_reads_in=True,
        paper="Chen 2017, arXiv:1711.06788",
    ),
    # Variants of the LSTM and the GRU.
    "janet": Architecture(
        "JANET, an LSTM with only the forget gate",
        "JANETCell",
        declared(("f", "c")),
        ("f",),
        ("h",),
        options={"beta": 1.0},
        lane_options=("beta",),
        paper="van der Westhuizen & Lasenby 2018, arXiv:1804.04849",
    ),
    # Gates of the input alone, and products apart.
    # Dynamical systems and structured matrices.
    # Linear recurrences.
}

#: Alias -> architecture name.
ALIASES = {"plus_rnn": "+rnn"}


def canonical_name(arch: str) -> str:
    """Return the registered name of an architecture; resolve aliases.

    Raises:
        ValueError: as for `rnn_zoo.names.find`.
    """
    return names.find("architecture", ALIASES.get(arch, arch), ARCHITECTURES, "rnn_zoo.register")
