"""Search algorithms as oracles of keras-tuner: they say what to try next, for any `Tuner`.

    tuner = keras_tuner.Tuner(oracle=GPOracle("val_loss", max_trials=50), hypermodel=build)

All share `DurableOracle`, which mends what keras-tuner's own class does not survive.
"""

import contextlib
import copy
import json
import math
import os
import random
import threading
import warnings

import keras_tuner
import numpy as np
from keras_tuner.engine import trial as trials
from keras_tuner.src.engine import oracle as engine

from trainer.errors import UserError
from trainer.storage.files import whole
from tuning.search import acquisition, gaussian_process
from tuning.search.features import Features

RUNNING, STOPPED = trials.TrialStatus.RUNNING, trials.TrialStatus.STOPPED
COMPLETED, FAILED = trials.TrialStatus.COMPLETED, trials.TrialStatus.FAILED


class DurableOracle(keras_tuner.Oracle):
    """What a long search needs of any oracle, and keras-tuner's (1.4) lacks.

    - A score that is not finite is a failed trial; stock, +inf is the best one that there can be.
    - Failures never end the search, stock three in a row do; but an exception that is no
      `FailedTrialError` is a bug, and ends it with its traceback.
    - Every proposal is a function of the seed and of the trials so far, so that a search that was
      killed goes on as it would have; stock loses its random state, and takes seed 0 for none.
    - Files are written whole. A trial is known once `oracle.json` says so, and ended once its own
      file says so; a damaged file is set aside under the name that the warning gives, and what was
      in it restored from the other one. Stock, half a `trial.json` ends the search for good.
    - An exception leaves no lock behind.

    Args:
        objective: a name, or a `keras_tuner.Objective`.
        max_trials: how many; None for no limit.
        hyperparameters: a `keras_tuner.HyperParameters`, if the space is known before the model.
        seed: of all that is random; None for one that is drawn, and kept with the search.
        first: dict of the values that the first trial has, as good ones that are known; None to
            leave it to the search.
        **options: further ones of `keras_tuner.Oracle`.
    """

    def __init__(
        self,
        objective=None,
        max_trials=None,
        hyperparameters=None,
        seed=None,
        first=None,
        **options,
    ):
        options = {"max_consecutive_failed_trials": None} | options
        super().__init__(
            objective=objective,
            max_trials=max_trials,
            hyperparameters=hyperparameters,
            seed=seed,
            **options,
        )
        self._given_seed, self.first = seed, first
        self.seed = self._seed_state = random.randrange(2**31) if seed is None else seed

    def populate_space(self, trial_id):
        if self.first is not None and not self.start_order:
            return {"status": RUNNING, "values": dict(self.first)}
        return self.propose(trial_id)

    def propose(self, trial_id):
        """What keras-tuner asks of `populate_space`: dict of a status and of values."""
        raise NotImplementedError(f"{type(self).__name__} must define propose(trial_id)")

    def create_trial(self, tuner_id):
        with _unlocked_after_an_error(self):
            return super().create_trial(tuner_id)

    def update_trial(self, trial_id, metrics, step=0):
        with _unlocked_after_an_error(self):
            return super().update_trial(trial_id, metrics, step)

    def end_trial(self, trial):
        with _unlocked_after_an_error(self):
            self._end_trial(trial)

    @keras_tuner.synchronized
    def _end_trial(self, trial):
        known = self.trials[trial.trial_id]
        is_last = self._run_times[trial.trial_id] >= self.max_retries_per_trial
        if trial.status == trials.TrialStatus.INVALID and is_last:
            # Not a `FailedTrialError`: the model has a bug, and without it the trial runs again.
            raise keras_tuner.errors.FatalRuntimeError(trial.message)
        if trial.status == COMPLETED:
            self.score_trial(known)
            if known.score is None or not math.isfinite(known.score):
                trial.status, trial.message = FAILED, f"its score is {known.score}"
                known.score = None
        # Stock writes oracle.json while the trial is still among those that run.
        ongoing = self.ongoing_trials.items()
        self.ongoing_trials = {k: v for k, v in ongoing if v is not known}
        super().end_trial(trial)

    def rng(self, index):
        """The random numbers of the trial of that index, in the order of starts."""
        return np.random.default_rng([self.seed, index])

    def ended(self):
        """Ended trials in the order of their starts: completed ones, failed ones."""
        known = [self.trials[trial_id] for trial_id in self.start_order]
        completed = [trial for trial in known if trial.status == COMPLETED]
        return completed, [trial for trial in known if trial.status == FAILED]

    def losses(self, completed):
        """Scores of completed trials, (n,), signed so that smaller is better."""
        sign = 1.0 if self.objective.direction == "min" else -1.0
        return sign * np.array([trial.score for trial in completed])

    def save(self):
        values = {name: trial.hyperparameters.values for name, trial in self.trials.items()}
        _write(self._get_oracle_fname(), self.get_state() | {"values": values})

    def _save_trial(self, trial):
        _write(os.path.join(self._get_trial_dir(trial.trial_id), "trial.json"), trial.get_state())

    def reload(self):
        state = _read(self._get_oracle_fname())
        found = {}
        for entry in sorted(os.scandir(self._project_dir), key=lambda entry: entry.name):
            path = os.path.join(entry.path, "trial.json")
            if entry.name.startswith("trial_") and os.path.exists(path):
                found[entry.name.removeprefix("trial_")] = _read(path)
        if state is None:
            state = self._state_of(found)
        # A copy, since `from_config` writes into what it reads.
        self.hyperparameters = keras_tuner.HyperParameters.from_config(
            copy.deepcopy(state["hyperparameters"])
        )
        for trial_id in state["start_order"]:
            self.trials[trial_id] = self._trial(trial_id, found.get(trial_id), state)
        self.set_state(state)
        self.ongoing_trials = {}
        ended = [name for name, trial in self.trials.items() if trial.status in (COMPLETED, FAILED)]
        # One may have ended, and the process with it, before that was noted here; the result of
        # another may be lost with its file.
        self.end_order = [name for name in self.end_order if name in ended]
        self.end_order += [name for name in ended if name not in self.end_order]
        # Whoever asks next gets those that ran, the earliest first.
        self._retry_queue = [name for name in reversed(self.start_order) if name not in ended]
        for trial in self.trials.values():
            self._record_values(trial)

    def _trial(self, trial_id, found, state):
        if found is not None:
            trial = trials.Trial(hyperparameters=self.get_space(), trial_id=trial_id)
            trial.set_state(found)
            return trial
        hyperparameters = self.get_space()
        hyperparameters.values = dict(state["values"][trial_id])
        return trials.Trial(hyperparameters, trial_id, RUNNING)

    def _state_of(self, found):
        """The oracle's state from its trials' files alone."""
        found = {trial_id: state for trial_id, state in found.items() if state is not None}
        ended = [name for name, state in found.items() if state["status"] in (COMPLETED, FAILED)]
        spaces = [state["hyperparameters"] for state in found.values()]
        return self.get_state() | {
            "start_order": list(found),
            "end_order": ended,
            "ongoing_trials": {},
            "run_times": dict.fromkeys(ended, 1),
            **({"hyperparameters": copy.deepcopy(spaces[-1])} if spaces else {}),
        }

    def set_state(self, state):
        super().set_state(state)
        if self._given_seed is not None:
            self.seed = self._given_seed
        self._seed_state = self.seed


