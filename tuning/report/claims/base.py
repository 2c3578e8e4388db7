"""What a claim is, what runs say of it, and how verdicts follow."""

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

from tuning.report import paper
from tuning.report.statistics import Estimate

SUPPORTED, CONTRADICTED, TOO_FEW = "supported", "contradicted", "not enough runs"
#: p below which two samples differ.
ALPHA = 0.05
#: Architectures that there are at every depth.
SHALLOW = tuple(arch for arch in paper.ARCHS if arch != "+rnn")
#: Rule of the claims that one architecture is the most trainable.
BEST_RULE = (
    "Its trials have lower eval losses than those of each other architecture, all of which have "
    "runs, on each task; by Mann and Whitney's test, trials taken as independent, a divergence as "
    "the worst, p < 0.05 over the number of tests. Contradicted if another's are lower."
)


class Finding(NamedTuple):
    """What runs say of a claim.

    Attributes:
        ours: in numbers, with their uncertainty; empty if there is no run.
        runs: number of trainings behind it.
        verdict: "supported", "contradicted" or "not enough runs".
    """

    ours: str = ""
    runs: int = 0
    verdict: str = TOO_FEW


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim of the paper.

    Attributes:
        text: the claim.
        source: where the paper has it, and its number.
        rule: how the verdict follows.
        check: from the trials to a `Finding`.
    """

    text: str
    source: str
    rule: str
    check: Callable


def verdict(supported, contradicted):
    """Contradiction outweighs support; neither means too few runs."""
    return CONTRADICTED if contradicted else SUPPORTED if supported else TOO_FEW


def is_thorough(table, task):
    """Whether a search of each setting in a table of bests made as many trials as the paper's."""
    return bool(len(table)) and bool((table.trials >= paper.TRIALS[task]).all())


def has_all(table, archs=SHALLOW):
    """Whether a table has every one of some architectures."""
    return set(archs) <= set(table.arch)


def say(estimate, digits=2):
    """An estimate as text."""
    if math.isinf(estimate.low):
        return f"{estimate.value:.{digits}f}"
    return f"{estimate.value:.{digits}f} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"


def without_each_size(table, estimate):
    """An estimate from all sizes, its interval the range of those that leave one size out."""
    value, sizes = estimate(table), sorted(set(table.max_params))
    left_out = [estimate(table[table.max_params != size]) for size in sizes]
    if len(sizes) < 3 or any(map(math.isnan, left_out)):
        return Estimate(value, -math.inf, math.inf)
    return Estimate(value, min(value, *left_out), max(value, *left_out))
