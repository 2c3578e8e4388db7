"""Estimates from trials with 95 % confidence intervals."""

import itertools
import math
import warnings
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import special, stats

from tuning.report import paper

LEVEL = 0.95
#: Most values outside the largest tie for which `mann_whitney` is exact.
MOST_UNTIED = 40


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
    names = dict.fromkeys([*by, "study"])  # `by` may have the study
    studies = counted.groupby([trials[name] for name in names], observed=True).sum()
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


def fisher(first: tuple[int, int], second: tuple[int, int]) -> float:
    """Fisher's exact p-value for equal fractions, each given as (count, total)."""
    return float(stats.fisher_exact([[n, total - n] for n, total in (first, second)]).pvalue)


def share_ratio(first: tuple[int, int], second: tuple[int, int]) -> Estimate:
    """Ratio of two fractions, each given as (count, total), with Katz's interval.

    Half a count is added to all counts, so that none is zero (Walter, 1975).
    """
    if not first[1] or not second[1]:
        return Estimate(math.nan, math.nan, math.nan)
    a, m, b, n = (count + 0.5 for count in (*first, *second))
    value = math.log(a / m) - math.log(b / n)
    half = stats.norm.ppf((1 + LEVEL) / 2) * math.sqrt(1 / a - 1 / m + 1 / b - 1 / n)
    return Estimate(*map(math.exp, (value, value - half, value + half)))


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


def mann_whitney(first: ArrayLike, second: ArrayLike) -> tuple[float, float]:
    """The two-sided Mann-Whitney test, whatever the ties.

    Most losses may be tied, such as those at chance. The normal approximation then finds too many
    differences, so p is exact, given all values, unless more than `MOST_UNTIED` of them are outside
    the largest tie: the number of these that are in the first sample has the hypergeometric
    distribution, and all subsets of that size are equally probable.

    Args:
        first, second: (m,) and (n,) numbers.

    Returns:
        (fraction of the pairs in which the value of `first` is the smaller one, where ties count
        half; p). They are 0.5 and 1 if there is nothing to compare.
    """
    size, total = np.size(first), np.size(first) + np.size(second)
    ranks = stats.rankdata(np.concatenate([first, second]))
    if not 0 < size < total or np.ptp(ranks) == 0:
        return 0.5, 1.0
    smaller = 1 - (ranks[:size].sum() - size * (size + 1) / 2) / (size * (total - size))
    doubled = np.round(2 * ranks).astype(int)  # ties have mean ranks
    shifts = doubled - np.bincount(doubled).argmax()
    others = shifts[shifts != 0]
    if len(others) > MOST_UNTIED:
        return float(smaller), float(stats.mannwhitneyu(first, second, method="asymptotic").pvalue)
    # ways[j, s]: subsets of j values by the sum of their shifts; column 0 is the smallest sum.
    lowest, highest = others[others < 0].sum(), others[others > 0].sum()
    ways = np.zeros((len(others) + 1, highest - lowest + 1))
    ways[0, -lowest] = 1
    for shift in others:
        ways[1:] += np.roll(ways[:-1], shift, axis=1)  # sums do not leave the range
    chosen = np.arange(len(others) + 1)
    odds = stats.hypergeom.pmf(chosen, total, len(others), size) / special.comb(len(others), chosen)
    tails, found = odds @ ways, shifts[:size].sum() - lowest
    return float(smaller), float(min(1.0, 2 * min(tails[: found + 1].sum(), tails[found:].sum())))


def shift(first: ArrayLike, second: ArrayLike) -> Estimate:
    """Hodges and Lehmann's estimate of by how much the values of `first` are larger.

    It is the median of the differences of all pairs. The interval holds the shifts of `first` that
    `mann_whitney` does not reject; it is unbounded if the samples are too small to reject any.

    Source: Hodges and Lehmann 1963; Hollander, Wolfe and Chicken 2014, section 4.3.
    """
    first = np.asarray(first, float)
    differences = np.subtract.outer(first, np.asarray(second, float)).ravel()
    if not differences.size:
        return Estimate(math.nan, math.nan, math.nan)
    value, ends = float(np.median(differences)), np.unique(differences)
    # The test's result changes only where a shift equals a difference.
    between = [ends[0] - 1, *(ends[1:] + ends[:-1]) / 2, ends[-1] + 1]
    accepts = [mann_whitney(first - each, second)[1] > 1 - LEVEL for each in between]
    kept = np.flatnonzero(accepts)
    if not kept.size:
        return Estimate(value, value, value)
    ends = np.array([-math.inf, *ends, math.inf])
    return Estimate(value, float(ends[kept[0]]), float(ends[kept[-1] + 1]))


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

    Let c be bits per parameter, averaged over the depths and sizes that both have, and there over
    the seeds. Then column x needs c_y / c_x times the parameters of row y.

    Args:
        bests: DataFrame of `best` by arch, depth, max_params and seed, of capacity trials.

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


def expected_best(values: ArrayLike, count: int) -> float:
    """Expected largest of `count` values drawn without replacement.

    Of the C(n, count) subsets of n values, C(i - 1, count - 1) have the i-th smallest value as
    their largest.
    """
    ordered = np.sort(np.asarray(values, float))[count - 1 :]
    subsets = special.gammaln(np.arange(count, len(ordered) + count))
    subsets -= special.gammaln(np.arange(1, len(ordered) + 1))  # log C(i - 1, count - 1) + constant
    return float(ordered @ special.softmax(subsets))


