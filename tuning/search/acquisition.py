"""Where to try next: the point of a mixed space that promises the largest improvement.

Random points and changed copies of the best trials are judged first; from the best of these,
numbers climb the gradient and choices are exchanged one at a time.
"""

import numpy as np
from scipy import optimize

_RANDOM, _NEAR, _STARTS, _ITERATIONS = 400, 400, 5, 20


def maximise(features, posterior, rng, incumbents, is_taken):
    """The point with the largest expected improvement that was not tried yet.

    Args:
        features: the space's `Features`.
        posterior: a `gp.Posterior`.
        rng: a `numpy.random.Generator`.
        incumbents: (k, d), the best trials so far.
        is_taken: called with a dict of values; true for what was tried.

    Returns:
        The dict of values, or None where all that was looked at is taken.
    """
    near = _changed(features, rng, incumbents[rng.integers(len(incumbents), size=_NEAR)])
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


def _changed(features, rng, points):
    """Copies with some numbers moved, some a little, and a tenth of the choices redrawn."""
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
    """The points after their free features have followed the gradient, all in one search."""
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
    """The point, and it with each choice in each other of its values."""
    points = [point]
    for columns in features.choices:
        for chosen in columns:
            if point[chosen] < point[columns].max():
                points.append(point.copy())
                points[-1][columns] = columns == chosen
    return features.settle(np.array(points))
