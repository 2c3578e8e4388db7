"""The Gaussian process against scikit-learn's, and the acquisition against Monte Carlo."""

import numpy as np
import pytest
from scipy import stats
from sklearn.gaussian_process import GaussianProcessRegressor

from tuning.search import gaussian_process


def data(n=40, d=5, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.random((n, d))
    y = np.sin(5 * x[:, 0]) + x[:, 1] ** 2 + 0.1 * rng.standard_normal(n)
    return x, (y - y.mean()) / y.std()


def theta(d, rng):
    return np.concatenate([[0.3], rng.normal(0.0, 0.5, d), [-3.0]])


def stock(process):
    """Fit scikit-learn's process with the same kernel to the same data."""
    return GaussianProcessRegressor(process.kernel_, alpha=process.alpha, optimizer=None).fit(
        process.X_train_, process.y_train_
    )


@pytest.mark.parametrize("d", [1, 5])
def test_likelihood_and_gradient_equal_scikit_learn(d):
    rng = np.random.default_rng(1)
    x = rng.random((40, d))
    process = gaussian_process.fit(x, np.sin(4 * x[:, 0]), theta(d, rng), refit=False)
    for _ in range(3):
        point = theta(d, rng)
        value, gradient = process.log_marginal_likelihood(point, eval_gradient=True)
        expected, slopes = stock(process).log_marginal_likelihood(point, eval_gradient=True)
        assert value == pytest.approx(expected, rel=1e-10)
        np.testing.assert_allclose(gradient, slopes, rtol=1e-7, atol=1e-8)


def test_fitting_improves_on_the_prior_means():
    x, y = data()
    middle, scale = gaussian_process._priors(5)

    def log_posterior(point):
        deviation = (point - middle) / scale
        return process.log_marginal_likelihood(point) - deviation @ deviation / 2

    process = gaussian_process.fit(x, y)
    best = log_posterior(process.kernel_.theta)
    assert best > log_posterior(middle) + 1
    rng = np.random.default_rng(2)
    for _ in range(20):
        assert best > log_posterior(process.kernel_.theta + 0.1 * rng.standard_normal(7)) - 1e-3
    lengths = process.kernel_.k1.k2.length_scale
    assert lengths[0] < min(lengths[2:])  # relevant features have short lengths


def test_posterior_equals_scikit_learn():
    x, y = data()
    process = gaussian_process.fit(x, y)
    candidates = np.random.default_rng(3).random((7, 5))
    means, deviations = gaussian_process.Posterior(process, 2).predict(candidates)
    expected, with_noise = stock(process).predict(candidates, return_std=True)
    np.testing.assert_allclose(means, np.tile(expected[:, None], 2), rtol=1e-8)
    noise = process.kernel_.k2.noise_level
    np.testing.assert_allclose(deviations, np.sqrt(with_noise**2 - noise), rtol=1e-6)


def test_best_value_is_a_posterior_mean():
    x, y = data()
    posterior = gaussian_process.Posterior(gaussian_process.fit(x, y))
    assert posterior.best[0] == pytest.approx(posterior.predict(x)[0].min(), rel=1e-8)


@pytest.mark.parametrize("mean, deviation", [(0.0, 1.0), (1.5, 0.7), (-2.0, 0.3), (2.0, 0.4)])
def test_expected_improvement_equals_monte_carlo(mean, deviation):
    best = 0.4
    samples = stats.norm(mean, deviation).rvs(2_000_000, random_state=0)
    improvement = np.maximum(best - samples, 0)
    exact = np.exp(gaussian_process.log_expected_improvement(mean, deviation, best))
    assert exact == pytest.approx(
        improvement.mean(), abs=5 * improvement.std() / np.sqrt(len(samples))
    )


def test_expected_improvement_far_from_the_best():
    import mpmath

    for z in (-3.0, -30.0, -300.0, -9e3, -1e6):
        with mpmath.workdps(60):
            exact = mpmath.log(
                mpmath.npdf(z) + z * mpmath.erfc(-mpmath.mpf(z) / mpmath.sqrt(2)) / 2
            ) if z > -400 else -mpmath.mpf(z) ** 2 / 2 - mpmath.log(2 * mpmath.pi) / 2 - 2 * (
                mpmath.log(-z)
            )  # fmt: skip
        assert gaussian_process.log_expected_improvement(-z, 1.0, 0.0) == pytest.approx(
            float(exact), rel=1e-7
        )


def test_fantasies_are_draws_of_the_process():
    """The fantasised posterior equals scikit-learn's, fitted to the same results."""
    x, y = data(20)
    process = gaussian_process.fit(x, y)
    rng = np.random.default_rng(4)
    running, normals = rng.random((3, 5)), rng.standard_normal((3, 6))
    posterior = gaussian_process.Posterior(process, 6)
    for point, numbers in zip(running, normals, strict=True):
        posterior = posterior.fantasise(point, numbers)
    candidates = rng.random((4, 5))
    means, deviations = posterior.predict(candidates)
    for s in range(6):
        known_x, known_y = x, y
        for point, number in zip(running, normals[:, s], strict=True):
            now = GaussianProcessRegressor(process.kernel_, alpha=process.alpha, optimizer=None)
            mean, deviation = now.fit(known_x, known_y).predict(point[None], return_std=True)
            deviation = np.sqrt(deviation**2 + process.alpha)
            known_x = np.vstack([known_x, point])
            known_y = np.append(known_y, mean + deviation * number)
        expected, with_noise = now.fit(known_x, known_y).predict(candidates, return_std=True)
        np.testing.assert_allclose(means[:, s], expected, rtol=1e-6, atol=1e-8)
        noise = process.kernel_.k2.noise_level
        np.testing.assert_allclose(deviations, np.sqrt(with_noise**2 - noise), rtol=1e-5)


@pytest.mark.slow
def test_improvement_over_fantasies_equals_monte_carlo():
    """Draw results of two running trials, fit scikit-learn to them, draw the candidate."""
    x, y = data(15, d=2)
    process = gaussian_process.fit(x, y)
    rng = np.random.default_rng(5)
    # The candidate lies near a running trial, which will reveal most about it.
    running = x[y.argmin()] + np.array([[0.08, 0.0], [0.0, -0.1]])
    candidate = running[:1] + 0.01
    mean, covariance = stock(process).predict(running, return_cov=True)
    noise = process.kernel_.k2.noise_level
    points, improvements = np.vstack([x, running]), []
    for results in rng.multivariate_normal(mean, covariance, 1500):
        after = GaussianProcessRegressor(process.kernel_, alpha=process.alpha, optimizer=None)
        after.fit(points, np.append(y, results))
        mean, deviation = after.predict(candidate, return_std=True)
        drawn = mean + np.sqrt(deviation**2 - noise) * rng.standard_normal(400)
        improvements.append(np.maximum(after.predict(points).min() - drawn, 0).mean())
    posterior = gaussian_process.Posterior(process, 4000)
    for point in running:
        posterior = posterior.fantasise(point, rng.standard_normal(4000))
    found = np.exp(posterior.log_improvement(candidate)[0])
    alone = np.exp(gaussian_process.Posterior(process).log_improvement(candidate)[0])
    expected, error = np.mean(improvements), np.std(improvements) / np.sqrt(1500)
    assert abs(alone - expected) > 8 * error  # the fantasies matter
    assert found == pytest.approx(expected, abs=4 * error)


def test_acquisition_gradient_equals_finite_differences():
    x, y = data(25)
    rng = np.random.default_rng(6)
    posterior = gaussian_process.Posterior(gaussian_process.fit(x, y), 8)
    for _ in range(2):
        posterior = posterior.fantasise(rng.random(5), rng.standard_normal(8))
    candidates, width = rng.random((3, 5)), 1e-6
    values, gradients = posterior.log_improvement_gradient(candidates)
    np.testing.assert_allclose(values, posterior.log_improvement(candidates), rtol=1e-10)
    for j in range(5):
        ahead, behind = candidates.copy(), candidates.copy()
        ahead[:, j] += width
        behind[:, j] -= width
        slopes = posterior.log_improvement(ahead) - posterior.log_improvement(behind)
        np.testing.assert_allclose(gradients[:, j], slopes / (2 * width), rtol=2e-4, atol=1e-5)
