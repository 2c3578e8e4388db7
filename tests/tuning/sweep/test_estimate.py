"""The estimated cost of a sweep."""

import dataclasses
import math
import random

import pytest

from trainer import TrainConfig
from tuning.config import StudyConfig
from tuning.study import step_time
from tuning.sweep import estimate
from tuning.sweep.config import Spec


def spec(config=None, reruns=0, **study):
    config = config or TrainConfig("capacity", "gru", num_params=1000, train_steps=4000)
    return Spec("one", config, StudyConfig(num_trials=10, **study), reruns, 5)


def test_expected_steps_are_the_distribution_s_mean():
    rng = random.Random(0)
    drawn = [1000 * 4 ** rng.random() for _ in range(200_000)]
    mean, random_only = sum(drawn) / len(drawn), {"algorithm": "random"}
    assert estimate.mean_steps(spec(**random_only)) == pytest.approx(mean, rel=0.01)
    assert estimate.mean_steps(spec(ranges={"train_steps": 3000})) == 3000.0
    choices = spec(ranges={"train_steps": [2000, 2500, 4000]}, **random_only)
    assert estimate.mean_steps(choices) == pytest.approx(8500 / 3)
    narrow = spec(ranges={"train_steps": (2000, 4000)}, **random_only)
    assert estimate.mean_steps(narrow) == pytest.approx(2000 / math.log(2))
    # Two of ten trials are random; a search proposes long trials.
    assert estimate.mean_steps(spec()) == pytest.approx(0.2 * mean + 0.8 * 4000, rel=0.01)
    assert estimate.mean_steps(spec(initial_points=20)) == pytest.approx(mean, rel=0.01)


def test_diverging_trials_cost_next_to_nothing():
    irnn = dataclasses.replace(spec().config, arch="irnn")
    kept = 1 - estimate.DIVERGING["irnn"]
    random_only = {"algorithm": "random"}
    expected = kept * estimate.mean_steps(spec(**random_only))
    assert estimate.mean_steps(spec(irnn, **random_only)) == pytest.approx(expected)
    fixed = {"train_steps": 3000}
    found = estimate.mean_steps(spec(irnn, ranges=fixed, **random_only))
    assert found == pytest.approx(kept * 3000)


def test_the_cost_of_a_study_is_the_sum_of_its_trials():
    config = TrainConfig(
        "capacity", "gru", depth=2, num_params=1000, train_steps=4000, batch_size=8
    )
    fixed = {"train_steps": 3000}
    assert step_time.features(config, 5) == (5 * 2 * 4, 6 * 8 * 5 * 1000)
    cost = estimate.cost(spec(config, reruns=2, ranges=fixed), 1e-6, 1e-10, 7.0, 12)
    assert (cost.runs, cost.steps) == (12, 36_000)
    assert cost.num_params <= 1000 < cost.num_params * 1.2
    per_step = 1e-6 * 40 + 1e-10 * 240_000
    assert cost.seconds == pytest.approx(
        7.0 + per_step * 12 * (3000 + 3 * estimate.EVALUATION_STEPS)
    )
    assert cost.disk == 12 * estimate.TRIAL_BYTES + 5 * 4 * cost.num_params


def test_little_work_is_guessed_and_not_measured(monkeypatch):
    measured = []
    monkeypatch.setattr(estimate, "measure", lambda *args: measured.append(args) or (1e-6, 0, 7.0))
    one = spec(ranges={"train_steps": 3000})
    guess = 5 * 4 * 1e-6 + 6 * 64 * 5 * 1000 * 1e-11
    assert estimate.costs([one], {"one": 10})["one"].seconds == pytest.approx(
        estimate.GUESS[2] + guess * 10 * (3000 + 3 * estimate.EVALUATION_STEPS)
    )
    assert not measured
    trials = math.ceil(estimate.LITTLE / (guess * 3000))
    estimate.costs([one], {"one": trials})
    assert len(measured) == 1


def test_a_study_that_diverges_at_its_defaults_is_timed(monkeypatch):
    """An IRNN adds up 200 inputs, and its first loss is above 100 times chance."""
    from trainer.lanes import Lanes
    from trainer.trial import Trial

    monkeypatch.setattr(estimate, "SECONDS", 0.01)
    task = {"task_options": {"num_steps": 200}, "num_params": 5000, "batch_size": 8}
    irnn = spec(TrainConfig("adding", "irnn", activation="relu", lr_init=1e-9, **task))
    training = Lanes([Trial(irnn.config)], 1)
    training.advance()
    assert int(training.steps[0]) == 0
    step, compiling = estimate._time(irnn, lanes=1)
    assert step > 0 and compiling > 0


def test_larger_studies_weigh_more():
    base = estimate.work(spec())
    assert estimate.work(spec(reruns=10)) == pytest.approx(2 * base)
    for changes in ({"depth": 2}, {"num_params": 9000}, {"batch_size": 900}):
        config = TrainConfig(
            "capacity", "gru", **{"num_params": 1000, "train_steps": 4000} | changes
        )
        assert estimate.work(spec(config)) > base