class RandomOracle(DurableOracle):
    """Each hyperparameter by its own law (the paper's Figure 5 and Table 1)."""

    def propose(self, trial_id):
        features, rng = Features(self.hyperparameters), self.rng(len(self.start_order))
        for vector in features.draw(rng, 100):
            values = features.decode(vector)
            if not self._duplicate(values):
                return {"status": RUNNING, "values": values}
        return {"status": STOPPED, "values": None}


class GPOracle(RandomOracle):
    """Batched expected improvement under a Gaussian process (the paper's appendix A).

    The kernel is Matérn 5/2 with automatic relevance determination over scaled features, unordered
    choices one-hot. Running trials count by fantasies of their results, so any number of trials may
    run at once; failed ones count as worse than the worst that completed.

    Args:
        objective, max_trials, hyperparameters, seed, **options: of `DurableOracle`.
        initial_points: random ones before the first that is chosen; by default one more than there
            are dimensions to choose in, but at least 5 and at most 20.
        fantasies: how many ways a running trial may end.

    Source: Snoek et al. 2012; Desautels et al. 2014.
    """

    #: The kernel is fitted again once there are this many times as many trials.
    GROWTH = 1.15

    def __init__(self, *args, initial_points=None, fantasies=16, **options):
        super().__init__(*args, **options)
        self.initial_points, self.fantasies = initial_points, fantasies
        self._theta, self._num_fitted, self._num_features = None, 0, 0
        self._believed, self._encoded = None, (0, {})

    def propose(self, trial_id):
        features = Features(self.hyperparameters)
        completed, failed = self.ended()
        initial = self.initial_points or min(max(features.num_free + 1, 5), 20)
        if len(self.start_order) < initial or len(completed) < 2 or not features.size:
            return super().propose(trial_id)
        losses = self.losses(completed)
        points = np.array([self._encode(features, trial) for trial in [*completed, *failed]])
        posterior = self._posterior(features, points, standardise(losses, len(failed)))
        best = points[np.argsort(losses, kind="stable")[:10]]
        rng = self.rng(len(self.start_order))
        values = acquisition.maximise(features, posterior, rng, best, self._duplicate)
        return {"status": RUNNING if values else STOPPED, "values": values}

    def _posterior(self, features, points, targets):
        """What ended is fitted, what runs fantasied; the last answer is extended if it can be."""
        running = [
            (index, self.trials[trial_id])
            for index, trial_id in enumerate(self.start_order)
            if self.trials[trial_id].status == RUNNING
        ]
        key = (len(points), features.size, targets.tobytes())
        if self._believed is None or self._believed[0] != key or self._believed[1] > len(running):
            self._believed = (
                key,
                0,
                gaussian_process.Posterior(self._fit(points, targets), self.fantasies),
            )
        _, num_running, posterior = self._believed
        for index, trial in running[num_running:]:
            normals = np.random.default_rng([self.seed, index, 1]).standard_normal(self.fantasies)
            posterior = posterior.fantasise(self._encode(features, trial), normals)
        self._believed = (key, len(running), posterior)
        return posterior

    def _encode(self, features, trial):
        if self._encoded[0] != features.size:
            self._encoded = (features.size, {})
        known = self._encoded[1]
        if trial.trial_id in known:
            return known[trial.trial_id]
        vector = features.encode(trial.hyperparameters.values)
        if trial.status != RUNNING:  # while it runs, its model may still ask for more values
            known[trial.trial_id] = vector
        return vector

    def _fit(self, points, targets):
        count, size = points.shape
        known = self._theta is not None and self._num_features == size
        refit = not known or count >= self.GROWTH * self._num_fitted
        process = gaussian_process.fit(
            points,
            targets,
            self._theta if known else None,
            max_iterations=10 if known else 60,
            refit=refit,
        )
        if refit:
            self._theta = process.kernel_.theta.tolist()
            self._num_fitted, self._num_features = count, size
            # From the logarithms, as a search that is taken up again has it, to the last bit.
            process = gaussian_process.fit(points, targets, self._theta, refit=False)
        return process

    def get_state(self):
        fitted = {"theta": self._theta, "fitted": self._num_fitted, "features": self._num_features}
        return super().get_state() | {"gaussian_process": fitted}

    def set_state(self, state):
        super().set_state(state)
        fitted = state.get("gaussian_process", {})
        self._theta, self._num_fitted = fitted.get("theta"), fitted.get("fitted", 0)
        self._num_features = fitted.get("features", 0)
        self._believed, self._encoded = None, (0, {})


