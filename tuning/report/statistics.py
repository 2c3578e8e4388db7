"""Estimates from trials, with their uncertainty; all intervals are of 95 %."""

import itertools
import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from tuning.report import paper

LEVEL = 0.95


class Estimate(NamedTuple):
    """A number and the interval that holds it in 95 of 100 repetitions; NaN where none is known."""

    value: float
    low: float
    high: float

    def within(self, low, high):
        """Whether the whole interval lies in [low, high]."""
        return low <= self.low and self.high <= high

    def outside(self, low, high):
        """Whether no part of the interval lies in [low, high]."""
        return self.high < low or self.low > high


def best(trials, by):
    """The trial that a search keeps in each group: the least objective, of equals the first.

    The objective is of the split valid, so that a plot of eval losses has no selection in it.

    Args:
        trials: DataFrame of `trials.read`.
        by: columns that make a group.

    Returns:
        DataFrame, a row a group that has a feasible trial, with a column `trials` more: how many
        the longest of the group's searches made, infeasible ones among them. A random search, what
        was stopped early, and searches of short trainings (`paper.MIN_STEPS`) are not counted.
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


def mean(values):
    """The mean as an `Estimate`, by Student's t; of one value, an interval without ends."""
    values = np.asarray(values, float)
    if not values.size:
        return Estimate(math.nan, math.nan, math.nan)
    if values.size == 1:
        return Estimate(float(values[0]), -math.inf, math.inf)
    half = stats.t.ppf((1 + LEVEL) / 2, values.size - 1) * stats.sem(values)
    return Estimate(float(values.mean()), float(values.mean() - half), float(values.mean() + half))


def share(count, total):
    """A share as an `Estimate`, by Wilson's score interval."""
    if not total:
        return Estimate(math.nan, math.nan, math.nan)
    interval = stats.binomtest(int(count), int(total)).proportion_ci(LEVEL, method="wilson")
    return Estimate(count / total, float(interval.low), float(interval.high))


def share_difference(first, second):
    """First minus second share, each (count, total), as an `Estimate` by Newcombe's method.

    From Wilson's intervals of both: d - sqrt((p1 - l1)^2 + (u2 - p2)^2) is its low end, and so on.
    """
    (p, low_1, high_1), (q, low_2, high_2) = share(*first), share(*second)
    below, above = math.hypot(p - low_1, high_2 - q), math.hypot(high_1 - p, q - low_2)
    return Estimate(p - q, p - q - below, p - q + above)


def slope(x, y, groups=None):
    """The slope of y over x by least squares, as an `Estimate`; each group has its own intercept.

    Args:
        x, y: (n,) numbers.
        groups: (n,) labels; all in one group if None.

    Returns:
        The slope; its interval has no ends where nothing is left to judge it by.
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


def welch(first, second):
    """Welch's t-test for equal means of two samples.

    Returns:
        (t, df, p). A negative t says that the second mean is the larger, as in Table App.2. NaN
        where a sample has fewer than two values.
    """
    if min(len(first), len(second)) < 2:
        return math.nan, math.nan, math.nan
    result = stats.ttest_ind(first, second, equal_var=False)
    return float(result.statistic), float(result.df), float(result.pvalue)


def multipliers(bests):
    """How many times the parameters an architecture needs to store what another one stores.

    Figure 1i: with c the bits per parameter, averaged over the depths and sizes that both have,
    column x needs c_y / c_x times row y's parameters.

    Args:
        bests: DataFrame of `best` by arch, depth and max_params, of capacity trials.

    Returns:
        DataFrame, rows y, columns x; NaN where two have no size in common, or store nothing.
    """
    stored = bests[bests.bits_per_parameter > 0]
    cells = stored.pivot_table("bits_per_parameter", ["depth", "max_params"], "arch", observed=True)
    factors = pd.DataFrame(math.nan, cells.columns, cells.columns)
    for y, x in itertools.product(cells.columns, repeat=2):
        both = cells[cells[y].notna() & cells[x].notna()]
        if len(both):
            factors.loc[y, x] = both[y].mean() / both[x].mean()
    return factors


def parameter_factors(sizes, losses, archs):
    """How many times the size each architecture needs for the loss of the least demanding one.

    Loss is modelled as a_arch + b log(size), one slope for all, by least squares. An architecture
    then needs exp((a_arch - a_best) / -b) times the size.

    Args:
        sizes: (n,) numbers of parameters, or of units.
        losses: (n,) eval losses.
        archs: (n,) names.

    Returns:
        Series from architecture to factor; NaN where loss does not fall with size.
    """
    table = pd.DataFrame({"x": np.log(np.asarray(sizes, float)), "y": np.asarray(losses, float)})
    fall = slope(table.x, table.y, archs).value
    if not fall < 0:
        return pd.Series(math.nan, index=sorted(set(archs)))
    intercept = (table.y - fall * table.x).groupby(np.asarray(archs)).mean()
    return np.exp((intercept - intercept.min()) / -fall)