def steps(trials: pd.DataFrame) -> pd.Series:
    """Training steps of each trial: those done if it was stopped early, else those planned."""
    return trials.steps_done.where(trials.stopped_early, trials.train_steps)


def budgets(trials: pd.DataFrame) -> pd.Series:
    """Most training steps that each trial's study allows.

    If a study names none, or has not used even half of them, those of its longest trial are taken.
    """
    longest = trials.groupby("study", observed=True).train_steps.transform("max")
    return trials.max_steps.where(trials.max_steps < 2 * longest, longest)


def equal_steps(trials: pd.DataFrame, block: Iterable[str], over: str = "arch") -> pd.DataFrame:
    """The studies with the largest number of steps that all architectures of a block have.

    Numbers of steps within a quarter of each other are taken as equal, because the longest trial of
    a study is somewhat shorter than the study allows.

    Args:
        trials: DataFrame of `trials.read`.
        block: columns that define the settings in which architectures are compared.
        over: column that is compared, if not the architecture.
    """
    if not len(trials):
        return trials
    most = budgets(trials)
    common = _least(most, trials, block, over)
    return trials[(most <= 1.25 * common) & (common <= 1.25 * most)]


def equal_trials(trials: pd.DataFrame, block: Iterable[str], over: str = "arch") -> pd.DataFrame:
    """The first n trials of each study, with the same n for all architectures of a block.

    In each block, every architecture's longest study is considered, and n is the length of the
    shortest of these. Studies of fewer than n trials are left out. Arguments are those of
    `equal_steps`.
    """
    studies = trials.groupby("study", observed=True)
    size = studies.run.transform("size")
    common = _least(size, trials, block, over)
    return trials[(studies.cumcount() < common) & (size >= common)]


def _least(values, trials, block, over):
    """The smallest of all architectures' largest values, for each row's block."""
    block = [trials[name] for name in block] or [np.zeros(len(trials))]
    largest = values.groupby([*block, trials[over]], observed=True).transform("max")
    return largest.groupby(block, observed=True).transform("min")


def searches(
    trials: pd.DataFrame,
    by: Iterable[str],
    tolerance: float,
    shorter: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Best trial of each study, and its gain from doubling the effort.

    The gain is the improvement over half the effort, as a fraction of the amount that the best
    trial `learned`. It is the largest of three:

    - over the first half of the study's trials, as a search improves with time;
    - over half of the trials in random order (`expected_best`), as one order may be lucky;
    - over the best trial with at most half the steps, in the study itself or in an equally long
      study of the same setting. Without such a trial the gain is unknown.

    Args:
        trials: DataFrame of `trials.read`; the trials of a study are in the order of proposal.
        by: columns that define a setting.
        tolerance: largest gain of a converged study.
        shorter: further trials, to find those with at most half the steps.

    Returns:
        DataFrame as of `best` with one row per study, and additional columns: `gain`, a fraction or
        NaN; `further`, the fraction that unlimited effort may yet add; and `converged`.
    """
    by = list(by)
    rows = best(trials, [*by, "study"])
    settings: dict[tuple, list] = {}
    for (*key, _), efforts in _studies(trials if shorter is None else shorter, by):
        settings.setdefault(tuple(key), []).append(efforts)
    own = {study: efforts for (study,), efforts in _studies(trials)}
    gains = [
        _gains(own[study], settings[key])
        for study, key in zip(rows.study, rows[by].itertuples(index=False, name=None), strict=True)
    ]
    rows[["gain", "further"]] = np.reshape(np.asarray(gains, float), (-1, 2))
    rows["converged"] = rows.gain <= tolerance
    return rows


def _studies(trials, by=()):
    """Yield ((setting, study), (what each trial learned, its steps)), in order of proposal."""
    amounts = trials.assign(learned=learned(trials).fillna(0).clip(lower=0), steps=steps(trials))
    for key, rows in amounts.groupby([*by, "study"], observed=True)[["learned", "steps"]]:
        yield key, rows.to_numpy().T


def _gains(own, others):
    """Gain of a study from doubling its trials or steps, and what unlimited effort may add.

    With more trials the shortfall falls at least as 1 / trials in a bounded range, so they may add
    as much again as their last doubling. With more steps it may fall as slowly as 1 / √steps, so
    they may add 1 / (√2 - 1) times as much. For the latter, the best trial with half the steps is
    compared at equal numbers of trials.

    Args:
        own: (what each trial learned, its steps).
        others: the same of studies of the same setting.
    """
    amounts, taken = own
    count, most = len(amounts), amounts.max()
    if count < 2 or not most > 0:
        return math.nan, math.nan
    half = min(amounts[: count // 2].max(), expected_best(amounts, count // 2))
    short = [
        reached[:count][steps_[:count] <= taken.max() / 2]
        for reached, steps_ in (own, *(each for each in others if len(each[0]) >= count))
    ]
    best_short = max((each for each in short if len(each)), key=np.max, default=np.array([]))
    if not len(best_short):
        return math.nan, math.nan
    before = best_short.max()
    by_trials, by_steps = 1 - half / most, 1 - before / expected_best(amounts, len(best_short))
    further = by_trials + max(0.0, by_steps) / (math.sqrt(2) - 1)
    return max(0.0, 1 - min(half, before) / most), further


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
