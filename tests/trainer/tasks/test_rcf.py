"""Random continuous functions: distributions of points and draws, the loss as a plain sum."""

import math

import numpy as np
import pytest
from on_backend import MODES, QUICKEST, execute, to_numpy
from scipy import stats
from slow import slow_except

from rnn_zoo.model import build_model
from trainer.errors import UserError
from trainer.tasks import TASKS

UNLUCKY = 1e-4


def make(num_samples=200, **options):
    return TASKS["rcf"](num_samples=num_samples, **options)


def beta(num_samples):
    """β_i ∝ 1 / (i + 5000), for i from 1, normalised to sum 1."""
    weights = [1 / (i + 5000) for i in range(1, num_samples + 1)]
    z = math.fsum(weights)
    return np.array([w / z for w in weights])


def data_set(task, seed=0, batch_size=64, split="eval"):
    """All points (N, I), values (N,) and weights β (N,), from `sweep`."""
    points, values, weights = [], [], []
    for step in range(-(-task.num_samples // batch_size)):
        batch = to_numpy(task.sweep(task.device_data, split, seed, step, batch_size).dense())
        points.append(batch.inputs[:, 0])
        values.append(batch.targets[:, -1, 0])
        weights.append(batch.weights)
    n = task.num_samples
    weights = np.concatenate(weights)
    assert not weights[n:].any()
    # Weights of batches average 1.
    return np.concatenate(points)[:n], np.concatenate(values)[:n], weights[:n] / n


def found(values, drawn):
    """The positions in `values` (N,) of drawn values, up to rounding."""
    order = np.argsort(values)
    right = np.searchsorted(values[order], drawn).clip(1, len(values) - 1)
    closer = np.abs(values[order[right - 1]] - drawn) < np.abs(values[order[right]] - drawn)
    index = order[right - closer]
    np.testing.assert_allclose(values[index], drawn, atol=1e-6)
    return index


def drawn_indices(task, seed, num_batches, batch_size):
    """The points that training draws, identified by their values."""
    batches = [task.sample("train", seed, batch_size, step) for step in range(num_batches)]
    drawn = np.concatenate([to_numpy(batch.targets)[:, -1, 0] for batch in batches])
    return found(data_set(task, seed, 500)[1], drawn)


# The data set.


def test_sizes():
    task = make()
    assert (task.num_steps, task.input_dim, task.output_dim) == (50, 50, 1)
    assert task.loss_steps == slice(49, 50)
    assert (task.num_samples, task.chance_loss) == (200, 1)
    assert TASKS["rcf"]().num_samples == 10**6


def test_points_lie_evenly_on_the_unit_sphere():
    points, _, _ = data_set(make(4000), batch_size=1000)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1, rtol=1e-5)
    # A coordinate of a point on the sphere in d dimensions: (1 + x) / 2 is Beta((d - 1) / 2).
    distribution = stats.beta(24.5, 24.5, loc=-1, scale=2)
    least = min(stats.kstest(column, distribution.cdf).pvalue for column in points.T)
    assert least > UNLUCKY / 50
    # Directions are independent: inner products of two points have the same distribution.
    assert stats.kstest((points[1:] * points[:-1]).sum(1), distribution.cdf).pvalue > UNLUCKY
    # Coordinates are uncorrelated: each product has variance 1 / (d (d + 2)).
    together = points.T @ points / math.sqrt(len(points) / (50 * 52))
    z = together[np.triu_indices(50, 1)]
    assert stats.chi2.sf((z**2).sum(), len(z)) > UNLUCKY


@pytest.mark.parametrize("dimensions", [1, 2, 3, 7])
def test_other_dimensions(dimensions):
    task = make(500, dimensions=dimensions, num_steps=3)
    points, values, _ = data_set(task)
    assert points.shape == (500, dimensions)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1, rtol=1e-5)
    assert stats.kstest(values, "norm").pvalue > UNLUCKY
    assert abs(stats.pearsonr(points[:, 0], values).statistic) < 4 / math.sqrt(500)
    assert task.loss_steps == slice(2, 3)


