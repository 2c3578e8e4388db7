"""Optuna's Gaussian process sampler as an oracle: an independent check of ours."""

import warnings

import optuna
from keras_tuner.engine.hyperparameters import Choice

from tuning.search.features import BELOW_ONE
from tuning.search.oracles import RUNNING, RandomOracle, standardise


class OptunaOracle(RandomOracle):
    """Optuna's `GPSampler` (Matérn 5/2 with ARD, logarithmic expected improvement).

    It is asked about quantiles of each hyperparameter's law, all of them whether they count or not,
    since it knows no conditions. Failed trials count as in `GPOracle`, running ones as average.

    Args:
        objective, max_trials, hyperparameters, seed, **options: of `DurableOracle`.
        initial_points: random ones before the first that is chosen.
    """

    def __init__(self, *args, initial_points=10, **options):
        super().__init__(*args, **options)
        self.initial_points = initial_points

    def propose(self, trial_id):
        completed, failed = self.ended()
        if len(completed) < self.initial_points:
            return super().propose(trial_id)
        rng = self.rng(len(self.start_order))
        space = _distributions(self.hyperparameters)
        targets = standardise(self.losses(completed), len(failed))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.GPSampler(
                seed=int(rng.integers(2**31)), n_startup_trials=0, deterministic_objective=False
            )
        study = optuna.create_study(sampler=sampler)
        running = [trial for trial in self.trials.values() if trial.status == RUNNING]
        targets = [*targets, *[0.0] * len(running)]
        for trial, target in zip([*completed, *failed, *running], targets, strict=True):
            known = _parameters(self.hyperparameters, trial.hyperparameters.values)
            study.add_trial(
                optuna.trial.create_trial(params=known, distributions=space, value=float(target))
            )
        asked = study.ask(space).params
        values = {}
        for hp in self.hyperparameters.space:
            if all(condition.is_active(values) for condition in hp.conditions):
                values[hp.name] = _value(hp, asked.get(hp.name))
        if self._duplicate(values):
            return super().propose(trial_id)
        return {"status": RUNNING, "values": values}


def _distributions(hyperparameters):
    return {
        hp.name: optuna.distributions.CategoricalDistribution(hp.values)
        if _is_choice(hp)
        else optuna.distributions.FloatDistribution(0.0, 1.0)
        for hp in hyperparameters.space
    }


def _parameters(hyperparameters, values):
    """All parameters of a trial; what did not count has its default."""
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
