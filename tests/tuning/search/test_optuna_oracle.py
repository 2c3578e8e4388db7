"""Optuna's sampler as an oracle."""

import keras_tuner
import numpy as np
import pytest

from tuning.search.algorithms import load_oracle

pytest.importorskip("optuna", reason="the extra optuna is not installed")


def space():
    hp = keras_tuner.HyperParameters()
    hp.Float("lr", 1e-4, 1e-1, sampling="log")
    hp.Choice("kind", ["a", "b"])
    with hp.conditional_scope("kind", ["b"]):
        hp.Int("units", 1, 20)
    hp.Fixed("depth", 2)
    return hp


def search(directory, restart):
    """Return the values of 24 trials; those with a large learning rate fail."""
    tried = []
    while len(tried) < 24:
        if not tried or restart:
            oracle = load_oracle("optuna")(
                keras_tuner.Objective("loss", "min"), hyperparameters=space(), seed=3
            )
            oracle._set_project_dir(str(directory), "s")
            oracle.verbose = 0
            if tried:
                oracle.reload()
        trial = oracle.create_trial("t")
        values = trial.hyperparameters.values
        tried.append(values)
        trial.status = "FAILED" if values["lr"] > 0.03 else "COMPLETED"
        if trial.status == "COMPLETED":
            loss = (np.log10(values["lr"]) + 2) ** 2 + (values["kind"] == "a")
            oracle.update_trial(trial.trial_id, {"loss": loss})
        oracle.end_trial(trial)
    return tried


def test_it_finds_the_minimum_and_can_be_restarted(tmp_path):
    tried = search(tmp_path / "a", restart=False)
    assert any(abs(np.log10(v["lr"]) + 2) < 0.1 and v["kind"] == "b" for v in tried)
    assert all(("units" in values) == (values["kind"] == "b") for values in tried)
    assert search(tmp_path / "b", restart=True) == tried
