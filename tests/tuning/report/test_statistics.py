"""Estimates against SciPy, NumPy and closed forms."""

import itertools
import math

import numpy as np
import pytest
from report_rows import capacity, frame, trial
from scipy import stats

from tuning.report import statistics
from tuning.report.statistics import Estimate


def test_the_mean_has_students_interval():
    values = [3.0, 4.5, 4.0, 6.5]
    found = statistics.mean(values)
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    np.testing.assert_allclose(found, (4.5, low, high), rtol=1e-12)


def test_one_value_has_no_interval_and_none_no_mean():
    assert statistics.mean([2.0]) == (2.0, -math.inf, math.inf)
    assert all(map(math.isnan, statistics.mean([])))


def test_a_share_has_wilsons_interval():
    count, total, z = 7, 40, stats.norm.ppf(0.975)
    p = count / total
    centre = (p + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * math.sqrt(p * (1 - p) / total + z**2 / (4 * total**2))
    found = statistics.share(count, total)
    np.testing.assert_allclose(found, (p, centre - half, centre + half), rtol=1e-10)
    assert all(map(math.isnan, statistics.share(0, 0)))


def test_a_difference_of_shares_has_newcombes_interval():
    # Newcombe (1998), table II, 56/70 - 48/80: 0.0524 to 0.3339.
    found = statistics.share_difference((56, 70), (48, 80))
    np.testing.assert_allclose(found, (0.2, 0.0524, 0.3339), atol=5e-5)


def test_a_slope_is_scipys_where_there_is_one_group():
    generator = np.random.default_rng(0)
    x = generator.normal(size=12)
    y = 2 * x + generator.normal(size=12)
    theirs = stats.linregress(x, y)
    half = stats.t.ppf(0.975, 10) * theirs.stderr
    expected = (theirs.slope, theirs.slope - half, theirs.slope + half)
    np.testing.assert_allclose(statistics.slope(x, y), expected, rtol=1e-10)


def test_a_slope_with_groups_is_that_of_dummy_variables():
    generator = np.random.default_rng(1)
    groups = np.repeat(["a", "b", "c"], 6)
    x = generator.normal(size=18)
    y = 0.7 * x + (groups == "b") * 5 - (groups == "c") * 2 + generator.normal(size=18)
    design = np.column_stack([x, *(groups == name for name in "abc")])
    solution, residual, *_ = np.linalg.lstsq(design, y, rcond=None)
    variance = residual[0] / (18 - 4) * np.linalg.inv(design.T @ design)[0, 0]
    half = stats.t.ppf(0.975, 14) * math.sqrt(variance)
    expected = (solution[0], solution[0] - half, solution[0] + half)
    np.testing.assert_allclose(statistics.slope(x, y, groups), expected, rtol=1e-8)


def test_a_slope_that_nothing_judges_has_no_ends():
    assert statistics.slope([1, 2], [3, 5]) == (2.0, -math.inf, math.inf)
    assert math.isnan(statistics.slope([1, 1], [3, 5]).value)


def test_welchs_t_by_its_formula():
    first, second = [1.0, 2.0, 4.0, 8.0], [3.0, 5.0, 5.5]
    a, b = np.var(first, ddof=1) / 4, np.var(second, ddof=1) / 3
    t = (np.mean(first) - np.mean(second)) / math.sqrt(a + b)
    df = (a + b) ** 2 / (a**2 / 3 + b**2 / 2)
    expected = (t, df, 2 * stats.t.sf(abs(t), df))
    np.testing.assert_allclose(statistics.welch(first, second), expected, rtol=1e-10)
    # The second mean is larger, so t is negative, as in Table App.2.
    assert t < 0


def test_welch_needs_two_values_of_each():
    assert all(map(math.isnan, statistics.welch([1.0], [1.0, 2.0])))


@pytest.mark.parametrize("m, n", [(5, 5), (3, 8), (8, 12), (20, 19)])
def test_mann_whitney_without_ties_is_scipys(m, n):
    first, second = np.random.default_rng(m).normal(size=m), np.random.default_rng(n).normal(size=n)
    u, p = stats.mannwhitneyu(first, second, method="exact")
    wanted = 1 - u / (m * n), p
    np.testing.assert_allclose(statistics.mann_whitney(first, second), wanted, rtol=1e-10)


@pytest.mark.parametrize("seed", range(6))
def test_mann_whitney_with_ties_counts_all_permutations(seed):
    first, second = np.split(np.random.default_rng(seed).integers(0, 4, 10), [4])

    def wins(x, y):
        return (x[:, None] < y).mean() + (x[:, None] == y).mean() / 2

    wanted = stats.permutation_test((first, second), wins, n_resamples=np.inf).pvalue
    found = statistics.mann_whitney(first, second)
    np.testing.assert_allclose(found, (wins(first, second), wanted), rtol=1e-10)


def test_mann_whitney_of_few_learners_in_equal_samples_is_fishers_test():
    """Four of 40 learn, and none of 40 others: the normal approximation has p = 0.043."""
    learners, others = [0.3, 0.5, 0.6, 0.7] + 36 * [1.0], 40 * [1.0]
    wanted = stats.fisher_exact([[4, 36], [0, 40]]).pvalue
    assert wanted > 0.1
    for pair, share in (((learners, others), 0.55), ((others, learners), 0.45)):
        np.testing.assert_allclose(statistics.mann_whitney(*pair), (share, wanted), rtol=1e-10)


def test_mann_whitney_of_many_values_is_approximate():
    first, second = (
        np.random.default_rng(0).normal(0, 1, 80),
        np.random.default_rng(1).normal(1, 1, 60),
    )
    u, p = stats.mannwhitneyu(first, second)
    np.testing.assert_allclose(statistics.mann_whitney(first, second), (1 - u / 4800, p))
    most = statistics.MOST_UNTIED  # where both meet, they hardly differ
    for others in (most, most + 1):
        first = np.append(np.linspace(0, 0.9, others - 12), 70 * [1.0])
        second = np.append(np.linspace(0, 0.9, 12), 80 * [1.0])
        p = statistics.mann_whitney(first, second)[1]
        wanted = stats.mannwhitneyu(first, second).pvalue
        assert p == pytest.approx(wanted, rel=0.3) and (p == wanted) == (others > most)


@pytest.mark.parametrize("pair", [([], [1.0]), ([1.0], []), ([2.0, 2.0], [2.0])])
def test_mann_whitney_of_nothing_to_compare(pair):
    assert statistics.mann_whitney(*pair) == (0.5, 1.0)


@pytest.mark.parametrize("m, n, k", [(4, 12, 8), (4, 4, 1), (8, 12, 23)])
def test_a_shift_is_the_interval_between_tabulated_ranks_of_the_differences(m, n, k):
    """The k-th smallest and largest difference, with k of the tables for 95 %."""
    generator = np.random.default_rng(m * n)
    first, second = generator.normal(3, 1, m), generator.normal(0, 1, n)
    differences = np.sort([x - y for x in first for y in second])
    found = statistics.shift(first, second)
    wanted = np.median(differences), differences[k - 1], differences[-k]
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_the_interval_of_a_shift_holds_it_as_often_as_it_says():
    generator = np.random.default_rng(0)
    covered = []
    for _ in range(400):
        first, second = generator.exponential(size=4) + 0.3, generator.exponential(size=12)
        found = statistics.shift(first, second)
        covered.append(found.low <= 0.3 <= found.high)
    assert 0.93 < np.mean(covered) < 0.99


@pytest.mark.parametrize(
    "first, second, expected",
    [
        ([1.0], [3.0], (-2.0, -math.inf, math.inf)),
        (4 * [1.0], 12 * [0.4], (0.6, 0.6, 0.6)),
        ([], [1.0], (math.nan, math.nan, math.nan)),
    ],
)
def test_a_shift_of_samples_that_are_small_or_tied(first, second, expected):
    np.testing.assert_allclose(statistics.shift(first, second), expected)


def test_multipliers_are_ratios_of_capacities_at_common_sizes():
    bests = frame(
        capacity(5000.0, num_params=1000),
        capacity(4000.0, num_params=1000, arch="lstm"),
        capacity(9000.0, num_params=1000, max_params=2000),  # the LSTM lacks this size
        capacity(3000.0, num_params=1000, max_params=3000, arch="gru"),
    )
    table = statistics.multipliers(bests)
    # The LSTM (column) needs 5 / 4 times the parameters for the RNN's (row) capacity.
    assert table.loc["rnn", "lstm"] == 1.25
    assert table.loc["lstm", "rnn"] == 0.8
    assert table.loc["rnn", "rnn"] == 1.0
    assert math.isnan(table.loc["gru", "rnn"])


def test_contrasts_of_two_architectures_are_a_paired_t_test():
    rnn, gru = np.array([1.0, 2.5, 3.0, 5.0]), np.array([0.5, 2.7, 2.0, 4.4])
    archs, blocks = ["rnn"] * 4 + ["gru"] * 4, [*"abcd"] * 2
    found = statistics.contrasts([*rnn, *gru], np.zeros(8), archs, blocks)["rnn", "gru"]
    theirs = stats.ttest_rel(rnn, gru).confidence_interval()
    np.testing.assert_allclose(found, ((rnn - gru).mean(), theirs.low, theirs.high))
    # A further gain moves only the end towards which it leads.
    wider = statistics.contrasts([*rnn, *gru], [0] * 4 + [0.3] * 4, archs, blocks)["rnn", "gru"]
    np.testing.assert_allclose(np.subtract(wider, found), (0, -0.3, 0), atol=1e-12)
    falling = statistics.contrasts([*rnn, *gru], [-0.2] * 4 + [0] * 4, archs, blocks)
    np.testing.assert_allclose(np.subtract(falling["rnn", "gru"], found), (0, -0.2, 0), atol=1e-12)


def test_contrasts_need_a_common_block():
    found = statistics.contrasts(
        [1, 2, 3, 4, 5], np.zeros(5), ["rnn", "gru", "gru", "lstm", "+rnn"], [*"aabbc"]
    )
    # The RNN and the LSTM are compared through the GRU, the +RNN with nothing.
    assert found["rnn", "lstm"].value == pytest.approx(-2)
    assert not any("+rnn" in pair for pair in found)
    assert statistics.contrasts([], [], [], []) == {}


def test_size_factors_recover_planted_ratios():
    sizes = np.array([1e3, 1e4, 1e5] * 2)
    archs = np.repeat(["rnn", "lstm"], 3)
    losses = 3 - 0.1 * np.log(sizes / np.where(archs == "lstm", 1.3, 1.0))
    factors = statistics.size_factors(sizes, losses, np.zeros(6), archs, [*"abc"] * 2)
    np.testing.assert_allclose(np.exp(factors["lstm", "rnn"]), 1.3)
    # If the RNN's losses may yet fall by 0.01, the LSTM may need exp(0.1) times as much again.
    further = np.where(archs == "rnn", 0.01, 0.0)
    factors = statistics.size_factors(sizes, losses, further, archs, [*"abc"] * 2)
    np.testing.assert_allclose(np.exp(factors["lstm", "rnn"]), (1.3, 1.3, 1.3 * np.exp(0.1)))
    assert statistics.size_factors(sizes, -losses, further, archs, [*"abc"] * 2) == {}


def test_a_gain_is_that_of_the_second_half_of_the_trials():
    losses = [0.9, 0.5, 0.7, 0.4]
    rows = [trial("memory", loss, chance_loss=1.0) for loss in losses]
    found = statistics.searches(frame(*rows), ["arch"], 0.05)
    assert found.gain.tolist() == pytest.approx([1 - 0.5 / 0.6]) and not found.converged[0]


def test_one_lucky_trial_is_no_convergence():
    # The best is in the first half, but half of all halves miss it.
    losses = (0.55, 0.1, 0.55, 0.55)
    rows = [trial("memory", loss, chance_loss=1.0) for loss in losses]
    found = statistics.searches(frame(*rows), ["arch"], 0.05)
    assert found.gain.tolist() == pytest.approx([1 - (0.9 + 0.45) / 2 / 0.9])


def test_the_expected_best_is_the_mean_over_all_subsets():
    values = [3.0, 1.0, 4.0, 1.5, 9.0, 2.6]
    for count in range(1, 7):
        subsets = [max(each) for each in itertools.combinations(values, count)]
        assert statistics.expected_best(values, count) == pytest.approx(np.mean(subsets))
    assert statistics.expected_best(np.arange(2500.0), 1250) < 2499


def test_a_gain_is_unknown_without_trials_of_half_the_steps():
    rows = [trial("memory", 0.5, chance_loss=1.0, train_steps=60_000)] * 4
    found = statistics.searches(frame(*rows), ["arch"], 0.05)
    assert found.gain.isna().all() and not found.converged.any()
    half = [row | {"train_steps": 30_000, "eval_loss": 0.52, "objective": 0.52} for row in rows]
    found = statistics.searches(frame(*rows, *half), ["arch"], 0.05)
    # Half of the trials all but always find 0.5; half of the steps reach 0.48 of 0.5.
    assert found.gain.tolist() == pytest.approx([0.04]) and found.converged[0]
    steps = 1 - 0.48 / statistics.expected_best([0.5] * 4 + [0.48] * 4, 4)
    trials = 1 - statistics.expected_best([0.5] * 4 + [0.48] * 4, 4) / 0.5
    assert found.further[0] == pytest.approx(trials + steps / (math.sqrt(2) - 1))


def test_the_largest_common_steps_are_compared():
    rows = [
        capacity(1.0, study=f"{arch}-{steps}", arch=arch, train_steps=steps)
        for arch, steps in (("rnn", 50_000), ("rnn", 100_000), ("gru", 48_000), ("gru", 10_000))
    ]
    found = statistics.equal_steps(frame(*rows), ["max_params"])
    assert sorted(found.study.astype(str)) == ["gru-48000", "rnn-50000"]
    # The GRU's study allows more than its trials have used.
    rows[2]["max_steps"] = 90_000
    found = statistics.equal_steps(frame(*rows), ["max_params"])
    assert sorted(found.study.astype(str)) == ["gru-48000", "rnn-100000"]


def test_a_ratio_of_shares_has_katzs_interval():
    (a, m), (b, n) = (12.5, 100.5), (6.5, 80.5)
    half = stats.norm.ppf(0.975) * math.sqrt(1 / a - 1 / m + 1 / b - 1 / n)
    ratio = a / m / (b / n)
    expected = (ratio, ratio * math.exp(-half), ratio * math.exp(half))
    np.testing.assert_allclose(statistics.share_ratio((12, 100), (6, 80)), expected)


def test_a_gain_may_be_that_of_twice_the_steps():
    late = [capacity(bits, study="long", train_steps=50_000) for bits in (10.0, 100.0)]
    half = [capacity(bits, study="short", train_steps=25_000) for bits in (97.0, 20.0)]
    less = [capacity(bits, study="near", train_steps=40_000) for bits in (99.0, 99.5)]
    found = statistics.searches(frame(*late), ["arch"], 0.05, frame(*late, *half))
    # Half of the trials find 10 or 100.
    assert found.study.tolist() == ["long"] and found.gain[0] == pytest.approx(0.9)
    late[0] |= {"bits": 99.0, "bits_per_parameter": 99 / 990, "objective": -99.0}
    found = statistics.searches(frame(*late), ["arch"], 0.05, frame(*late, *half))
    assert found.gain[0] == pytest.approx(0.03) and found.converged[0]
    found = statistics.searches(frame(*late), ["arch"], 0.05, frame(*late, *half[1:]))
    assert not found.converged[0]
    assert not statistics.searches(frame(*late, *less), ["arch"], 0.05).converged.any()


def test_trials_are_equalised_within_blocks_only():
    rows = [capacity(1.0, study=study, arch=arch, max_params=size)
            for study, arch, size, count in (("a", "rnn", 1, 5), ("b", "gru", 1, 3),
                                             ("c", "gru", 1, 2), ("d", "rnn", 2, 4))
            for _ in range(count)]  # fmt: skip
    found = statistics.equal_trials(frame(*rows), ["max_params"])
    assert found.study.astype(str).value_counts().to_dict() == {"a": 3, "b": 3, "d": 4}
    assert found.iteration[found.study == "a"].tolist() == [0, 1, 2]


def test_the_best_is_chosen_on_valid_and_told_on_eval():
    table = frame(
        trial("memory", 0.5) | {"eval_loss": 0.1},
        trial("memory", 0.3) | {"eval_loss": 0.9},
        trial("memory", None),
        trial("memory", None, arch="gru"),
    )
    best = statistics.best(table, ["arch"])
    assert best.arch.tolist() == ["rnn"]
    assert (best.eval_loss[0], best.trials[0]) == (0.9, 3)


def test_trials_are_counted_by_search_and_only_whole_ones():
    table = frame(
        *[trial("memory", 1.0, study="a")] * 3,
        *[trial("memory", 1.0, study="b")] * 2,
        *[trial("memory", 1.0, study="c", algorithm="random")] * 9,
        *[trial("memory", 1.0, study="d", train_steps=100)] * 9,
        *[trial("memory", 1.0, study="e", stopped_early=True)] * 9,
    )
    assert statistics.best(table, ["arch"]).trials.tolist() == [3]


def test_of_equals_the_first_is_the_best():
    table = frame(trial("memory", 0.5), trial("memory", 0.5))
    assert statistics.best(table, ["arch"]).run[0] == "s/00000"


@pytest.mark.filterwarnings("error")
def test_the_best_of_each_study():
    rows = [
        trial("memory", loss, study=name) for loss, name in ((0.5, "a"), (0.4, "a"), (0.3, "b"))
    ]
    best = statistics.best(frame(*rows), ["arch", "study"])
    assert best.study.tolist() == ["a", "b"] and best.objective.tolist() == [0.4, 0.3]
    assert best.trials.tolist() == [2, 1]


def test_intervals_within_and_outside():
    estimate = Estimate(1.0, 0.9, 1.1)
    assert estimate.within(0.85, 1.15) and not estimate.within(0.95, 1.15)
    assert estimate.outside(1.2, 2) and not estimate.outside(1.05, 2)
