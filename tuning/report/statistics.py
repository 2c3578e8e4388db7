"""Estimates from trials with 95 % confidence intervals."""

import itertools
import math
import warnings
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from tuning.report import paper

LEVEL = 0.95


class Estimate(NamedTuple):
    """A value and its 95 % confidence interval; NaN where the value is unknown."""

    value: float
    low: float
    high: float

    def within(self, low: float, high: float) -> bool:
        """Whether the whole interval lies in [low, high]."""
        return low <= self.low and self.high <= high

    def outside(self, low: float, high: float) -> bool:
        """Whether the whole interval lies outside [low, high]."""
        return self.high < low or self.low > high


def best(trials: pd.DataFrame, by: Iterable[str]) -> pd.DataFrame:
    """Best trial of each group: the smallest objective; ties go to the first run by name.

    The objective is measured on the `valid` split, so eval losses are free of selection bias.

    Args:
        trials: DataFrame of `trials.read`.
        by: columns that define a group.

    Returns:
        DataFrame with one row per group that has a feasible trial. Its additional column `trials`
        is the number of trials of the group's longest search, infeasible ones included. This number
        excludes random searches, trials stopped early, and searches whose trials all train for
        fewer than `paper.MIN_STEPS` steps.
    """
    by = list(by)
    longest = trials.groupby("study", observed=True).train_steps.transform("max")
    counted = (trials.algorithm != "random") & ~trials.stopped_early
    counted &= longest >= paper.MIN_STEPS
    studies = counted.groupby([trials[name] for name in (*by, "study")], observed=True).sum()
    counts = studies.groupby(by, observed=True).max().rename("trials").reset_index()
    feasible = trials[trials.objective.notna()]
    first = feasible.sort_values(["objective", "run"], kind="stable").groupby(by, observed=True)
    return first.head(1).merge(counts, on=by).sort_values(by).reset_index(drop=True)


def mean(values: ArrayLike) -> Estimate:
    """The mean with Student's interval, which is unbounded for a single value."""
    values = np.asarray(values, float)
    if not values.size:
        return Estimate(math.nan, math.nan, math.nan)
    if values.size == 1:
        return Estimate(float(values[0]), -math.inf, math.inf)
    half = stats.t.ppf((1 + LEVEL) / 2, values.size - 1) * stats.sem(values)
    return Estimate(float(values.mean()), float(values.mean() - half), float(values.mean() + half))


def share(count: int, total: int) -> Estimate:
    """The fraction count / total with Wilson's score interval."""
    if not total:
        return Estimate(math.nan, math.nan, math.nan)
    interval = stats.binomtest(int(count), int(total)).proportion_ci(LEVEL, method="wilson")
    return Estimate(count / total, float(interval.low), float(interval.high))


def share_difference(first: tuple[int, int], second: tuple[int, int]) -> Estimate:
    """Difference of two fractions, each given as (count, total), with Newcombe's interval.

    With Wilson's intervals [l1, u1] and [l2, u2] of the fractions p1 and p2, the ends are
    d - sqrt((p1 - l1)^2 + (u2 - p2)^2) and d + sqrt((u1 - p1)^2 + (p2 - l2)^2), d = p1 - p2.
    """
    (p, low_1, high_1), (q, low_2, high_2) = share(*first), share(*second)
    below, above = math.hypot(p - low_1, high_2 - q), math.hypot(high_1 - p, q - low_2)
    return Estimate(p - q, p - q - below, p - q + above)


def slope(x: ArrayLike, y: ArrayLike, groups: Sequence | None = None) -> Estimate:
    """Least-squares slope of y over x, with one intercept per group.

    Args:
        x, y: (n,) numbers.
        groups: (n,) labels; one group if None.

    Returns:
        The slope. Its interval is unbounded if no degrees of freedom are left.
    """
    table = pd.DataFrame({"x": np.asarray(x, float), "y": np.asarray(y, float)})
    labels = np.zeros(len(table)) if groups is None else np.asarray(groups)
    centred = table - table.groupby(labels).transform("mean")
    square = float((centred.x**2).sum())
    if not square:
        return Estimate(math.nan, math.nan, math.nan)
    value = float((centred.x * centred.y).sum()) / square
    freedom = len(table) - len(set(labels.tolist())) - 1
    if freedom < 1:
        return Estimate(value, -math.inf, math.inf)
    residual = float(((centred.y - value * centred.x) ** 2).sum())
    half = stats.t.ppf((1 + LEVEL) / 2, freedom) * math.sqrt(residual / freedom / square)
    return Estimate(value, value - half, value + half)