def test_values_are_standard_normal_and_independent_of_the_points():
    points, values, _ = data_set(make(20_000), 3, 5000)
    assert stats.kstest(values, "norm").pvalue > UNLUCKY
    z = points.T @ values / np.sqrt((points**2).sum(0))
    assert stats.chi2.sf((z**2).sum(), 50) > UNLUCKY
    assert abs(stats.pearsonr(values[1:], values[:-1]).statistic) < 4 / math.sqrt(20_000)


def test_a_point_is_shown_at_every_step():
    inputs, targets = to_numpy(tuple(make().sample("train", 0, 9)))
    np.testing.assert_array_equal(inputs, np.repeat(inputs[:, :1], 50, axis=1))
    np.testing.assert_array_equal(targets, np.repeat(targets[:, :1], 50, axis=1))


@pytest.mark.parametrize("batch_size", slow_except((7, 200, 201), [1, 7, 64, 200, 201, 333]))
def test_a_sweep_yields_every_point_once_with_its_weight(batch_size):
    points, values, weights = data_set(make(), 5, batch_size)
    expected = data_set(make(), 5, 50)
    # Rounding may depend on the batch size.
    np.testing.assert_allclose(points, expected[0], atol=1e-6)
    np.testing.assert_allclose(values, expected[1], atol=1e-6)
    np.testing.assert_allclose(weights, beta(200), rtol=1e-6)
    assert len(set(values.tolist())) == 200


def test_the_data_set_is_a_function_of_the_seed_alone():
    expected = data_set(make(), 5)
    for task in (make(), make(sampling="uniform")):
        for split in ("train", "valid"):
            for part, other in zip(expected, data_set(task, 5, split=split), strict=True):
                np.testing.assert_array_equal(part, other)
    assert not set(expected[1].tolist()) & set(data_set(make(), 6)[1].tolist())
    # A larger data set begins with the smaller one.
    np.testing.assert_allclose(data_set(make(300), 5)[0][:200], expected[0], atol=1e-6)


def test_nothing_big_is_kept_of_a_million_points():
    for sampling in ("weighted", "uniform"):
        task = TASKS["rcf"](sampling=sampling)
        assert sum(array.nbytes for array in task.data.values()) <= 8_000_000
        kept = [value for value in vars(task).values() if hasattr(value, "nbytes")]
        assert sum(value.nbytes for value in kept) < 1000
        assert sum(to_numpy(value).nbytes for value in task.device_data.values()) <= 8_000_000


@pytest.mark.slow
def test_the_weights_of_a_million_points_are_one_on_average():
    task = TASKS["rcf"](sampling="uniform", dimensions=1, num_steps=1)
    expected = 10**6 * beta(10**6)
    total, size = 0.0, 40_000
    for step in range(25):
        batch = task.sweep({}, "eval", 0, step, size).dense()
        weights = to_numpy(batch.weights).astype("float64")
        np.testing.assert_allclose(weights, expected[step * size : (step + 1) * size], rtol=1e-6)
        total += weights.sum()
    assert total == pytest.approx(10**6, rel=1e-6)


# The draws.


@pytest.mark.parametrize("num_samples", [2, 3, 5, 200])
def test_every_point_is_drawn_by_its_weight(num_samples):
    task = make(num_samples, dimensions=2, num_steps=1)
    counts = np.bincount(drawn_indices(task, 3, 4, 5000), minlength=num_samples)
    assert stats.chisquare(counts, beta(num_samples) * counts.sum()).pvalue > UNLUCKY


@pytest.mark.slow  # The test above has the law for few points.
def test_draws_follow_the_power_law_over_many_points():
    """The first of 20,000 points is drawn five times as often as the last."""
    task = make(20_000, dimensions=2, num_steps=1)
    counts = np.bincount(drawn_indices(task, 4, 10, 10_000), minlength=20_000)
    binned = counts.reshape(50, 400).sum(1)
    expected = beta(20_000).reshape(50, 400).sum(1) * counts.sum()
    assert stats.chisquare(binned, expected).pvalue > UNLUCKY
    flat = np.full(50, counts.sum() / 50)
    assert stats.chisquare(binned, flat).pvalue < 1e-100
    # Draws within a bin spread over its points, and neighbours do not share them.
    assert stats.chisquare(counts[:400], beta(400) * counts[:400].sum()).pvalue > UNLUCKY