class StockOracle(DurableOracle, keras_tuner.oracles.BayesianOptimizationOracle):
    """keras-tuner's own Bayesian optimisation, as a baseline: its proposals, our endurance."""

    def propose(self, trial_id):
        # Its random numbers, and the last fit by which it guesses at running trials, would be
        # another's after a restart.
        self._random_state = np.random.RandomState([self.seed, len(self.start_order)])
        self._seed_state = int(self._random_state.randint(2**31))
        self.gpr = self._make_gpr()
        completed, _ = self.ended()
        if completed:
            everything = self.trials, self.ongoing_trials
            self.trials = {trial.trial_id: trial for trial in completed}
            self.ongoing_trials = {}
            try:
                self.gpr.fit(*self._vectorize_trials())
            finally:
                self.trials, self.ongoing_trials = everything
        return keras_tuner.oracles.BayesianOptimizationOracle.populate_space(self, trial_id)

    def set_state(self, state):
        options = {name: getattr(self, name) for name in ("num_initial_points", "alpha", "beta")}
        super().set_state(state | options)


def standardise(scores, num_failed=0):
    """Scores as the process sees them: of mean 0 and variance 1, smaller is better.

    Those worse than the median are spread by their ranks as the normal distribution would be whose
    better half the others are, so that a few huge losses do not flatten all else (Song et al. 2024,
    half-rank warping). Failed trials come after the worst by a quarter of the range.

    Args:
        scores: (n,).
        num_failed: trials without a score, whose targets are appended.
    """
    from scipy import stats

    median = np.median(scores)
    better = scores[scores <= median]
    spread = np.sqrt(np.mean((better - median) ** 2))
    worse = scores > median
    ranks = stats.rankdata(scores, method="average")[worse]
    warped = scores.astype(float)
    if spread > 0:
        warped[worse] = median + spread * stats.norm.ppf((ranks - 0.5) / len(scores))
    worst, best = warped.max(), warped.min()
    penalty = worst + 0.25 * ((worst - best) or 1.0)
    targets = np.concatenate([warped, np.full(num_failed, penalty)])
    return (targets - targets.mean()) / (targets.std() or 1.0)


