"""Maximisation of expected improvement over a mixed space.

Random points and perturbed copies of the best trials are scored first. Starting from the best of
these, numbers follow the gradient and choices are changed one at a time.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import optimize

from tuning.search.features import Features
from tuning.search.gaussian_process import Posterior

_RANDOM, _NEAR, _STARTS, _ITERATIONS = 400, 400, 5, 20


def maximise(
    features: Features,
    posterior: Posterior,
    rng: np.random.Generator,
    incumbents: np.ndarray,
    is_taken: Callable[[dict], bool],
) -> dict[str, Any] | None:
    """Find the untried point with the largest expected improvement.

    Args:
        features: features of the space.
        posterior: the posterior of the objective.
        rng: source of random candidates.
        incumbents: (k, d), the best trials so far.
        is_taken: returns whether a dict of values has been tried.

    Returns:
        Dict of values; None if every candidate has been tried.
    """
    near = _perturbed(features, rng, incumbents[rng.integers(len(incumbents), size=_NEAR)])
    candidates = np.vstack([features.draw(rng, _RANDOM), near])
    scores = posterior.log_improvement(candidates)
    order = np.argsort(-scores, kind="stable")
    climbed = _climb(features, posterior, candidates[order[:_STARTS]])
    best = climbed[np.argmax(posterior.log_improvement(climbed))]
    exchanged = _exchanged(features, best)
    other = np.argmax(posterior.log_improvement(exchanged))
    if other:
        climbed = np.vstack([climbed, _climb(features, posterior, exchanged[[other]])])
    ranked = climbed[np.argsort(-posterior.log_improvement(climbed), kind="stable")]
    for point in [*ranked, *candidates[order]]:
        values = features.decode(point)
        if not is_taken(values):
            return values
    return None


def _perturbed(features, rng, points):
    """Copy points, move some numbers at random scales, and redraw a tenth of the choices."""
    fresh = features.draw(rng, len(points))
    width = 10 ** rng.uniform(-2.5, -0.5, (len(points), 1))
    moved = points + width * rng.standard_normal(points.shape)
    share = rng.uniform(1 / features.size, 1, (len(points), 1))
    changed = np.where(rng.random(points.shape) < share, np.clip(moved, 0, 1), points)
    for columns in features.choices:
        redrawn = rng.random((len(points), 1)) < 0.1
        changed[:, columns] = np.where(redrawn, fresh[:, columns], points[:, columns])
    return features.settle(changed)


def _climb(features, posterior, points):
    """Move the free features of all points along the gradient, in one L-BFGS run."""
    shape, free = points.shape, np.array([features.free(point) for point in points])

    def objective(flat):
        scores, gradients = posterior.log_improvement_gradient(flat.reshape(shape))
        return -scores.sum(), -(gradients * free).ravel()

    bounds = [
        (0.0, 1.0) if moves else (value, value)
        for moves, value in zip(free.ravel(), points.ravel(), strict=True)
    ]
    found = optimize.minimize(
        objective,
        points.ravel(),
        jac=True,
        bounds=bounds,
        method="L-BFGS-B",
        options={"maxiter": _ITERATIONS, "ftol": 1e-6},
    )
    return found.x.reshape(shape)


def _exchanged(features, point):
    """Return the point and copy of it, each with one choice set to another value."""
    points = [point]
    for columns in features.choices:
        for chosen in columns:
            if point[chosen] < point[columns].max():
                points.append(point.copy())
                points[-1][columns] = columns == chosen
    return features.settle(np.array(points))