def test_the_word_of_a_draw_decides_exactly():
    """Point i owns a range of β_i of all words, tested at the ends of each range."""
    from trainer.tasks.rcf import _first_end_above

    for num_samples in (1, 2, 3, 4, 5, 7, 8, 9, 1000):
        task = make(num_samples)
        ends = task.data["ends"]
        words = np.unique(np.concatenate([ends, ends - 1, [0, 1, 2**32 - 1]]).astype("uint32"))
        expected = [sum(word >= end for end in ends[:-1]) for word in words]
        assert execute("eager", _first_end_above, ends, words).tolist() == expected
        shares = np.diff([0, *ends.astype("float64")]) / 2**32
        np.testing.assert_allclose(shares, beta(num_samples), atol=2**-31)


def test_uniform_draws_are_uniform_and_carry_the_weights():
    task = make(sampling="uniform", dimensions=2, num_steps=1)
    counts = np.bincount(drawn_indices(task, 3, 4, 5000), minlength=200)
    assert stats.chisquare(counts).pvalue > UNLUCKY
    batch = to_numpy(task.sample("train", 3, 500, 1))
    index = found(data_set(task, 3)[1], batch.targets[:, -1, 0])
    np.testing.assert_allclose(batch.weights, 200 * beta(200)[index], rtol=1e-5)


