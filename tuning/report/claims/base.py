"""Claims, findings, and the helpers that turn estimates into verdicts."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd

from tuning.report import paper, statistics
from tuning.report.claims import floors
from tuning.report.selection import SIZE, found_by_search, of_paper
from tuning.report.statistics import Estimate

SUPPORTED, CONTRADICTED, TOO_FEW = "supported", "contradicted", "not enough runs"
#: Significance level of tests.
ALPHA = 0.05
#: Architectures that exist at depth 1.
SHALLOW = tuple(arch for arch in paper.ARCHS if arch != "+rnn")


class Finding(NamedTuple):
    """Result of a claim's check.

    Attributes:
        result: measured numbers with their intervals, as text; empty if there is no run.
        runs: number of training runs used.
        verdict: "supported", "contradicted" or "not enough runs".
    """

    result: str = ""
    runs: int = 0
    verdict: str = TOO_FEW


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim of the paper.

    Attributes:
        text: the claim.
        source: its section, figure or table in the paper, and the paper's result.
        rule: rule that decides the verdict.
        decide: maps trials above all floors to a `Finding`.
    """

    text: str
    source: str
    rule: str
    decide: Callable[[pd.DataFrame], Finding]

    def check(self, trials: pd.DataFrame) -> Finding:
        """Judge the claim by trials that pass the floors and are not in `floors.SEEN`.

        If there are none, the result describes the trials in `floors.SEEN` and of unfinished
        studies, without a verdict.
        Trials of architectures and tasks outside the paper are ignored.
        """
        trials = of_paper(trials)
        found = floors.evidence(trials[~floors.seen(trials)])
        finding = self.decide(found) if len(found) else Finding()
        if finding.runs:
            return finding
        found = floors.evidence(trials.assign(is_partial=False))
        result, runs, _ = self.decide(found) if len(found) else Finding()
        return Finding(f"{result} ({NO_EVIDENCE})" if result else "", runs)


#: Suffix of results that give no verdict.
NO_EVIDENCE = (
    "from trials known when the rules were written or of unfinished studies, so no evidence"
)


def verdict(supported: bool, contradicted: bool) -> str:
    """Return the verdict: contradiction outweighs support, and neither means too few runs."""
    return CONTRADICTED if contradicted else SUPPORTED if supported else TOO_FEW


def bests(trials: pd.DataFrame, by: Iterable[str] = SIZE, over: str = "arch") -> pd.DataFrame:
    """Best trial of each converged search, at equal steps and trials; see `statistics.searches`.

    Args:
        trials: DataFrame of `trials.read`.
        by: columns that define a setting.
        over: the one of them that is compared, while the others are equal.

    Returns:
        DataFrame as of `statistics.searches`.
    """
    table = searches(trials, by, over)
    return table[table.converged]


def searches(trials: pd.DataFrame, by: Iterable[str] = SIZE, over: str = "arch") -> pd.DataFrame:
    """Same as `bests`, with searches that have not converged."""
    block = [name for name in by if name != over]
    own = found_by_search(trials)
    equal = statistics.equal_trials(statistics.equal_steps(own, block, over), block, over)
    return statistics.searches(equal, by, floors.CONVERGENCE, own)


def is_thorough(table: pd.DataFrame, task: str) -> bool:
    """Whether each row of `statistics.best` comes from at least as many trials as in the paper."""
    return bool(len(table)) and bool((table.trials >= paper.TRIALS[task]).all())


def has_all(table: pd.DataFrame, archs: Iterable[str] = SHALLOW) -> bool:
    """Whether a table has rows for all these architectures."""
    return set(archs) <= set(table.arch)


def blocks(table: pd.DataFrame) -> list[str]:
    """Label of each row's depth and size."""
    return [f"{d} {n}" for d, n in zip(table.depth, table.max_params, strict=True)]


def say(estimate: Estimate, digits: int = 2) -> str:
    """Format an estimate, without its interval if that is unbounded."""
    if math.isinf(estimate.high):
        return f"{estimate.value:.{digits}f}"
    return f"{estimate.value:.{digits}f} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"


def exp(estimate: Estimate) -> Estimate:
    """Estimate of the exponential of an estimated value."""
    with np.errstate(over="ignore"):
        return Estimate(*map(float, np.exp(estimate)))


def ratios_within(
    pairs: Callable[[float], dict[tuple[str, str], Estimate]], limit: float, archs: Iterable[str]
) -> tuple[Estimate, bool, bool]:
    """Decides whether no pair's ratio exceeds a limit.

    Args:
        pairs: maps the level of intervals to (first, second) -> log ratio, in both orders.
        limit: the largest ratio.
        archs: architectures that must all have been compared with each other.

    Returns:
        (the largest ratio, whether all intervals lie within the limit and no pair is missing,
        whether one lies beyond it at a level corrected for the number of pairs).
    """
    found = pairs(statistics.LEVEL)
    if not found:
        return Estimate(math.nan, math.nan, math.nan), False, False
    stricter = pairs(1 - 2 * ALPHA / len(found))
    largest = exp(max(found.values()))
    within = found.keys() >= set(itertools.permutations(archs, 2))
    within &= all(each.high <= math.log(limit) for each in found.values())
    return largest, within, any(each.low > math.log(limit) for each in stricter.values())
