"""Rules on simulated trials that obey or break their claims, at the sizes of planned studies."""

import dataclasses
import functools
from collections import Counter

import numpy as np
import pytest
import report_grids as grids
from scipy import stats
from slow import slow_except

from tuning.report import simulation, statistics, truths
from tuning.report.claims import CLAIMS, CONTRADICTED, SUPPORTED, TOO_FEW
from tuning.report.figures import FIGURES
from tuning.report.selection import SIZE
from tuning.report.truths import BREAKING, PAPER, PERFECT
from tuning.trials import together

#: Claim -> the laptop's studies that decide it.
LAPTOP = {
    "linear": "capacity",
    "five_bits": "capacity",
    "similar_capacity": "capacity",
    "relu": "relu",
    "unrolling": "unrolled",
    "dataset_size": "capacity",
    "number_per_unit": "memory",
    "text8_equal": "text8",
    "rcf_equal": "rcf",
    "per_unit_misleads": "text8",
    "gated_easier": "searches",
    "gru_untuned": "many random",
    "plus_rnn_untuned": "deep random",
    "irnn_diverges": "random",
    "table_app_2": "most random",
}
#: Claims that a laptop cannot decide.
PAPERS = {
    "capacity_order": "order",
    "ungated_solve": "searches",
    "only_gated_deep": "searches",
    "gru_most_trainable": "searches",
    "plus_rnn_most_trainable": "searches",
    "least_infeasible": "random",
    "table_1": "random",
    "reruns": "reruns",
}
#: Claims without power even at the paper's size: a few searches cannot tell apart architectures as
#: close as the GRU and the UGRNN. It takes more than 64 searches of each.
UNDECIDABLE = ("gru_most_trainable",)
#: Studies of more than a hundred thousand trials.
LARGE = ("order", "searches")
#: (claim, number of a truth that breaks it) -> the paper's studies, which are long enough for rules
#: to contradict a bound.
THOROUGH = {
    ("linear", 0): "capacity",
    ("linear", 1): "capacity",
    ("five_bits", 0): "capacity",
    ("similar_capacity", 0): "capacity",
    ("similar_capacity", 1): "capacity",
    ("capacity_order", 1): "order",
    ("relu", 0): "relu",
    ("unrolling", 2): "unrolled",
    ("unrolling", 3): "unrolled",
    ("dataset_size", 0): "capacity",
    ("dataset_size", 1): "capacity",
    ("number_per_unit", 0): "memory",
    ("number_per_unit", 1): "memory",
    ("text8_equal", 0): "text8",
    ("rcf_equal", 0): "rcf",
    ("per_unit_misleads", 0): "text8",
    ("ungated_solve", 0): "searches",
    ("only_gated_deep", 0): "searches",
    ("only_gated_deep", 1): "searches",
}
BROKEN = [(name, number) for name in CLAIMS for number in range(len(BREAKING[name]))]


def studies(name):
    """The studies that decide a claim."""
    return grids.LAPTOP[LAPTOP[name]] if name in LAPTOP else grids.PAPER[PAPERS[name]]


@functools.lru_cache(maxsize=8)
def papers(grid, is_laptop, seed):
    """Trials under the paper's results, shared by claims."""
    of = grids.LAPTOP if is_laptop else grids.PAPER
    return simulation.simulate(of[grid], PAPER, np.random.default_rng(seed))


def verdicts(name, truth, seeds):
    """Number of simulated data sets per verdict."""
    check = CLAIMS[name].check
    return Counter(
        check(simulation.simulate(studies(name), truth, np.random.default_rng(seed))).verdict
        for seed in seeds
    )


def test_every_claim_has_studies_and_truths_that_break_it():
    assert sorted([*LAPTOP, *PAPERS]) == sorted(CLAIMS) == sorted(BREAKING)


@pytest.mark.parametrize("name", slow_except([*LAPTOP][::3], LAPTOP))
def test_a_laptops_studies_support_true_claims(name):
    finding = CLAIMS[name].check(papers(LAPTOP[name], True, seed=0))
    assert finding.verdict == SUPPORTED, finding.result


@pytest.mark.parametrize("name", ["gru_untuned", "irnn_diverges", "table_app_2"])
def test_claims_are_supported_though_few_trials_learn(name):
    assert verdicts(name, truths.LAPTOP, [0]) == {SUPPORTED: 1}


@pytest.mark.parametrize("name", ["least_infeasible", "table_1", "reruns"])
def test_the_papers_studies_support_true_claims(name):
    finding = CLAIMS[name].check(papers(PAPERS[name], False, seed=0))
    assert finding.verdict == SUPPORTED, finding.result