@pytest.mark.slow
def test_uniform_draws_have_the_expectation_of_weighted_ones():
    """Both estimate Σ β_i (ŷ_i - y_i)² of a fixed predictor; weights differ by a factor of 5."""
    n, size, batches = 20_000, 20_000, 8
    tasks = {s: make(n, dimensions=2, num_steps=1, sampling=s) for s in ("weighted", "uniform")}
    points, values, _ = data_set(tasks["uniform"], 7, 5000)

    def predicted(points):
        return 2 * points[..., :1] + 0.5

    # The last half of the points have large errors, so that an unweighted loss would differ.
    hard = np.zeros(n)
    hard[n // 2 :] = 3
    exact = (beta(n) * (predicted(points)[:, 0] + hard - values) ** 2).sum()
    unweighted = ((predicted(points)[:, 0] + hard - values) ** 2).mean()
    for task in tasks.values():
        estimates = []
        for step in range(batches):
            batch = task.sample("train", 7, size, step)
            inputs, targets = to_numpy((batch.inputs, batch.targets))
            index = found(values, targets[:, -1, 0])
            outputs = predicted(inputs) + hard[index][:, None, None]
            estimates.append(float(task.loss(outputs.astype("float32"), batch)))
        error = np.std(estimates, ddof=1) / math.sqrt(batches)
        assert abs(np.mean(estimates) - exact) < 5 * error < abs(unweighted - exact)


# Loss and metrics.


def test_loss_and_metrics_are_the_naive_ones():
    task = make()
    batch = task.sample("valid", 3, 7)
    outputs = np.random.default_rng(0).normal(size=(7, 50, 1)).astype("float32")
    targets = to_numpy(batch.targets)
    expected = sum((outputs[i, -1, 0] - targets[i, -1, 0]) ** 2 for i in range(7)) / 7
    assert float(task.loss(outputs, batch)) == pytest.approx(expected, rel=1e-5)
    metrics = to_numpy(task.metrics(outputs, batch))
    assert metrics["loss"] == pytest.approx(expected, rel=1e-5)
    assert task.objective(metrics) == metrics["loss"]
    assert float(task.loss(targets, batch)) == 0


def test_the_loss_of_uniform_draws_is_the_mean_of_n_beta_errors():
    """Unbiased in small batches: the sum is not divided by the weights of the batch."""
    task = make(10**6, dimensions=2, num_steps=2, sampling="uniform")
    batch = task.sample("train", 3, 7)
    outputs = np.random.default_rng(0).normal(size=(7, 2, 1)).astype("float32")
    # Weights identify the points: i + 5000 = N / (Z w), Z = Σ 1 / (i + 5000).
    z = math.fsum(1 / (i + 5000) for i in range(1, 10**6 + 1))
    index = np.rint(10**6 / (z * to_numpy(batch.weights).astype("float64")) - 5000).astype(int)
    assert ((index >= 1) & (index <= 10**6)).all()
    total = 0.0
    for i, output, target in zip(index, outputs, to_numpy(batch.targets), strict=True):
        total += 10**6 / (z * (i + 5000)) * float(output[-1, 0] - target[-1, 0]) ** 2
    assert float(task.loss(outputs, batch)) == pytest.approx(total / 7, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("sampling", ["weighted", "uniform"])
def test_evaluation_is_the_weighted_sum_over_all_points(sampling, evaluate):
    task = make(5300, num_steps=4, dimensions=6, sampling=sampling)
    model = build_model("lstm", 1, 5, 6, 1, seed=1)
    # A large readout makes errors vary much more between points than the weights do.
    readout = model.get_layer("readout")
    readout.kernel.assign(20 * readout.kernel)
    measured = evaluate(task, model, "eval", seed=2, num_samples=5300, whole=True)
    points, values, _ = data_set(task, 2)
    outputs = to_numpy(model(np.repeat(points[:, None], 4, axis=1)))[:, -1, 0]
    total = 0.0
    for weight, output, value in zip(beta(5300), outputs.tolist(), values.tolist(), strict=True):
        total += weight * (output - value) ** 2
    assert measured["loss"] == pytest.approx(total, rel=1e-5)
    assert measured["loss"] != pytest.approx(np.square(outputs - values).mean(), rel=1e-4)


# test_contract.py has compiled draws.
@pytest.mark.parametrize("mode", slow_except([QUICKEST], MODES))
def test_each_lane_draws_and_sweeps_as_it_does_alone(mode):
    task, seeds = make(dimensions=3, num_steps=2), np.array([3, 9], "uint32")

    def lanes(data, seeds):
        return tuple(task.draw(data, "train", seeds, 2, 40).dense()), tuple(
            task.sweep(data, "train", seeds, 4, 48).dense()
        )

    for part, alone in zip(
        execute(mode, lanes, task.data, seeds),
        (
            lambda seed: task.sample("train", seed, 40, 2),
            lambda seed: task.sweep(task.device_data, "train", seed, 4, 48).dense(),
        ),
        strict=True,
    ):
        for lane in range(2):
            expected = to_numpy(tuple(alone(int(seeds[lane]))))
            for array, other in zip(part, expected, strict=True):
                np.testing.assert_allclose(array[lane], other, rtol=1e-5, atol=1e-6)


def test_an_example_shows_the_point_and_its_value():
    batch = make(dimensions=4).sample("train", 0, 5)
    for index in range(5):
        point, value = make(dimensions=4).example(batch, index).removeprefix("f([").split("]) = ")
        point = [float(number) for number in point.split()]
        np.testing.assert_allclose(point, to_numpy(batch.inputs)[index, 0], atol=0.006)
        assert float(value) == pytest.approx(float(batch.targets[index, -1, 0]), abs=0.0006)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"sampling": "none"}, "'none'.*weighted, uniform"),
        ({"num_samples": 0}, "at least 1, got 0"),
        ({"num_samples": 2**31 - 1}, "num_samples must be at most 100,000,000, got 2,147,483,647"),
        ({"dimensions": 0}, "dimensions.*at least 1.*0"),
        ({"num_steps": 2.5}, "num_steps.*2.5"),
    ],
)
def test_a_wrong_option_is_refused(options, message):
    with pytest.raises(UserError, match=message):
        make(**options)
