"""The paper's own numbers: Collins, Sohl-Dickstein, Sussillo, ICLR 2017, arXiv:1611.09913v3."""

from collections.abc import Iterable

import pandas as pd

#: Order of architectures in tables and legends.
ARCHS = ("rnn", "irnn", "ugrnn", "gru", "lstm", "+rnn")
LABELS = {
    "rnn": "RNN",
    "irnn": "IRNN",
    "ugrnn": "UGRNN",
    "gru": "GRU",
    "lstm": "LSTM",
    "+rnn": "+RNN",
}


def label(arch: str) -> str:
    """Name of an architecture in text; those outside the paper have the name of their records."""
    return LABELS.get(arch, arch)


def in_order(archs: Iterable[str]) -> list[str]:
    """Architectures in the order of keys and tables: the paper's, then others by name."""
    found = set(archs)
    return [arch for arch in ARCHS if arch in found] + sorted(found.difference(ARCHS))


#: T of figure 1.
UNROLLED = 5
#: n_in of the memory task, figure 2c.
DIMENSIONS = 64
#: Section 2.1.2: from most to fewest bits per parameter.
CAPACITY_ORDER = ("rnn", "ugrnn", "gru", "lstm", "+rnn")
GATED = ("ugrnn", "gru", "lstm", "+rnn")
#: Section 2.1.2, results: "between 3 and 6 bits per parameter", "approximately 5".
BITS_PER_PARAMETER = (3.0, 6.0)
TYPICAL_BITS = 5.0
#: Section 2.1.2, ReLUs reduce capacity: "the 3.5 range".
RELU_BITS_PER_PARAMETER = 3.5
#: Trials per study. Figure 1: "1000+ HP optimizations"; figure 4 and section 4: 1500 and 2500;
#: section 1.2 on all others: "many hundreds to several thousands".
TRIALS = {
    "capacity": 1000,
    "memory": 500,
    "text8": 500,
    "rcf": 500,
    "parens": 1500,
    "arithmetic": 2500,
    "random": 1000,
}

#: Appendix A: the number of training steps "always fell between 50K and 20M".
MIN_STEPS = 50_000

#: Table 1: infeasible fraction of 1000 trials of parens at 200,000 parameters.
TABLE_1 = pd.DataFrame(
    [
        ("+rnn", None, 0.088),
        ("gru", 0.155, 0.032),
        ("irnn", 0.567, 0.446),
        ("lstm", 0.120, 0.040),
        ("rnn", 0.215, 0.187),
        ("ugrnn", 0.202, 0.115),
    ],
    columns=["arch", 1, 8],
).set_index("arch")

#: Table App.1: eval losses of 100 reruns of the best hyperparameters of parens, 100,000 parameters.
TABLE_APP_1 = pd.DataFrame(
    [
        ("rnn", 1.16e-2, 0.00, 1.41e-2, 8.21e-2, 0.294, 5.22e-2, 0.636),
        ("irnn", 4.20e-4, 0.48, 2.24e-4, 5.02e-4, 8.69e-4, 1.35e-4, 0.269),
        ("ugrnn", 1.02e-4, 0.00, 3.66e-5, 2.71e-4, 6.06e-3, 7.12e-4, 2.63),
        ("gru", 2.80e-4, 0.01, 7.66e-5, 1.89e-4, 5.48e-4, 9.08e-5, 0.480),
        ("lstm", 7.96e-4, 0.00, 8.10e-4, 2.02e-3, 0.0145, 2.31e-3, 1.14),
    ],
    columns=["arch", "original", "infeasible", "min", "mean", "max", "sd", "sd/mean"],
).set_index("arch")

#: Table App.2: Welch's t, degrees of freedom and p of each pair, at depths 1 and 8. `P_FLOOR`
#: replaces each p that the paper prints as "< 0.001".
P_FLOOR = 0.001
_APP_2 = """
    +rnn/gru        -      -       -    -23.6   1080  0.001
    +rnn/irnn       -      -       -    -25.7    954  0.001
    +rnn/lstm       -      -       -    -26.1    941  0.001
    +rnn/rnn        -      -       -    -25.8    946  0.001
    +rnn/ugrnn      -      -       -    -24.3   1050  0.001
    gru/irnn    -7.74    696   0.001    -3.51   1360  0.001
    gru/lstm    -6.65   1750   0.001    -4.84   1290  0.001
    gru/rnn    -26.5    1340   0.001    -3.93   1330  0.001
    gru/ugrnn   -4.11   1620   0.001    -1.13   1840  0.261
    irnn/lstm    2.23    652   0.0264   -2.04   1250  0.0420
    irnn/rnn   -12.7     426   0.001    -0.571  1250  0.568
    irnn/ugrnn   4.03    719   0.001     2.37   1320  0.0178
    lstm/rnn   -19.6    1500   0.001     1.53   1730  0.125
    lstm/ugrnn   2.25   1640   0.0247    3.81   1260  0.001
    rnn/ugrnn   20.7    1210   0.001     2.81   1300  0.00498
"""
TABLE_APP_2 = pd.DataFrame(
    [
        (*pair.split("/"), depth, *map(pd.to_numeric, numbers))
        for pair, *values in map(str.split, _APP_2.strip().splitlines())
        for depth, numbers in ((1, values[:3]), (8, values[3:]))
        if "-" not in numbers
    ],
    columns=["first", "second", "depth", "t", "df", "p"],
)