def welch(first: ArrayLike, second: ArrayLike) -> tuple[float, float, float]:
    """Welch's t-test for equal means of two samples.

    Returns:
        (t, df, p). A negative t means that the second mean is larger, as in Table App.2. All are
        NaN if a sample has fewer than two values.
    """
    if min(np.size(first), np.size(second)) < 2:
        return math.nan, math.nan, math.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # All values of a sample may be equal.
        result = stats.ttest_ind(first, second, equal_var=False)
    return float(result.statistic), float(result.df), float(result.pvalue)


def multipliers(bests: pd.DataFrame) -> pd.DataFrame:
    """Ratio of the parameters that two architectures need for equal capacity (figure 1i).

    Let c be bits per parameter, averaged over the depths and sizes that both have. Then column x
    needs c_y / c_x times the parameters of row y.

    Args:
        bests: DataFrame of `best` by arch, depth and max_params, of capacity trials.

    Returns:
        DataFrame with rows y and columns x; NaN for pairs without a size at which both store bits.
    """
    stored = bests[bests.bits_per_parameter > 0]
    cells = stored.pivot_table("bits_per_parameter", ["depth", "max_params"], "arch", observed=True)
    factors = pd.DataFrame(math.nan, cells.columns, cells.columns)
    for y, x in itertools.product(cells.columns, repeat=2):
        both = cells[cells[y].notna() & cells[x].notna()]
        if len(both):
            factors.loc[y, x] = both[y].mean() / both[x].mean()
    return factors


def learned(trials: pd.DataFrame) -> pd.Series:
    """Amount that each trial learned, on `valid`: stored bits of capacity, else chance - loss."""
    below = trials.chance_loss - trials.objective
    return below.where(trials.task != "capacity", -trials.objective)


def equal_trials(trials: pd.DataFrame, block: Iterable[str]) -> pd.DataFrame:
    """The first n trials of each study, with the same n for all architectures of a block.

    In each block, every architecture's longest study is considered, and n is the length of the
    shortest of these. Studies of fewer than n trials are left out.
    """
    studies = trials.groupby("study", observed=True)
    size = studies.run.transform("size")
    arch = size.groupby([trials[name] for name in (*block, "arch")], observed=True).transform("max")
    most = arch.groupby([trials[name] for name in block], observed=True).transform("min")
    return trials[(studies.cumcount() < most) & (size >= most)]


def searches(trials: pd.DataFrame, by: Iterable[str], tolerance: float) -> pd.DataFrame:
    """Best trial of each study, and its gain from doubling the effort.

    The gain is the improvement of the best trial over the best at half the effort, as a fraction of
    the amount that it `learned`. Half the effort is the better of two: the first half of the
    study's trials, and studies of the same setting with at most half the steps. These shorter
    studies are left out of the result.

    Args:
        trials: DataFrame of `trials.read`; the trials of a study are in the order of proposal.
        by: columns that define a setting.
        tolerance: largest gain of a converged study.

    Returns:
        DataFrame as of `best` with one row per study, and the additional columns `gain`, a
        fraction, and `converged`.
    """
    by = list(by)
    table = trials.assign(learned=learned(trials))
    groups = table.groupby("study", observed=True)
    first = groups.cumcount() < groups.learned.transform("size") // 2
    half = table[first].groupby("study", observed=True).learned.max()
    rows = best(trials, [*by, "study"])
    rows["learned"] = learned(rows)
    rows["steps"] = rows.study.map(groups.train_steps.max()).astype(float)
    most = rows.groupby(by, observed=True).steps.transform("max")
    shorter = rows[rows.steps <= most / 2].groupby(by, observed=True).learned.max()
    rows = rows[rows.steps > most / 2].merge(
        shorter.rename("shorter").reset_index(), on=by, how="left"
    )
    before = np.fmax(rows.study.map(half).astype(float), rows.shorter)
    rows["gain"] = (1 - before / rows.learned.where(rows.learned > 0)).clip(lower=0)
    rows["converged"] = rows.gain <= tolerance
    return rows.drop(columns=["learned", "steps", "shorter"])


