"""Claims, findings, and the helpers that turn estimates into verdicts."""

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import pandas as pd

from tuning.report import paper
from tuning.report.statistics import Estimate

SUPPORTED, CONTRADICTED, TOO_FEW = "supported", "contradicted", "not enough runs"
#: Significance level of tests.
ALPHA = 0.05
#: Architectures that exist at depth 1.
SHALLOW = tuple(arch for arch in paper.ARCHS if arch != "+rnn")
#: Rule for claims that one architecture is the most trainable.
BEST_RULE = (
    "All architectures have runs on each task, and the named one has lower eval losses than every "
    "other by the Mann-Whitney test at p < 0.05 divided by the number of tests. Trials are assumed "
    "independent, and diverged trials rank last. Contradicted if another has lower eval losses "
    "than the named one by the same test."
)


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
        check: maps the trials to a `Finding`.
    """

    text: str
    source: str
    rule: str
    check: Callable[[pd.DataFrame], Finding]


def verdict(supported: bool, contradicted: bool) -> str:
    """Returns the verdict: contradiction outweighs support, and neither means too few runs."""
    return CONTRADICTED if contradicted else SUPPORTED if supported else TOO_FEW


def is_thorough(table: pd.DataFrame, task: str) -> bool:
    """Whether each row of `statistics.best` comes from at least as many trials as in the paper."""
    return bool(len(table)) and bool((table.trials >= paper.TRIALS[task]).all())


def has_all(table: pd.DataFrame, archs: Iterable[str] = SHALLOW) -> bool:
    """Whether a table has rows for all these architectures."""
    return set(archs) <= set(table.arch)


def say(estimate: Estimate, digits: int = 2) -> str:
    """Formats an estimate, without its interval if that is unbounded."""
    if math.isinf(estimate.low):
        return f"{estimate.value:.{digits}f}"
    return f"{estimate.value:.{digits}f} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"


def without_each_size(table: pd.DataFrame, estimate: Callable[[pd.DataFrame], float]) -> Estimate:
    """Jackknife over sizes: the interval is the range of estimates that leave one size out."""
    value, sizes = estimate(table), sorted(set(table.max_params))
    left_out = [estimate(table[table.max_params != size]) for size in sizes]
    if len(sizes) < 3 or any(map(math.isnan, left_out)):
        return Estimate(value, -math.inf, math.inf)
    return Estimate(value, min(value, *left_out), max(value, *left_out))
