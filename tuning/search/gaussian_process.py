"""scikit-learn's Gaussian process, made fast enough for a thousand trials.

It adds a gradient of the marginal likelihood that needs no n x n x d array, priors on the kernel's
parameters, and a posterior that can be extended by fantasised results of running trials.

Legend: n ended trials, d features, S fantasies, C candidates.
"""

import warnings
from typing import Any

import numpy as np
from scipy import linalg, optimize, special, stats
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

_JITTER = 1e-10


class GaussianProcess(GaussianProcessRegressor):
    """scikit-learn's process with a Matérn-5/2 kernel, one length scale per feature, and noise.

    With r = √5 |(x - x')/ℓ|, k = s² (1 + r + r²/3) e^{-r}. The derivative with respect to log ℓ_j
    is s² 5/3 (1 + r) e^{-r} ((x_j - x'_j)/ℓ_j)². The gradient is its sum over all pairs, weighted
    by the symmetric matrix of the likelihood's derivative. This takes two products with X, where
    scikit-learn builds an n x n x d array.

    Source: Rasmussen and Williams 2006, eq. 2.30 and 5.9; Snoek et al. 2012.
    """

    def log_marginal_likelihood(
        self, theta: np.ndarray, eval_gradient: bool = False, clone_kernel: bool = True
    ) -> Any:
        """Return log p(y | X, θ), optionally with its gradient; as scikit-learn, to rounding."""
        if not eval_gradient:
            return super().log_marginal_likelihood(theta, False, clone_kernel)
        kernel = self.kernel_.clone_with_theta(theta) if clone_kernel else self.kernel_
        kernel.theta = theta
        variance, lengths, noise = _parameters(kernel)
        z = self.X_train_ / lengths
        r = np.sqrt(5 * _squared_distances(z, z))
        decay = variance * np.exp(-r)
        signal = (1 + r + r * r / 3) * decay
        covariance = signal.copy()
        covariance.flat[:: len(z) + 1] += noise + self.alpha
        try:
            cholesky = linalg.cholesky(covariance, True, overwrite_a=True, check_finite=False)
        except linalg.LinAlgError:
            return -np.inf, np.zeros_like(theta)
        y = self.y_train_
        alpha = linalg.cho_solve((cholesky, True), y, check_finite=False)
        half = linalg.lapack.dpotri(cholesky, lower=1)[0]  # lower triangle of the inverse
        half.flat[:: len(z) + 1] *= 0.5
        # Twice the derivative of the likelihood with respect to the covariance.
        by_covariance = np.multiply.outer(alpha, alpha)
        by_covariance -= half
        by_covariance -= half.T
        weights = (5 / 3 * (1 + r)) * decay
        weights *= by_covariance
        pairs = weights.sum(1) @ z**2 - np.einsum("ij,ij->j", z, weights @ z)
        value = -0.5 * y @ alpha - np.log(np.diag(cholesky)).sum() - len(z) / 2 * np.log(2 * np.pi)
        gradient = [0.5 * np.vdot(by_covariance, signal), *pairs]
        return value, np.array([*gradient, 0.5 * noise * np.trace(by_covariance)])


