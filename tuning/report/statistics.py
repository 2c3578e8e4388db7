"""Estimates from trials with 95 % confidence intervals."""

import itertools
import math
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


def welch(first: Sequence[float], second: Sequence[float]) -> tuple[float, float, float]:
    """Welch's t-test for equal means of two samples.

    Returns:
        (t, df, p). A negative t means that the second mean is larger, as in Table App.2. All are
        NaN if a sample has fewer than two values.
    """
    if min(len(first), len(second)) < 2:
        return math.nan, math.nan, math.nan
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


def parameter_factors(sizes: ArrayLike, losses: ArrayLike, archs: Sequence[str]) -> pd.Series:
    """Size that each architecture needs for equal loss, relative to the smallest.

    Least squares fits loss = a_arch + b log(size) with one slope for all architectures. An
    architecture then needs exp((a_arch - a_best) / -b) times the size of the best.

    Args:
        sizes: (n,) numbers of parameters or of units.
        losses: (n,) eval losses.
        archs: (n,) names.

    Returns:
        Series from architecture to factor; NaN if loss does not fall with size.
    """
    table = pd.DataFrame({"x": np.log(np.asarray(sizes, float)), "y": np.asarray(losses, float)})
    fall = slope(table.x, table.y, archs).value
    if not fall < 0:
        return pd.Series(math.nan, index=sorted(set(archs)))
    intercept = (table.y - fall * table.x).groupby(np.asarray(archs)).mean()
    return np.exp((intercept - intercept.min()) / -fall)
