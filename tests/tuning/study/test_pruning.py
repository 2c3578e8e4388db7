"""Early stopping on simulated learning curves whose best trial is known."""

import dataclasses
import math

import numpy as np
import pytest
import records

from trainer import TrainConfig
from tuning.study.pruning import CURVE_POINTS, ETA, RULES, best_share, pruning_limits
from tuning.study.schedule import num_known

CONFIG = TrainConfig("parens", "gru", train_steps=1000)


def record(curve, config=CONFIG):
    values = {"curve": curve, "config": dataclasses.asdict(config)}
    return records.record(**values, train_steps=config.train_steps)


def simulate(rule, curves, batch=8):
    """Return the curves (lists) that trials have once a rule has stopped some of them."""
    records = []
    for index, curve in enumerate(curves):
        limits = pruning_limits(rule, records[: num_known(index, batch)], CONFIG)
        ends = [round(s * CURVE_POINTS) for s, most in limits.items()
                if curve[round(s * CURVE_POINTS) - 1] > most]  # fmt: skip
        records.append(record(list(curve[: min(ends, default=CURVE_POINTS)])))
    return [each.curve for each in records]


def random_curves(rng, count, noise):
    """Curves (count, 20) that fall to one level per trial; noise changes their order on the way."""
    level, shares = rng.random((count, 1)), np.arange(1, CURVE_POINTS + 1) / CURVE_POINTS
    return 1 + level - shares + noise * (1 - shares) * rng.normal(size=(count, CURVE_POINTS))


def work(curves):
    return sum(map(len, curves)) / (CURVE_POINTS * len(curves))


@pytest.mark.parametrize("rule", RULES)
def test_the_best_of_trials_whose_order_never_changes_survives(rule):
    rng = np.random.default_rng(0)
    for _ in range(20):
        curves = random_curves(rng, 100, noise=0)
        assert len(simulate(rule, curves)[curves[:, -1].argmin()]) == CURVE_POINTS


def test_a_trial_close_to_the_best_survives_where_the_order_changes():
    rng = np.random.default_rng(1)
    regrets = []
    for _ in range(50):
        curves = random_curves(rng, 100, noise=0.1)
        ended = [curve[-1] for curve in simulate("halving", curves) if len(curve) == CURVE_POINTS]
        regrets.append((curves[:, -1] < min(ended)).sum())
    # The best survivor is among the best 3 % with a probability of 90 %, mostly the best of all.
    assert np.mean(np.array(regrets) == 0) > 0.5 and np.quantile(regrets, 0.9) <= 3


@pytest.mark.slow
def test_halving_does_the_work_that_theory_says():
    """A third of the trials passes each rung: 1/20 + 2/20/3 + 6/20/9 + 11/20/27 of the steps."""
    rng = np.random.default_rng(2)
    curves = simulate("halving", random_curves(rng, 3000, noise=0.1), batch=1)
    expected = 1 / 20 + 2 / 20 / 3 + 6 / 20 / 9 + 11 / 20 / 27
    assert work(curves) == pytest.approx(expected, rel=0.1)
    for rung, share in ((1, 1), (3, 1 / 3), (9, 1 / 9), (20, 1 / 27)):
        assert np.mean([len(c) >= rung for c in curves]) == pytest.approx(share, rel=0.15)
    # In a study of 100 trials, the first two batches, 16 trials, are never pruned. Later rungs
    # compare selected trials with these unselected ones too, so they prune less than in theory; at
    # worst, only the first rung prunes.
    means = {
        rule: np.mean([work(simulate(rule, random_curves(rng, 100, 0.1))) for _ in range(20)])
        for rule in RULES
    }
    low, high = 0.16 + 0.84 * expected, 0.16 + 0.84 * (1 / 20 + 19 / 20 / 3)
    assert low < means["halving"] < (low + high) / 2
    low, high = 0.16 + 0.84 * (1 + 1 / 2 + 1 / 4 + 1 / 8) / 4, 0.16 + 0.84 * (1 / 4 + 3 / 4 / 2)
    assert low < means["median"] < (low + high) / 2


def test_the_best_third_counts_the_trial_itself():
    """Among n equal trials in random order, a third is best, rounded down."""
    for count in range(ETA, 40):
        others = list(range(count))
        passes = sum(rank - 0.5 <= best_share(others) for rank in range(count + 1))
        assert passes == (count + 1) // 3


def test_equal_trials_continue():
    curves = simulate("halving", np.ones((30, CURVE_POINTS)))
    assert all(len(curve) == CURVE_POINTS for curve in curves)


def test_few_trials_prune_nothing():
    two = [record([1.0] * CURVE_POINTS), record([2.0] * CURVE_POINTS)]
    assert pruning_limits("halving", two, CONFIG) == {}
    diverged = record([9.0])  # it reached the first rung alone
    assert pruning_limits("halving", [*two, diverged], CONFIG) == {0.05: 1.0}
    assert pruning_limits("median", [*two, diverged] * 2, CONFIG) == {}


def test_runs_too_short_for_a_curve_are_left_out():
    short = dataclasses.replace(CONFIG, train_steps=19)
    trials = [record([1.0] * 20)] * 3
    assert pruning_limits("halving", [record([0.0] * 19, short)] * 9, CONFIG) == {}
    assert pruning_limits("halving", trials, short) == {}


@pytest.mark.parametrize("rule", RULES)
def test_capacity_is_compared_by_stored_bits(rule):
    """A small data set has a low loss, because there is little to store."""

    def config(num_samples):
        options = {"num_samples": num_samples}
        return dataclasses.replace(CONFIG, task="capacity", task_options=options)

    def loss(bits, num_samples):
        return math.log(2) * (1 - bits / num_samples)

    known = [record([loss(50, 100)] * 20, config(100)) for _ in range(5)]
    limits = pruning_limits(rule, known, config(1000)).values()
    assert list(limits) == pytest.approx([loss(50, 1000)] * 3)
    # A trial that cannot store as much at all is pruned whatever its loss.
    assert all(most < 0 for most in pruning_limits(rule, known, config(49)).values())
    # With the default number of samples, no option is in the configurations.
    default = dataclasses.replace(CONFIG, task="capacity")
    limits = pruning_limits(rule, [record([0.5] * 20, default)] * 5, default).values()
    assert list(limits) == pytest.approx([0.5] * 3)
