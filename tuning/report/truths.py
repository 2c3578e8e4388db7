"""Assumed results for `simulation`: the paper's, and some that break each of its claims.

Numbers that the paper prints are exact; others are read off its figures or assumed, as the comments
say.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

from tuning.report import paper

#: A number for each architecture.
ByArch = Mapping[str, float]


class Rerun(NamedTuple):
    """Reruns of an architecture: mean loss over the original's, sd over mean, infeasible share."""

    ratio: float
    spread: float
    infeasible: float


@dataclasses.dataclass(frozen=True)
class Truth:
    """Parameters of the simulated trials.

    Attributes:
        bits: bits per parameter that training can reach with tanh, at 10,000 parameters and T = 5.
        relu_bits: the same with ReLU, as in each IRNN.
        exponent: power of the number of parameters with which stored bits grow.
        unrolled: bits per parameter by T, up to a factor.
        samples_over_bits: b over stored bits in the best trials.
        excess: error of the memory task above the theory.
        size_factor: size relative to the RNN's for equal loss, on text8 and rcf.
        by_units: whether that size is the number of units rather than of parameters.
        learned: depth -> share of feasible random trials that learn the hard tasks.
        infeasible: depth -> share of random trials that diverge.
        rarer: task -> factor of the share that learns.
        lowest: smallest loss over chance of trials that learn the hard tasks without solving them.
        solved: depth -> share of a search's trials that solve the hard tasks.
        reruns: reruns of the best hyperparameters.
        gap: a trial that learns falls short of the limit by up to this fraction.
        patience: number of trials over which a search begins to narrow that gap; infinite for a
            search that learns nothing.
        slow: factor of `patience` by architecture, 1 if it has none.
        luck: standard deviation of the logarithm of the limit between studies of different seeds.
        short: shortfall of a study that trains for the usual steps of its task; it is proportional
            to 1 / √steps.
        longer: task -> factor of `short`, 1 if it has none.
        moves: share of trials that learn, on all tasks but the hard ones.
    """

    bits: ByArch
    relu_bits: float
    exponent: float
    unrolled: Callable[[float], float]
    samples_over_bits: float
    excess: ByArch
    size_factor: ByArch
    by_units: bool
    learned: Mapping[int, ByArch]
    infeasible: Mapping[int, ByArch]
    solved: Mapping[int, ByArch]
    reruns: Mapping[str, Rerun]
    gap: float = 0.8
    patience: float = 8.0
    slow: ByArch = dataclasses.field(default_factory=dict)
    luck: float = 0.02
    short: float = 0.03
    longer: Mapping[str, float] = dataclasses.field(default_factory=dict)
    rarer: Mapping[str, float] = dataclasses.field(default_factory=dict)
    lowest: float = 0.05
    late: ByArch = dataclasses.field(default_factory=dict)
    late_power: float = 0.0
    moves: float = 0.6


def _each(archs: tuple[str, ...], *values: float) -> dict[str, float]:
    return dict(zip(archs, values, strict=True))


_ALL = paper.ARCHS
_APP_1 = {
    arch: Rerun(row["mean"] / row.original, row["sd/mean"], row.infeasible)
    for arch, row in paper.TABLE_APP_1.iterrows()
}

#: The paper's results.
PAPER = Truth(
    # Section 2.1.2: 5 bits on average, the order, and 3.5 bits with ReLU; the differences within
    # "3 to 6 bits" are assumed.
    bits=_each(paper.CAPACITY_ORDER, 5.4, 5.2, 5.0, 4.8, 4.6),
    relu_bits=paper.RELU_BITS_PER_PARAMETER,
    exponent=1.0,
    # Figure 2b: grows for a few steps, then saturates.
    unrolled=lambda steps: 1 - 0.5**steps,
    # Figure App.1: "only slightly larger".
    samples_over_bits=1.1,
    excess=dict.fromkeys(_ALL, 0.0),
    # Figure 3: "only a small factor"; its size is assumed.
    size_factor=_each(_ALL, 1.0, 1.15, 1.05, 1.1, 1.15, 1.2),
    by_units=False,
    # Shares that reproduce the t-statistics of table App.2, for losses that are at chance unless a
    # trial learns.
    learned={
        1: _each(_ALL[:5], 0.08, 0.40, 0.52, 0.62, 0.47),
        8: _each(_ALL, 0.042, 0.046, 0.068, 0.08, 0.03, 0.51),
    },
    infeasible={depth: paper.TABLE_1[depth].dropna().to_dict() for depth in (1, 8)},
    # Figure 4: gated architectures solve the tasks soon; the RNN and the IRNN eventually at depth
    # 1, and never at depth 8. The shares are assumed.
    solved={
        1: _each(_ALL[:5], 0.005, 0.005, 0.1, 0.1, 0.1),
        8: _each(_ALL, 0.0, 0.0, 0.02, 0.02, 0.02, 0.1),
    },
    reruns=_APP_1,
)