@contextlib.contextmanager
def _unlocked_after_an_error(oracle):
    """Gives back the lock that keras-tuner's `synchronized` keeps if its method raises."""
    outermost = engine.THREADS[oracle] != threading.current_thread().name
    try:
        yield
    except BaseException:
        if outermost and engine.THREADS[oracle] == threading.current_thread().name:
            engine.THREADS[oracle] = None
            engine.LOCKS[oracle].release()
        raise


def _write(path, state):
    with whole(path, "w") as file:
        file.write(json.dumps(state))  # far quicker than `dump`


def _read(path):
    """The content of a file of JSON; None where there is none, or none that can be read."""
    try:
        with open(path) as file:
            return json.load(file)
    except FileNotFoundError:
        return None
    except ValueError:
        aside = f"{path}.damaged"
        os.replace(path, aside)
        warnings.warn(f"{path} is damaged; it is set aside as {aside}", stacklevel=2)
        return None


ORACLES = {"gp": GPOracle, "random": RandomOracle, "keras_tuner": StockOracle}


def load_oracle(algorithm):
    """The oracle class of a name.

    Raises:
        UserError: an unknown name, or a package that is not installed.
    """
    if algorithm == "optuna":
        try:
            from tuning.search.optuna_oracle import OptunaOracle
        except ImportError as error:
            raise UserError(
                f"the algorithm optuna needs {error.name}: pip install 'rnn-zoo[optuna]'"
            ) from None
        return OptunaOracle
    if algorithm not in ORACLES:
        raise UserError(
            f"unknown algorithm {algorithm!r}; choose one of {', '.join([*ORACLES, 'optuna'])}"
        )
    return ORACLES[algorithm]