def fit(
    features: np.ndarray,
    targets: np.ndarray,
    theta: Any = None,
    max_iterations: int = 60,
    refit: bool = True,
) -> GaussianProcess:
    """Fit a process to standardised targets.

    The kernel's parameters are maximum a posteriori estimates. The prior on length scales is
    log-normal and grows with √d, which suits functions of d about equally relevant features
    (Hvarfner et al. 2024); the prior on the noise favours small values.

    Args:
        features: (n, d), within [0, 1].
        targets: (n,), of mean 0 and variance 1.
        theta: log parameters to start from; the prior means if None.
        max_iterations: iterations of L-BFGS.
        refit: whether to optimise the parameters; if not, `theta` is used as it is.
    """
    middle, scale = _priors(features.shape[1])

    def maximise(negative, start, bounds):
        def objective(theta):
            value, gradient = negative(theta)
            deviation = (theta - middle) / scale
            return value + deviation @ deviation / 2, gradient + deviation / scale

        found = optimize.minimize(
            objective,
            start,
            jac=True,
            bounds=bounds,
            method="L-BFGS-B",
            options={"maxiter": max_iterations},
        )
        return found.x, found.fun

    theta = middle if theta is None else np.asarray(theta)
    kernel = _kernel(features.shape[1]).clone_with_theta(theta)
    process = GaussianProcess(kernel, alpha=_JITTER, optimizer=maximise if refit else None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a parameter may lie at its bound
        return process.fit(features, targets)


def _kernel(num_features):
    lengths = Matern(np.ones(num_features), (1e-2, 1e4), nu=2.5)
    return ConstantKernel(1.0, (1e-2, 1e2)) * lengths + WhiteKernel(1e-2, (1e-6, 1e1))


def _priors(num_features):
    """Return prior means and deviations of the log parameters: variance, lengths, noise."""
    # The mode of Hvarfner's log-normal distribution.
    length = np.sqrt(2) - 3 + np.log(num_features) / 2
    means = [0.0, *[length] * num_features, -5.0]
    return np.array(means), np.array([1.0, *[np.sqrt(3)] * num_features, 1.0])


def _parameters(kernel):
    variance = kernel.k1.k1.constant_value
    return variance, np.atleast_1d(kernel.k1.k2.length_scale), kernel.k2.noise_level


def _squared_distances(a, b):
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    if a is b:
        np.fill_diagonal(squared, 0.0)
    return np.maximum(squared, 0.0)


def standardise(scores: np.ndarray, num_failed: int = 0) -> np.ndarray:
    """Turn scores into targets of mean 0 and variance 1, for which smaller is better.

    Scores above the median are replaced, by rank, with quantiles of a normal distribution that is
    fitted to the better half, so that a few huge losses do not flatten the rest (half-rank warping,
    Song et al. 2024). Failed trials get the worst score plus a quarter of the range.

    Args:
        scores: (n,).
        num_failed: number of failed trials, whose targets are appended.
    """
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


class Posterior:
    """Posterior of the objective given ended trials and S fantasies of the running ones.

    Each fantasised result is drawn from the posterior given all earlier results, real and
    fantasised (Snoek et al. 2012, section 3.2). All fantasies share the Cholesky factor L. In the
    whitened targets W = L⁻¹ Y, the row of a fantasised result is its standard normal draw.

    Args:
        process: a fitted `GaussianProcess`.
        num_fantasies: S.
    """

    def __init__(self, process: GaussianProcess, num_fantasies: int = 1):
        self.variance, self.lengths, self.noise = _parameters(process.kernel_)
        self.noise += process.alpha
        self.points, self._cholesky = process.X_train_, process.L_
        self._results = np.tile(process.y_train_[:, None], num_fantasies)
        self._whitened = _solve(process.L_, self._results)
        self._weigh()

    def fantasise(self, point: np.ndarray, normals: np.ndarray) -> "Posterior":
        """Return the posterior that includes one more running trial.

        Args:
            point: (d,).
            normals: (S,) draws from the standard normal distribution.
        """
        row = _solve(self._cholesky, self._covariances(point[None])[0][:, 0])
        corner = np.sqrt(max(self.variance + self.noise - row @ row, _JITTER))
        results = row @ self._whitened + corner * normals
        after = object.__new__(Posterior)
        after.__dict__.update(self.__dict__)
        after.points = np.vstack([self.points, point])
        after._cholesky = np.block([[self._cholesky, np.zeros((len(row), 1))], [row, corner]])
        after._whitened = np.vstack([self._whitened, normals])
        after._results = np.vstack([self._results, results])
        after._weigh()
        return after

    def _weigh(self):
        self._weights = _solve(self._cholesky, self._whitened, "T")
        # The posterior mean at a trial, not its noisy result, which may be lucky.
        self.best = (self._results - self.noise * self._weights).min(0)

    def predict(self, candidates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return means (C, S) and standard deviations (C,) of the noise-free function."""
        covariances, _ = self._covariances(candidates)
        rows = _solve(self._cholesky, covariances)
        variances = np.maximum(self.variance - (rows**2).sum(0), _JITTER)
        return covariances.T @ self._weights, np.sqrt(variances)

    def log_improvement(self, candidates: np.ndarray) -> np.ndarray:
        """Return the log of the mean expected improvement over fantasies, (C,)."""
        means, deviations = self.predict(candidates)
        logs = log_expected_improvement(means, deviations[:, None], self.best)
        return special.logsumexp(logs, axis=1) - np.log(logs.shape[1])

    def log_improvement_gradient(self, candidates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return `log_improvement` (C,) and its gradients (C, d)."""
        covariances, slopes = self._covariances(candidates)
        rows = _solve(self._cholesky, covariances)
        solved = _solve(self._cholesky, rows, "T")
        deviations = np.sqrt(np.maximum(self.variance - (rows**2).sum(0), _JITTER))
        means = covariances.T @ self._weights
        scores = (self.best - means) / deviations[:, None]
        logs = np.log(deviations)[:, None] + _log_h(scores)
        total = special.logsumexp(logs, axis=1)
        shares = np.exp(logs - total[:, None])
        by_mean, by_deviation = _slopes_of_log_h(scores)
        gradients = np.empty_like(candidates)
        for c, candidate in enumerate(candidates):
            # Derivative of each covariance with respect to the candidate, (n, d).
            step = (candidate - self.points) / self.lengths**2 * slopes[:, c, None]
            mean_gradients = self._weights.T @ step
            deviation_gradient = -(solved[:, c] @ step) / deviations[c]
            each = by_mean[c, :, None] * mean_gradients + by_deviation[c, :, None] * (
                deviation_gradient
            )
            gradients[c] = shares[c] @ each / deviations[c]
        return total - np.log(logs.shape[1]), gradients

    def _covariances(self, candidates):
        """Return k(points, candidates), (n, C), and -s² 5/3 (1 + r) e^{-r} of the same pairs."""
        squared = _squared_distances(self.points / self.lengths, candidates / self.lengths)
        r = np.sqrt(5 * squared)
        decay = self.variance * np.exp(-r)
        return (1 + r + r * r / 3) * decay, -5 / 3 * (1 + r) * decay


def _solve(cholesky, right, trans="N"):
    return linalg.solve_triangular(cholesky, right, trans, lower=True, check_finite=False)


def log_expected_improvement(
    mean: np.ndarray, deviation: np.ndarray, best: np.ndarray
) -> np.ndarray:
    """Return log E[max(best - f, 0)] = log σ + log(φ(z) + z Φ(z)) for normal f.

    Here z = (best - μ)/σ. The logarithm still has a gradient where μ is far above the best value
    and the improvement itself rounds to zero (Ament et al. 2023).

    Args:
        mean, deviation: μ and σ.
        best: the smallest value so far.
    """
    return np.log(deviation) + _log_h((best - mean) / deviation)


def _log_h(z):
    """Compute log(φ(z) + z Φ(z)) without cancellation."""
    near = np.maximum(z, -1.0)
    plain = np.log(np.exp(-(near**2) / 2) / np.sqrt(2 * np.pi) + near * special.ndtr(near))
    far = np.clip(z, -1e4, -1.0)
    tail = np.log1p(far * _mills(far))
    tail = np.where(z < -1e4, -2 * np.log(np.maximum(-z, 1.0)), tail)
    return np.where(z > -1.0, plain, tail - z**2 / 2 - np.log(2 * np.pi) / 2)


def _slopes_of_log_h(z):
    """Return -Φ(z)/h and φ(z)/h, h = φ(z) + z Φ(z): σ times the slopes of log(σ h) by μ and σ."""
    log_h = _log_h(z)
    by_mean = -np.exp(special.log_ndtr(z) - log_h)
    return by_mean, np.exp(-(z**2) / 2 - np.log(2 * np.pi) / 2 - log_h)


def _mills(z):
    """Return Φ(z)/φ(z) for z <= 0."""
    return np.sqrt(np.pi / 2) * special.erfcx(-z / np.sqrt(2))
