"""Names and traits of the architectures, without Keras, for flags and parameter counts."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from rnn_zoo import names
from rnn_zoo.algebra import (
    Antisymmetric,
    BlockDiagonal,
    Diagonal,
    Gate,
    MatrixState,
    PerHead,
    Scalar,
    Vector,
    ZeroState,
    declared,
    gates_with,
)


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
        zero_states: states that start from zero and are not learned.
        uses_activation: whether the equations use the nonlinearity s.
        paper: authors and year, and the number in arXiv, the DOI or else an address.
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
    zero_states: Mapping[str, ZeroState] = {}
    uses_activation: bool = True
    paper: str = ""

    def gates_with(self, part: str) -> tuple[str, ...]:
        """Return the gates with a part; see `rnn_zoo.algebra.gates_with`."""
        return gates_with(self.gates, part)


#: Gates that see the last two inputs.
_WINDOW = dict.fromkeys(("z", "f", "o"), Gate(recurrent=None)) | dict.fromkeys(
    ("z1", "f1", "o1"), Gate(recurrent=None, bias=False)
)

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
    "gru_reset_after": Architecture(
        "GRU that resets after the product, like Keras's and PyTorch's",
        "GRUResetAfterCell",
        {"r": Gate(), "u": Gate(), "c": Gate(recurrent=None), "p": Gate(input=False)},
        ("u",),
        ("h",),
        paper="Cho et al. 2014, first version, arXiv:1406.1078v1",
    ),
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
    "li_gru": Architecture(
        "light GRU, without a reset gate",
        "LiGRUCell",
        declared(("z", "c")),
        ("z",),
        ("h",),
        activation="relu",
        paper="Ravanelli et al. 2018, arXiv:1803.10225",
    ),
    "lstm_1997": Architecture(
        "LSTM as first published, without a forget gate",
        "LSTM1997Cell",
        declared(("i", "c", "o")),
        (),
        ("h", "c"),
        paper="Hochreiter & Schmidhuber 1997, 10.1162/neco.1997.9.8.1735",
    ),
    "peephole_lstm": Architecture(
        "LSTM whose gates see the memory",
        "PeepholeLSTMCell",
        declared(("i", "f", "c", "o")),
        ("f",),
        ("h", "c"),
        vectors={"p_i": Vector(), "p_f": Vector(), "p_o": Vector()},
        paper="Gers et al. 2002, https://www.jmlr.org/papers/v3/gers02a.html",
    ),
    "multiplicative_lstm": Architecture(
        "LSTM whose recurrent matrices depend on the input",
        "MultiplicativeLSTMCell",
        {
            "mx": Gate(recurrent=None, bias=False),
            "mh": Gate(input=False, bias=False),
            "i": Gate(),
            "f": Gate(),
            "c": Gate(),
            "o": Gate(),
        },
        ("f",),
        ("h", "c"),
        paper="Krause et al. 2016, arXiv:1609.07959",
    ),
    "res_lstm": Architecture(
        "LSTM whose output gate lets the input through",
        "ResLSTMCell",
        {
            "i": Gate(),
            "f": Gate(),
            "c": Gate(),
            "o": Gate(),
            "m": Gate(input=False, bias=False),
        },
        ("f",),
        ("h", "c"),
        mixes_input=True,
        vectors={"p_i": Vector(), "p_f": Vector(), "p_o": Vector()},
        paper="Kim et al. 2017, arXiv:1701.03360",
    ),
    "mclstm": Architecture(
        "LSTM that feeds back a memory control vector",
        "MCLSTMCell",
        declared(("i", "f", "c", "o", "m")),
        ("f",),
        ("v", "c"),
        paper="Ben-Ari & Shwartz-Ziv 2017, "
        "https://www.ravid-shwartz-ziv.com/publication/squence2017",
    ),
    "wmclstm": Architecture(
        "LSTM with working memory connections",
        "WMCLSTMCell",
        {
            "i": Gate(),
            "f": Gate(),
            "c": Gate(),
            "o": Gate(),
            "vi": Gate(input=False, bias=False),
            "vf": Gate(input=False, bias=False),
            "vo": Gate(input=False, bias=False),
        },
        ("f",),
        ("h", "c"),
        paper="Landi et al. 2021, arXiv:2109.00020",
    ),
    "mut1": Architecture(
        "mutated GRU whose update gate reads the input alone",
        "MUT1Cell",
        {"z": Gate(recurrent=None), "r": Gate(), "c": Gate(input=False)},
        ("z",),
        ("h",),
        mixes_input=True,
        paper="Jozefowicz et al. 2015, https://proceedings.mlr.press/v37/jozefowicz15.html",
    ),
    "mut2": Architecture(
        "mutated GRU whose reset gate reads the input unweighted",
        "MUT2Cell",
        {"z": Gate(), "r": Gate(input=False), "c": Gate()},
        ("z",),
        ("h",),
        mixes_input=True,
        paper="Jozefowicz et al. 2015, https://proceedings.mlr.press/v37/jozefowicz15.html",
    ),
    "mut3": Architecture(
        "mutated GRU whose update gate sees a squashed state",
        "MUT3Cell",
        declared(("z", "r", "c")),
        ("z",),
        ("h",),
        paper="Jozefowicz et al. 2015, https://proceedings.mlr.press/v37/jozefowicz15.html",
    ),
    "nas": Architecture(
        "the cell that neural architecture search found",
        "NASCell",
        {
            "a1": Gate(),
            "a2": Gate(),
            "a3": Gate(),
            "x4": Gate(recurrent=None, bias=False),
            "h4": Gate(input=False),
            "a5": Gate(),
            "a6": Gate(),
            "a7": Gate(),
            "a8": Gate(),
        },
        (),
        ("h", "c"),
        uses_activation=False,
        paper="Zoph & Le 2016, arXiv:1611.01578",
    ),
    "miru1": Architecture(
        "minion recurrent unit, a GRU with a scalar as its update gate",
        "MiRU1Cell",
        declared(("r", "c")),
        (),
        ("h",),
        options={"update_coefficient": 0.5},
        ranges={"update_coefficient": (0.0, 1.0)},
        lane_options=("update_coefficient",),
        paper="Zyarah & Kudithipudi 2025, arXiv:2503.06175",
    ),
    "miru2": Architecture(
        "minion recurrent unit with scalars as both of its gates",
        "MiRU2Cell",
        declared(("c",)),
        (),
        ("h",),
        options={"update_coefficient": 0.5, "reset_coefficient": 0.5},
        ranges={"update_coefficient": (0.0, 1.0), "reset_coefficient": (0.0, 1.0)},
        lane_options=("update_coefficient", "reset_coefficient"),
        paper="Zyarah & Kudithipudi 2025, arXiv:2503.06175",
    ),
    # Gates of the input alone, and products apart.
    "cfn": Architecture(
        "chaos free network",
        "CFNCell",
        {"theta": Gate(), "eta": Gate(), "c": Gate(recurrent=None, bias=False)},
        ("theta",),
        ("h",),
        paper="Laurent & von Brecht 2016, arXiv:1612.06212",
    ),
    "light_ru": Architecture(
        "light recurrent unit, one gate over a map of the input",
        "LightRUCell",
        {"c": Gate(recurrent=None, bias=False), "f": Gate()},
        ("f",),
        ("h",),
        paper="Ye et al. 2024, 10.3390/electronics13163204",
    ),
    "star": Architecture(
        "stackable recurrent cell",
        "STARCell",
        {"z": Gate(recurrent=None), "k": Gate()},
        ("k",),
        ("h",),
        paper="Turkoglu et al. 2019, arXiv:1911.11033",
    ),
    "brc": Architecture(
        "bistable recurrent cell, whose units see only themselves",
        "BRCCell",
        {
            "a": Gate(recurrent=Diagonal(1.0)),
            "c": Gate(recurrent=Diagonal(1.0)),
            "h": Gate(recurrent=None, bias=False),
        },
        ("c",),
        ("h",),
        paper="Vecoven et al. 2021, 10.1371/journal.pone.0252676",
    ),
    "nbrc": Architecture(
        "neuromodulated bistable recurrent cell",
        "NBRCCell",
        {"a": Gate(), "c": Gate(), "h": Gate(recurrent=None, bias=False)},
        ("c",),
        ("h",),
        paper="Vecoven et al. 2021, 10.1371/journal.pone.0252676",
    ),
    "ran": Architecture(
        "recurrent additive network",
        "RANCell",
        {"i": Gate(), "f": Gate(), "c": Gate(recurrent=None, bias=False)},
        ("f",),
        ("h", "c"),
        paper="Lee et al. 2017, arXiv:1705.07393",
    ),
    "rhn": Architecture(
        "recurrent highway network of three layers per step",
        "RHNCell",
        {
            "h1": Gate(),
            "t1": Gate(),
            "h2": Gate(input=False),
            "t2": Gate(input=False),
            "h3": Gate(input=False),
            "t3": Gate(input=False),
        },
        ("t1", "t2", "t3"),
        ("h",),
        paper="Zilly et al. 2017, arXiv:1607.03474",
    ),
    "atr": Architecture(
        "addition-subtraction twin-gated RNN",
        "ATRCell",
        {"p": Gate(recurrent=None, bias=False), "q": Gate(input=False)},
        ("q",),
        ("h",),
        uses_activation=False,
        paper="Zhang et al. 2018, arXiv:1810.12546",
    ),
    "sgrn": Architecture(
        "simple gated recurrent network",
        "SGRNCell",
        {"x": Gate(recurrent=None, bias=False), "h": Gate(input=False)},
        ("h",),
        ("h",),
        paper="Zu et al. 2020, 10.1049/gtd2.12056",
    ),
    "sgu": Architecture(
        "simple gated unit",
        "SGUCell",
        {"x": Gate(recurrent=None), "g": Gate(input=False, bias=False), "z": Gate()},
        ("z",),
        ("h",),
        paper="Gao & Glowacka 2016, arXiv:1604.02910",
    ),
    "dsgu": Architecture(
        "deep simple gated unit",
        "DSGUCell",
        {
            "x": Gate(recurrent=None),
            "g": Gate(input=False, bias=False),
            "z": Gate(),
            "o": Gate(input=False, bias=False),
        },
        ("z",),
        ("h",),
        paper="Gao & Glowacka 2016, arXiv:1604.02910",
    ),
    "scrn": Architecture(
        "structurally constrained RNN, with a slow context",
        "SCRNCell",
        {
            "b": Gate(recurrent=None, bias=False),
            "h": Gate(),
            "p": Gate(input=False, bias=False),
            "u": Gate(input=False, bias=False),
            "v": Gate(input=False, bias=False),
        },
        (),
        ("h", "s"),
        options={"alpha": 0.95},
        ranges={"alpha": (0.5, 0.99)},
        lane_options=("alpha",),
        uses_activation=False,
        paper="Mikolov et al. 2015, arXiv:1412.7753",
    ),
    # Dynamical systems and structured matrices.
    "indrnn": Architecture(
        "independently recurrent network",
        "IndRNNCell",
        {"h": Gate(recurrent=Diagonal())},
        (),
        ("h",),
        activation="relu",
        paper="Li et al. 2018, arXiv:1803.04831",
    ),
    "fast_rnn": Architecture(
        "FastRNN, with a weighted residual connection",
        "FastRNNCell",
        declared(("h",)),
        (),
        ("h",),
        vectors={"alpha": Scalar(), "beta": Scalar()},
        paper="Kusupati et al. 2018, arXiv:1901.02358",
    ),
    "fast_grnn": Architecture(
        "FastGRNN, whose gate shares the candidate's matrices",
        "FastGRNNCell",
        {"z": Gate(bias=False)},
        ("z",),
        ("h",),
        vectors={"b_z": Vector(), "b_c": Vector(), "zeta": Scalar(), "nu": Scalar()},
        paper="Kusupati et al. 2018, arXiv:1901.02358",
    ),
    "antisymmetric_rnn": Architecture(
        "antisymmetric RNN",
        "AntisymmetricRNNCell",
        {"h": Gate(recurrent=Antisymmetric())},
        (),
        ("h",),
        options={"epsilon": 0.1, "gamma": 0.01},
        ranges={"epsilon": (0.01, 1.0, "log"), "gamma": (0.001, 1.0, "log")},
        lane_options=("epsilon", "gamma"),
        paper="Chang et al. 2019, arXiv:1902.09689",
    ),
    "gated_antisymmetric_rnn": Architecture(
        "antisymmetric RNN with an input gate",
        "GatedAntisymmetricRNNCell",
        {
            "q": Gate(input=False, recurrent=Antisymmetric(), bias=False),
            "z": Gate(recurrent=None),
            "h": Gate(recurrent=None),
        },
        (),
        ("h",),
        options={"epsilon": 0.1, "gamma": 0.01},
        ranges={"epsilon": (0.01, 1.0, "log"), "gamma": (0.001, 1.0, "log")},
        lane_options=("epsilon", "gamma"),
        paper="Chang et al. 2019, arXiv:1902.09689",
    ),
    "cornn": Architecture(
        "coupled oscillatory RNN",
        "CoRNNCell",
        {"y": Gate(), "z": Gate(input=False, bias=False)},
        (),
        ("y", "z"),
        options={"dt": 0.042, "gamma": 2.7, "epsilon": 4.7},
        ranges={
            "dt": (0.01, 1.0, "log"),
            "gamma": (0.1, 10.0, "log"),
            "epsilon": (0.1, 10.0, "log"),
        },
        lane_options=("dt", "gamma", "epsilon"),
        paper="Rusch & Mishra 2021, arXiv:2010.00951",
    ),
    "unicornn": Architecture(
        "undamped independent controlled oscillatory RNN",
        "UnICORNNCell",
        {"y": Gate(recurrent=Diagonal())},
        (),
        ("y", "z"),
        options={"dt": 0.19, "alpha": 30.65},
        ranges={"dt": (0.01, 1.0, "log"), "alpha": (0.0, 50.0)},
        lane_options=("dt", "alpha"),
        vectors={"c": Vector()},
        paper="Rusch & Mishra 2021, arXiv:2103.05487",
    ),
    "lem": Architecture(
        "long expressive memory",
        "LEMCell",
        declared(("dt_z", "dt_y", "z", "y")),
        ("dt_z", "dt_y"),
        ("y", "z"),
        options={"dt": 1.0},
        ranges={"dt": (0.01, 1.0, "log")},
        lane_options=("dt",),
        paper="Rusch et al. 2022, arXiv:2110.04744",
    ),
    "tau_gru": Architecture(
        "gated recurrent unit with delayed feedback",
        "TauGRUCell",
        declared(("u", "z", "g", "a")),
        ("g",),
        ("h", "h1", "h2", "h3"),
        paper="Erichson et al. 2025, arXiv:2212.00228",
    ),
    "mlstm": Architecture(
        "mLSTM, with a matrix memory per head",
        "MLSTMCell",
        dict.fromkeys(("q", "k", "v", "o"), Gate(recurrent=None))
        | dict.fromkeys(("i", "f"), Gate(input=PerHead(4), recurrent=None)),
        ("f",),
        ("n", "m", "C"),
        zero_states={"m": ZeroState(), "C": MatrixState(4)},
        uses_activation=False,
        paper="Beck et al. 2024, arXiv:2405.04517",
    ),
    "slstm": Architecture(
        "sLSTM, with exponential gates and four heads",
        "SLSTMCell",
        {gate: Gate(recurrent=BlockDiagonal(4)) for gate in ("i", "f", "z", "o")},
        ("f",),
        ("h", "c", "n", "m"),
        paper="Beck et al. 2024, arXiv:2405.04517",
    ),
    # Linear recurrences.
    "min_gru": Architecture(
        "minGRU, whose gate and candidate see the input alone",
        "MinGRUCell",
        dict.fromkeys(("u", "c"), Gate(recurrent=None)),
        ("u",),
        ("h",),
        uses_activation=False,
        paper="Feng et al. 2024, arXiv:2410.01201",
    ),
    "min_lstm": Architecture(
        "minLSTM, whose two gates see the input alone and sum to one",
        "MinLSTMCell",
        dict.fromkeys(("f", "i", "c"), Gate(recurrent=None)),
        ("f",),
        ("h",),
        uses_activation=False,
        paper="Feng et al. 2024, arXiv:2410.01201",
    ),
    "t_rnn": Architecture(
        "T-RNN, strongly typed",
        "TRNNCell",
        {"z": Gate(recurrent=None, bias=False), "f": Gate(recurrent=None)},
        ("f",),
        ("h",),
        uses_activation=False,
        paper="Balduzzi & Ghifary 2016, arXiv:1602.02218",
    ),
    "t_gru": Architecture(
        "T-GRU, strongly typed, whose gates see the last two inputs",
        "TGRUCell",
        _WINDOW | {"z": Gate(recurrent=None, bias=False)},
        ("f",),
        ("h", "z1", "f1", "o1"),
        paper="Balduzzi & Ghifary 2016, arXiv:1602.02218",
    ),
    "t_lstm": Architecture(
        "T-LSTM, strongly typed, whose gates see the last two inputs",
        "TLSTMCell",
        _WINDOW | {"z": Gate(recurrent=None, bias=False)},
        ("f",),
        ("c", "z1", "f1", "o1"),
        paper="Balduzzi & Ghifary 2016, arXiv:1602.02218",
    ),
    "qrnn": Architecture(
        "quasi-recurrent network, whose gates see the last two inputs",
        "QRNNCell",
        _WINDOW,
        ("f",),
        ("c", "z1", "f1", "o1"),
        paper="Bradbury et al. 2017, arXiv:1611.01576",
    ),
    "sru": Architecture(
        "simple recurrent unit",
        "SRUCell",
        {
            "f": Gate(recurrent=None),
            "r": Gate(recurrent=None),
            "c": Gate(recurrent=None, bias=False),
        },
        ("f",),
        ("c",),
        mixes_input=True,
        paper="Lei et al. 2017, arXiv:1709.02755",
    ),
    "gilr": Architecture(
        "gated impulse linear recurrence",
        "GILRCell",
        dict.fromkeys(("g", "i"), Gate(recurrent=None)),
        ("g",),
        ("h",),
        paper="Martin & Cundy 2018, arXiv:1709.04057",
    ),
    "lru": Architecture(
        "linear recurrent unit, with complex states",
        "LRUCell",
        {
            "re": Gate(recurrent=None, bias=False),
            "im": Gate(recurrent=None, bias=False),
            "y": Gate(bias=False),
            "yi": Gate(input=False, bias=False),
        },
        (),
        ("re", "im"),
        vectors=dict.fromkeys(("nu", "theta", "gamma"), Vector()),
        uses_activation=False,
        paper="Orvieto et al. 2023, arXiv:2303.06349",
    ),
}

#: Alias -> architecture name.
ALIASES = {"plus_rnn": "+rnn"}
#: Arguments of a cell that determine its initial weights and nothing else.
INITIAL_ARGUMENTS = ("matrix_init", "bias_init", "input_scale", "recurrent_scale", "bias_scale")


def canonical_name(arch: str) -> str:
    """Return the registered name of an architecture; resolve aliases.

    Raises:
        ValueError: as for `rnn_zoo.names.find`.
    """
    return names.find("architecture", ALIASES.get(arch, arch), ARCHITECTURES, "rnn_zoo.register")