#: The paper's results without any noise: every trial reaches the limit.
PERFECT = dataclasses.replace(PAPER, gap=0.0, luck=0.0, short=0.0, moves=1.0)


def but(**changes: object) -> Truth:
    """The paper's results, except for these parameters."""
    return dataclasses.replace(PAPER, **changes)  # type: ignore[arg-type]


#: The paper's results, except where a laptop's trials are known to differ.
LAPTOP = but(
    # The first 500 trials of results/figure_5: shares at depth 1, for 10,000 parameters and 1,000
    # to 4,000 steps. The smallest loss was 0.51 of chance.
    learned={**PAPER.learned, 1: _each(_ALL[:5], 0.005, 0.02, 0.115, 0.18, 0.07)},
    infeasible={**PAPER.infeasible, 1: _each(_ALL[:5], 0.09, 0.48, 0.04, 0.01, 0.005)},
    lowest=0.5,
    solved={depth: dict.fromkeys(shares, 0.0) for depth, shares in PAPER.solved.items()},
    # After 10,000 steps of arithmetic, losses only start to fall below chance; the factor is
    # assumed.
    rarer={"arithmetic": 0.1},
    # An RNN of 2,647 parameters stored 3.17 bits per parameter after 20,000 steps and 3.44 after
    # 60,000. The other architectures are to the RNN as in results/figure_1, and the +RNN is
    # assumed.
    bits=_each(paper.CAPACITY_ORDER, 3.8, 2.7, 2.6, 2.25, 2.15),
    relu_bits=2.0,
    # The same RNN, and a GRU: 1.701 nats after 4,000 steps of text8, and 1.666 after 8,000;
    # 0.777 and 0.628 on rcf.
    longer={"capacity": 3.5, "rcf": 6.6},
    # One in six random capacity trials in results/figure_1 came close to the best.
    moves=0.4,
    # The mean deviations in results/figure_2c. Random trials left the RNN and the IRNN at 0.45 and
    # 0.2 there; the task's defaults, from which the design starts, gave them 0.13 and 0.07 at
    # 10,000 parameters, and 0.00 and 0.02 at 40,000.
    excess=_each(_ALL, 0.065, 0.045, 0.0, 0.01, 0.02, 0.0),
)


def _reversed(values: ByArch) -> ByArch:
    """The same values, with architectures in the opposite order of size."""
    order = sorted(values, key=values.__getitem__)
    return {arch: values[other] for arch, other in zip(order, reversed(order), strict=True)}


def _with(values: Mapping[int, ByArch], depth: int, **changes: float) -> Mapping[int, ByArch]:
    return {**values, depth: {**values[depth], **changes}}


