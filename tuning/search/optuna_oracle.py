"""Optuna's Gaussian process sampler as an oracle, a reference for `GPOracle`."""

import warnings
from typing import Any

import optuna
from keras_tuner.engine.hyperparameters import Choice

from tuning.search.durable import RUNNING
from tuning.search.features import BELOW_ONE
from tuning.search.gaussian_process import standardise
from tuning.search.oracles import RandomOracle


class OptunaOracle(RandomOracle):
    """Optuna's `GPSampler` (Matérn 5/2 with ARD, logarithmic expected improvement).

    The sampler sees unordered choices as categories, and other hyperparameters as quantiles of
    their distributions. It does not support conditions, so it always proposes all hyperparameters,
    and inactive ones are dropped. Failed trials are scored as in `GPOracle`; running trials get the
    mean score.

    Args:
        objective, max_trials, hyperparameters, seed, first, **options: see `DurableOracle`.
        initial_points: number of random trials that must have ended; 10 by default.
    """

    def propose(self, trial_id: str) -> dict[str, Any]:
        completed, failed = self.ended()
        if len(completed) < (self.initial_points or 10):
            return super().propose(trial_id)
        asked = self._ask(completed, failed)
        values: dict[str, Any] = {}
        for hp in self.hyperparameters.space:
            if all(condition.is_active(values) for condition in hp.conditions):
                values[hp.name] = _value(hp, asked.get(hp.name))
        if self._duplicate(values):
            return super().propose(trial_id)
        return {"status": RUNNING, "values": values, "origin": "search"}

    def _ask(self, completed, failed):
        """Add all trials to a new Optuna study and ask it for the next one."""
        rng = self.rng(len(self.start_order))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.GPSampler(
                seed=int(rng.integers(2**31)), n_startup_trials=0, deterministic_objective=False
            )
        study = optuna.create_study(sampler=sampler)
        space = _distributions(self.hyperparameters)
        running = [trial for trial in self.trials.values() if trial.status == RUNNING]
        targets = [*standardise(self.losses(completed), len(failed)), *[0.0] * len(running)]
        for trial, target in zip([*completed, *failed, *running], targets, strict=True):
            known = _parameters(self.hyperparameters, trial.hyperparameters.values)
            study.add_trial(
                optuna.trial.create_trial(params=known, distributions=space, value=float(target))
            )
        return study.ask(space).params


def _distributions(hyperparameters):
    return {
        hp.name: optuna.distributions.CategoricalDistribution(hp.values)
        if _is_choice(hp)
        else optuna.distributions.FloatDistribution(0.0, 1.0)
        for hp in hyperparameters.space
    }


def _parameters(hyperparameters, values):
    """Return all parameters of a trial, with defaults for inactive ones."""
    parameters = {}
    for hp in hyperparameters.space:
        value = values.get(hp.name, hp.default)
        if not _is_choice(hp):
            value = min(max(hp.value_to_prob(value), 0.0), 1.0)
        parameters[hp.name] = value
    return parameters


def _value(hp, asked):
    return asked if _is_choice(hp) else hp.prob_to_value(min(asked, BELOW_ONE))


def _is_choice(hp):
    return isinstance(hp, Choice) and not hp.ordered
