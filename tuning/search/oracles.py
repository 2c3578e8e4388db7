"""Search algorithms as keras-tuner oracles, for any `keras_tuner.Tuner`.

Example:
    tuner = keras_tuner.Tuner(oracle=GPOracle("val_loss", max_trials=50), hypermodel=build)
"""

from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial

from trainer.errors import UserError
from tuning.search import acquisition, gaussian_process
from tuning.search.durable import RUNNING, STOPPED, DurableOracle
from tuning.search.features import BELOW_ONE, Features


class RandomOracle(DurableOracle):
    """Independent draws from each hyperparameter's distribution (the paper's Figure 5, Table 1)."""

    def propose(self, trial_id: str) -> dict[str, Any]:
        features, rng = Features(self.hyperparameters), self.rng(len(self.start_order))
        for vector in features.draw(rng, 100):
            values = features.decode(vector)
            if not self._duplicate(values):
                return {"status": RUNNING, "values": values, "origin": "random"}
        return {"status": STOPPED, "values": None, "origin": "random"}


class GPOracle(RandomOracle):
    """Batched expected improvement under a Gaussian process (the paper's appendix A).

    The kernel is Matérn 5/2 with automatic relevance determination over scaled features, with
    unordered choices one-hot. Results of running trials are fantasised, so any number of trials may
    run at once. Failed trials get a loss worse than that of any completed one.

    Args:
        objective, max_trials, hyperparameters, seed, first, **options: see `DurableOracle`.
        initial_points: see `DurableOracle`; by default one more than the number of free dimensions,
            but at least 5 and at most 20.
        fantasies: number of fantasised results per running trial.

    Source: Snoek et al. 2012; Desautels et al. 2014.
    """

    #: The kernel is refitted when the number of trials has grown by this factor.
    GROWTH = 1.15

    def __init__(self, *args: Any, fantasies: int = 16, **options: Any):
        super().__init__(*args, **options)
        self.fantasies = fantasies
        self._theta, self._num_fitted, self._num_features = None, 0, 0
        self._forget()

    def _forget(self):
        """Clear the caches between proposals."""
        self._cached_posterior, self._encoded = None, (0, {})

    def propose(self, trial_id: str) -> dict[str, Any]:
        features = Features(self.hyperparameters)
        completed, failed = self.ended()
        initial = self.initial_points or min(max(features.num_free + 1, 5), 20)
        if len(self.start_order) < initial or len(completed) < 2 or not features.size:
            return super().propose(trial_id)
        losses = self.losses(completed)
        points = np.array([self._encode(features, trial) for trial in [*completed, *failed]])
        targets = gaussian_process.standardise(losses, len(failed))
        posterior = self._posterior(features, points, targets)
        best = points[np.argsort(losses, kind="stable")[:10]]
        rng = self.rng(len(self.start_order))
        values = acquisition.maximise(features, posterior, rng, best, self._duplicate)
        return {
            "status": RUNNING if values else STOPPED,
            "values": values,
            "origin": "search",
        }

    def _posterior(self, features, points, targets):
        """Fit ended trials and fantasise running ones; extend the last posterior if possible."""
        running = [
            (index, self.trials[trial_id])
            for index, trial_id in enumerate(self.start_order)
            if self.trials[trial_id].status == RUNNING
        ]
        key = (len(points), features.size, targets.tobytes())
        cached = self._cached_posterior
        if cached is None or cached[0] != key or cached[1] > len(running):
            process = self._fit(points, targets)
            cached = key, 0, gaussian_process.Posterior(process, self.fantasies)
        _, num_fantasised, posterior = cached
        for index, trial in running[num_fantasised:]:
            # Seeded by trial, so that a restarted search draws the same fantasies.
            normals = np.random.default_rng([self.seed, index, 1]).standard_normal(self.fantasies)
            posterior = posterior.fantasise(self._encode(features, trial), normals)
        self._cached_posterior = (key, len(running), posterior)
        return posterior

    def _encode(self, features, trial):
        if self._encoded[0] != features.size:
            self._encoded = (features.size, {})
        known = self._encoded[1]
        if trial.trial_id in known:
            return known[trial.trial_id]
        vector = features.encode(trial.hyperparameters.values)
        if trial.status != RUNNING:  # a running trial's model may still add hyperparameters
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
            # Fit from the stored theta as a restarted search does, so that both agree bit for bit.
            process = gaussian_process.fit(points, targets, self._theta, refit=False)
        return process

    def get_state(self) -> dict[str, Any]:
        fitted = {"theta": self._theta, "fitted": self._num_fitted, "features": self._num_features}
        return super().get_state() | {"gaussian_process": fitted}

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        fitted = state.get("gaussian_process", {})
        self._theta, self._num_fitted = fitted.get("theta"), fitted.get("fitted", 0)
        self._num_features = fitted.get("features", 0)
        # Of the signal's variance, the length scales, and the noise.
        if self._theta is not None and len(self._theta) != self._num_features + 2:
            raise UserError(
                f"its Gaussian process has {len(self._theta)} parameters for "
                f"{self._num_features} features"
            )
        self._forget()


class StockOracle(DurableOracle, keras_tuner.oracles.BayesianOptimizationOracle):
    """keras-tuner's own Bayesian optimisation made durable, as a baseline."""

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        if self.initial_points is not None:
            self.num_initial_points = self.initial_points

    def propose(self, trial_id: str) -> dict[str, Any]:
        # The base class keeps a random state and its last fit, which a restart would lose: derive
        # both from the trials instead.
        self._random_state = np.random.RandomState([self.seed, len(self.start_order)])
        self._seed_state = int(self._random_state.randint(2**31))
        self.gpr = self._make_gpr()
        completed, _ = self.ended()
        if completed:
            self._refit(completed)
        proposal = keras_tuner.oracles.BayesianOptimizationOracle.populate_space(self, trial_id)
        # The base class's rule for its initial points.
        initial = self.num_initial_points or max(3 * len(self.hyperparameters.space), 3)
        return proposal | {"origin": "random" if len(completed) < initial else "search"}

    def _get_hp_bounds(self):
        # At 1, a logarithmic `Int` of the base class is above its range.
        return np.array([[0, BELOW_ONE] for _ in self._nonfixed_space()]).reshape(-1, 2)

    def _refit(self, completed: list[Trial]) -> None:
        """Fit to completed trials only; the base class imputes running ones from its last fit."""
        everything = self.trials, self.ongoing_trials
        self.trials, self.ongoing_trials = {trial.trial_id: trial for trial in completed}, {}
        try:
            self.gpr.fit(*self._vectorize_trials())
        finally:
            self.trials, self.ongoing_trials = everything

    def set_state(self, state: dict[str, Any]) -> None:
        # The constructor's options take precedence over the stored ones.
        options = {name: getattr(self, name) for name in ("num_initial_points", "alpha", "beta")}
        super().set_state(state | options)
