"""Importances against a function whose variance is known."""

import json

import numpy as np
import pytest
from report_rows import frame, trial
from sklearn.inspection import permutation_importance

from tuning.report import importance


def study(count, objective, name="s", **values):
    """Trials of one study whose objective is a function of three random hyperparameters."""
    generator = np.random.default_rng(1)
    rows = []
    for number in range(count):
        hparams = {
            "lr_init": generator.random(),
            "optimizer": str(generator.choice(["adam", "sgd"])),
            "momentum": generator.random(),
            "batch_size": 64,
        }
        if number % 2:
            hparams["decay"] = 0.5  # Half of the trials lack it.
        row = {"study": name, "hparams": json.dumps(hparams), "run_id": f"{number:05d}"}
        rows.append(trial("memory", objective(hparams), **row, **values))
    return rows


def additive(hparams):
    """Variances of 9/12 and 1/4: three quarters and one quarter of the whole."""
    return 3 * hparams["lr_init"] + (hparams["optimizer"] == "sgd")


def test_importances_are_twice_the_shares_of_the_variance():
    (found,) = importance.find(frame(*study(300, additive))).values()
    assert list(found.values)[:2] == ["lr_init", "optimizer"]
    assert set(found.values) == {"lr_init", "optimizer", "momentum", "decay"}
    assert found.values["lr_init"] == pytest.approx(1.5, abs=0.15)
    assert found.values["optimizer"] == pytest.approx(0.5, abs=0.15)
    assert found.values["momentum"] < 0.02 and found.values["decay"] < 0.02
    assert 0.95 < found.explained <= 1


def test_they_are_those_of_scikit_learn(monkeypatch):
    from sklearn.ensemble import RandomForestRegressor

    generator = np.random.default_rng(0)
    table = generator.random((200, 4))
    ranks = table @ [4, 2, 1, 0] + generator.normal(0, 0.3, 200)
    monkeypatch.setattr(importance, "_REPEATS", 50)
    halves = table[:100], ranks[:100], table[100:], ranks[100:]
    explained, losses = importance._test(*halves, generator)
    forest = RandomForestRegressor(
        importance._TREES, min_samples_leaf=2, max_features=0.5, random_state=0
    ).fit(*halves[:2])
    theirs = permutation_importance(forest, *halves[2:], n_repeats=20, random_state=0)
    assert explained == pytest.approx(forest.score(*halves[2:]))
    np.testing.assert_allclose(losses, theirs.importances_mean, atol=0.06)


def test_a_value_at_which_trials_diverge_is_important():
    def diverging(hparams):
        return None if hparams["lr_init"] > 0.7 else hparams["momentum"]

    (found,) = importance.find(frame(*study(120, diverging))).values()
    assert next(iter(found.values)) == "lr_init" and found.values["lr_init"] > 0.8


def test_small_studies_reruns_and_studies_without_a_difference_have_none(monkeypatch):
    few = study(importance.FEWEST_TRIALS - 1, additive, "few")
    again = study(30, additive, "again", is_rerun=True)
    same = study(30, lambda _: 1.0, "same")
    more, most = study(30, additive, "more"), study(40, additive, "most")
    monkeypatch.setattr(importance, "MOST_STUDIES", 2)
    assert set(importance.find(frame(*few, *again, *most))) == {"most"}
    assert set(importance.find(frame(*more, *same, *most))) == {"more", "most"}
    assert importance.find(frame(*same)) == {}