def contrasts(
    values: ArrayLike,
    gains: ArrayLike,
    archs: Sequence[str],
    blocks: Sequence,
    level: float = LEVEL,
) -> dict[tuple[str, str], Estimate]:
    """Differences between architectures in an additive model, value = arch + block + noise.

    Least squares uses all values; the noise has the same variance everywhere. In a complete table
    the estimate is the mean difference over blocks. As searches stop short of the best, each
    interval is widened by the mean further gain of either architecture.

    Args:
        values: (n,) numbers.
        gains: (n,) largest further change of each value; all have the same sign.
        archs: (n,) names.
        blocks: (n,) labels of the settings in which architectures are compared.
        level: level of the intervals, apart from the gains.

    Returns:
        (first, second) -> first minus second, for each pair that has been compared in a block,
        directly or through others.
    """
    y, gains = np.asarray(values, float), np.asarray(gains, float)
    names, of_arch = np.unique(np.asarray(archs, str), return_inverse=True)
    places, of_block = np.unique(np.asarray(blocks, str), return_inverse=True)
    design = np.zeros((len(y), len(names) + len(places)))
    design[np.arange(len(y)), of_arch] = 1
    design[np.arange(len(y)), len(names) + of_block] = 1
    gram = design.T @ design
    inverse = np.linalg.pinv(gram, hermitian=True)
    fitted = inverse @ design.T @ y
    freedom = len(y) - int(np.linalg.matrix_rank(gram, hermitian=True)) if len(y) else 0
    variance = ((y - design @ fitted) ** 2).sum() / freedom if freedom > 0 else math.inf
    found = {}
    for first, second in itertools.permutations(range(len(names)), 2):
        contrast = np.zeros(len(gram))
        contrast[first], contrast[second] = 1, -1
        if not np.allclose(gram @ inverse @ contrast, contrast):
            continue
        value = float(contrast @ fitted)
        half = math.inf
        if freedom > 0:
            spread = math.sqrt(variance * max(0.0, float(contrast @ inverse @ contrast)))
            half = float(stats.t.ppf((1 + level) / 2, freedom)) * spread
        up, down = (gains[of_arch == each].mean() for each in (first, second))
        low, high = min(up, 0) - max(down, 0), max(up, 0) - min(down, 0)
        pair = str(names[first]), str(names[second])
        found[pair] = Estimate(value, value - half + low, value + half + high)
    return found


def size_factors(
    sizes: ArrayLike,
    losses: ArrayLike,
    gains: ArrayLike,
    archs: Sequence[str],
    blocks: Sequence,
    level: float = LEVEL,
) -> dict[tuple[str, str], Estimate]:
    """Logarithm of the ratio of sizes that two architectures need for equal loss.

    Least squares fits loss = a_arch + b log(size). Then the first architecture needs
    exp((a_first - a_second) / -b) times the size of the second.

    Args:
        sizes: (n,) numbers of parameters or of units.
        losses: (n,) eval losses.
        gains: (n,) largest further fall of each loss.
        archs: (n,) names.
        blocks: (n,) labels of the settings in which architectures are compared.
        level: level of the intervals, which take b as known.

    Returns:
        (first, second) -> log factor; empty if loss does not fall with size.
    """
    x, y = np.log(np.asarray(sizes, float)), np.asarray(losses, float)
    fall = slope(x, y, archs).value
    if not fall < 0:
        return {}
    return contrasts((y - fall * x) / -fall, np.asarray(gains) / fall, archs, blocks, level)