@pytest.mark.parametrize("name", slow_except([*LAPTOP][::3], LAPTOP))
def test_a_laptops_studies_do_not_support_false_claims(name):
    assert SUPPORTED not in verdicts(name, BREAKING[name][0], [0])


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("five_bits", 1),
        ("number_per_unit", 2),
        ("gru_untuned", 1),
        ("irnn_diverges", 1),
        ("table_app_2", 1),
        ("least_infeasible", 0),
        ("least_infeasible", 1),
        ("table_1", 0),
        ("table_1", 1),
        ("reruns", 0),
        ("reruns", 1),
    ],
)
def test_claims_that_are_false_at_any_effort_are_contradicted(name, number):
    assert verdicts(name, BREAKING[name][number], [2]) == {CONTRADICTED: 1}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CLAIMS if name not in UNDECIDABLE])
def test_power_is_at_least_80_percent(name):
    seeds = range(8 if PAPERS.get(name) in LARGE else 40)
    found = verdicts(name, PAPER, seeds)
    assert found[SUPPORTED] >= 0.8 * len(seeds) and not found[CONTRADICTED], found


@pytest.mark.slow
@pytest.mark.parametrize(("name", "number"), BROKEN)
def test_errors_are_rare(name, number):
    """Errors are rarer than 10 %, or 32 % for the largest studies, at a confidence of 95 %.

    Where chance hides it, four times as many data sets decide.
    """
    count, most = (8, 0.32) if PAPERS.get(name) in LARGE else (46, 0.10)
    broken = functools.partial(verdicts, name, BREAKING[name][number])
    wrong = broken(range(count))[SUPPORTED]
    if wrong and not _rarer(wrong, count, most):
        wrong += broken(range(count, 4 * count))[SUPPORTED]
        count *= 4
    assert _rarer(wrong, count, most), f"{wrong} of {count}"


def _rarer(wrong, count, most):
    return stats.binomtest(wrong, count, alternative="less").proportion_ci().high <= most


@pytest.mark.slow
@pytest.mark.parametrize(("name", "number"), THOROUGH)
def test_bounds_are_contradicted_after_the_papers_searches(name, number):
    rows = simulation.simulate(
        grids.PAPER[THOROUGH[name, number]], BREAKING[name][number], np.random.default_rng(0)
    )
    assert CLAIMS[name].check(rows).verdict == CONTRADICTED


def perfect(grid):
    return simulation.simulate(grid, PERFECT, np.random.default_rng(0))


@pytest.mark.parametrize("name", LAPTOP)
def test_a_perfect_network_supports_every_claim(name):
    finding = CLAIMS[name].check(perfect(studies(name)))
    assert finding.verdict == SUPPORTED, finding.result


@pytest.mark.slow
@pytest.mark.parametrize("name", PAPERS)
def test_a_perfect_network_supports_every_claim_at_the_papers_size(name):
    finding = CLAIMS[name].check(perfect(studies(name)))
    assert finding.verdict == SUPPORTED, finding.result


def test_figures_show_a_perfect_networks_numbers():
    table = together([perfect(grids.LAPTOP[grid]) for grid in ("capacity", "memory", "text8")])
    shown = FIGURES["1e"].draw(table).points.merge(table[["run", "activation"]], on="run")
    for arch, level in PERFECT.bits.items():
        np.testing.assert_allclose(shown.y[shown.arch == arch], level, rtol=1e-6)
    np.testing.assert_allclose(shown.y[shown.arch == "irnn"], 3.5, rtol=1e-6)
    errors = FIGURES["2c"].draw(table).points
    np.testing.assert_allclose(errors.y, np.maximum(0, 1 - errors.x / 64), atol=1e-9)
    sizes = FIGURES["App.1"].draw(table).points
    np.testing.assert_allclose(sizes.y / sizes.x, 1.1, rtol=1e-3)
    losses = FIGURES["3a"].draw(table).points
    rnn = losses[losses.arch == "rnn"].sort_values("x")
    np.testing.assert_allclose(np.diff(rnn.y) / np.diff(np.log(rnn.x)), -0.15)


def test_too_few_inputs_limit_the_bits_of_a_perfect_network():
    grid = [point | {"task_options": {"num_inputs": 16}} for point in grids.LAPTOP["capacity"]]
    table = perfect(grid)
    largest = table[(table.max_params == 10_000) & (table.arch == "rnn")]
    assert largest.bits_per_parameter.max() < 3
    assert CLAIMS["five_bits"].check(table).runs == 0


def test_half_the_steps_show_that_a_search_has_converged():
    whole = dict(task="capacity", arch="rnn", num_params=1000, num_trials=400, seed=1)
    for steps, converged in ((25_000, True), (1_000, False)):
        points = [whole | {"ranges": {"train_steps": (each, each)}} for each in (50_000, steps)]
        truth = dataclasses.replace(PAPER, luck=0.0)
        table = simulation.simulate(points, truth, np.random.default_rng(0))
        long = table[table.train_steps == 50_000]
        assert not statistics.searches(long, SIZE, 0.05).converged[0]
        assert statistics.searches(long, SIZE, 0.05, table).converged.tolist() == [converged]


@pytest.mark.parametrize("name", ["linear", "five_bits", "similar_capacity"])
def test_too_few_steps_decide_nothing_about_capacity(name):
    short = dataclasses.replace(PAPER, short=0.5)
    assert verdicts(name, short, [0]) == {TOO_FEW: 1}