_FIVE = dict.fromkeys(paper.CAPACITY_ORDER, 5.0)
_SAME = {depth: dict.fromkeys(of, 0.3) for depth, of in PAPER.learned.items()}
_UNSOLVED = {depth: dict.fromkeys(of, 0.0) for depth, of in PAPER.solved.items()}
_OFTEN = {depth: dict.fromkeys(of, 0.3) for depth, of in PAPER.infeasible.items()}
#: Claim -> truths under which it is false.
BREAKING: dict[str, tuple[Truth, ...]] = {
    "linear": (
        but(exponent=0.8),
        but(exponent=1.2),
        # Larger networks need more steps, which hides the faster growth.
        but(exponent=1.2, short=0.3, late_power=0.4),
    ),
    "five_bits": (
        *(but(bits=dict.fromkeys(_FIVE, x), relu_bits=x) for x in (2.4, 7.5)),
        # More bits than five, of which training so far finds five.
        but(bits=dict.fromkeys(_FIVE, 8.0), relu_bits=8.0, short=0.35),
    ),
    "similar_capacity": (
        but(bits={**_FIVE, "lstm": 2.2}, relu_bits=2.0),
        but(bits={**dict.fromkeys(_FIVE, 3.0), "rnn": 8.0}, relu_bits=2.0),
        # The LSTM stores more than twice as much, but only after many more steps.
        but(bits={**dict.fromkeys(_FIVE, 2.4), "lstm": 6.0}, relu_bits=2.0, late={"lstm": 20.0}),
    ),
    "capacity_order": (
        but(bits=_FIVE),
        but(bits=_reversed(PAPER.bits)),
        # All store the same, but the more gates there are, the longer a search takes.
        but(bits=_FIVE, slow=dict(zip(_FIVE, (0.5, 1, 2, 4, 8), strict=True))),
        # All can store the same, but the more gates there are, the more steps they need.
        but(bits=_FIVE, short=0.05, late=dict(zip(_FIVE, (1, 3, 5, 7, 9), strict=True))),
        but(bits=_FIVE, short=0.02, late=dict(zip(_FIVE, (1, 2, 3, 4, 5), strict=True))),
    ),
    "relu": (but(relu_bits=5.3), but(relu_bits=4.9)),
    "unrolling": (
        but(unrolled=lambda steps: 1.0),
        but(unrolled=lambda steps: 0.2 + 0.2 * math.log2(steps)),
        but(unrolled=lambda steps: 1.0 - 0.1 * math.log2(steps)),
        but(unrolled=lambda steps: 0.2 + 0.1 * steps),
    ),
    "dataset_size": (but(samples_over_bits=1.3), but(samples_over_bits=2.0)),
    "number_per_unit": (
        but(excess=dict.fromkeys(_ALL, 0.2)),
        but(excess={**PAPER.excess, "rnn": 0.2}),
        but(excess=dict.fromkeys(_ALL, -0.15)),
    ),
    "text8_equal": (
        but(size_factor={**PAPER.size_factor, "lstm": 3.0}),
        but(size_factor={**PAPER.size_factor, "rnn": 0.4}),
    ),
    "rcf_equal": (
        but(size_factor={**PAPER.size_factor, "lstm": 3.0}),
        but(size_factor={**PAPER.size_factor, "rnn": 0.4}),
    ),
    "per_unit_misleads": (but(by_units=True),),
    "gated_easier": (
        but(learned=_SAME, infeasible=_OFTEN, solved=_UNSOLVED),
        # The IRNN only diverges more often, and the RNN is as good as the gated ones.
        but(learned={**_SAME, 1: {**_SAME[1], "rnn": 0.3}}, solved=_UNSOLVED),
        but(learned=_with(PAPER.learned, 1, rnn=0.9, irnn=0.95)),
        # One gated architecture is worse than the others, and no better than the ungated ones.
        but(learned=_with(PAPER.learned, 1, lstm=0.08), solved=_UNSOLVED),
    ),
    "ungated_solve": (but(solved=_with(PAPER.solved, 1, rnn=0.0)),),
    "only_gated_deep": (
        but(solved=_with(PAPER.solved, 8, rnn=0.02)),
        but(solved=_UNSOLVED),
    ),
    "gru_most_trainable": (
        but(learned=_SAME, infeasible=_OFTEN, solved=_UNSOLVED),
        but(learned=_with(PAPER.learned, 1, lstm=0.9)),
    ),
    "plus_rnn_most_trainable": (
        but(learned=_SAME, infeasible=_OFTEN, solved=_UNSOLVED),
        but(learned=_with(PAPER.learned, 8, gru=0.9)),
    ),
    "gru_untuned": (
        but(learned=_SAME, infeasible=_OFTEN),
        but(learned=_with(PAPER.learned, 1, lstm=0.8)),
    ),
    "plus_rnn_untuned": (
        but(learned=_SAME, infeasible=_OFTEN),
        but(learned=_with(PAPER.learned, 8, gru=0.8)),
    ),
    "irnn_diverges": (
        but(infeasible=_with(_with(PAPER.infeasible, 1, irnn=0.3), 8, irnn=0.3)),
        but(infeasible=_with(PAPER.infeasible, 1, irnn=0.75)),
    ),
    "least_infeasible": (
        but(infeasible=_with(PAPER.infeasible, 1, lstm=0.22)),
        but(infeasible=_with(PAPER.infeasible, 8, gru=0.15)),
        but(infeasible=_OFTEN),
        # Few trials of most architectures diverge, as at a laptop's sizes.
        but(infeasible=_with(LAPTOP.infeasible, 1, lstm=0.025, gru=0.005)),
        but(infeasible=_with(LAPTOP.infeasible, 1, lstm=0.04, ugrnn=0.005)),
    ),
    "table_1": (
        but(infeasible=_OFTEN),
        but(infeasible=_with(PAPER.infeasible, 1, gru=0.3)),
    ),
    "table_app_2": (
        but(learned=_SAME),
        but(learned=_with(PAPER.learned, 1, lstm=0.8)),
        # Two architectures are better than the other three; there is no further order.
        but(learned=_with(PAPER.learned, 1, rnn=0.1, irnn=0.1, lstm=0.1, ugrnn=0.6, gru=0.6)),
    ),
    "reruns": (
        but(reruns=dict.fromkeys(_APP_1, Rerun(40.0, 0.5, 0.0))),
        but(reruns={**_APP_1, "gru": Rerun(100.0, 1.0, 0.0)}),
    ),
}
