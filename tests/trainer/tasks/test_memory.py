"""Memory throughput: distribution and timing of the vector, the error in plain NumPy."""

import math

import numpy as np
import pytest
from on_backend import to_numpy
from scipy import stats

from rnn_zoo.model import build_model
from trainer.errors import UserError
from trainer.tasks import TASKS

UNLUCKY = 1e-4
ROOT_3 = math.sqrt(3)


@pytest.fixture(scope="module")
def task():
    return TASKS["memory"]()


@pytest.fixture(scope="module")
def samples(task):
    """2,000 samples (inputs, targets)."""
    batches = [to_numpy(tuple(task.sample("train", 1, 500, step))) for step in range(4)]
    return tuple(np.concatenate(part) for part in zip(*batches, strict=True))


def test_sizes(task):
    assert (task.num_steps, task.input_dim, task.output_dim) == (13, 64, 64)
    assert task.loss_steps == slice(12, 13)
    assert task.chance_loss == 1


def test_every_dimension_is_uniform_of_variance_one(samples):
    vectors = samples[0][:, 0]
    assert vectors.min() >= -ROOT_3
    assert vectors.max() < ROOT_3
    distribution = stats.uniform(-ROOT_3, 2 * ROOT_3)
    assert stats.kstest(vectors.ravel(), distribution.cdf).pvalue > UNLUCKY
    # The least p-value of the 64 dimensions.
    least = min(stats.kstest(column, distribution.cdf).pvalue for column in vectors.T)
    assert least > UNLUCKY / 64
    # The square of a uniform number of variance 1 has variance 4/5.
    deviation = (np.square(vectors).mean() - 1) / math.sqrt(0.8 / vectors.size)
    assert abs(deviation) < 4


def test_dimensions_are_independent(samples):
    vectors = samples[0][:, 0].astype("float64")
    together = vectors.T @ vectors / math.sqrt(len(vectors))
    z = together[np.triu_indices(64, 1)]
    assert stats.chi2.sf((z**2).sum(), len(z)) > UNLUCKY
    following = vectors[1:].T @ vectors[:-1] / math.sqrt(len(vectors) - 1)
    assert stats.chi2.sf((following**2).sum(), following.size) > UNLUCKY


def test_the_vector_is_the_first_input_and_the_target_of_every_step(samples):
    inputs, targets = samples
    assert not inputs[:, 1:].any()
    np.testing.assert_array_equal(targets, np.repeat(inputs[:, :1], 13, axis=1))


@pytest.mark.parametrize("dimensions, delay", [(1, 0), (5, 3), (100, 20)])
def test_other_sizes(dimensions, delay):
    task = TASKS["memory"](dimensions=dimensions, delay=delay)
    inputs, targets = to_numpy(tuple(task.sample("valid", 0, 3)))
    assert inputs.shape == targets.shape == (3, delay + 1, dimensions)
    assert (task.input_dim, task.output_dim) == (dimensions, dimensions)
    assert range(task.num_steps)[task.loss_steps] == range(delay, delay + 1)
    np.testing.assert_array_equal(targets, np.repeat(inputs[:, :1], delay + 1, axis=1))


def naive_error(outputs, targets):
    """Mean over samples of the squared error per dimension at the last step."""
    total = 0.0
    for output, target in zip(outputs[:, -1].tolist(), targets[:, -1].tolist(), strict=True):
        squares = [(a - b) ** 2 for a, b in zip(output, target, strict=True)]
        total += sum(squares) / len(squares)
    return total / len(outputs)


def test_loss_and_metrics_are_the_naive_ones(task):
    batch = task.sample("valid", 3, 7)
    outputs = np.random.default_rng(0).normal(size=(7, 13, 64)).astype("float32")
    expected = naive_error(outputs, to_numpy(batch.targets))
    assert expected != pytest.approx(1, abs=0.1)
    metrics = to_numpy(task.metrics(outputs, batch))
    assert metrics.keys() == {"loss", "variance_recovered"}
    assert float(task.loss(outputs, batch)) == pytest.approx(expected, rel=1e-5)
    assert metrics["loss"] == pytest.approx(expected, rel=1e-5)
    assert metrics["variance_recovered"] == pytest.approx(1 - expected, abs=1e-5)
    assert task.objective(metrics) == metrics["loss"]


def test_perfect_and_partial_answers(task):
    batch = task.sample("valid", 3, 2000)
    perfect = to_numpy(batch.targets)
    assert float(task.loss(perfect, batch)) == 0
    assert float(task.metrics(perfect, batch)["variance_recovered"]) == 1
    # Remembering 16 of 64 dimensions, the best for 16 units, leaves 3/4 of the variance.
    partial = perfect.copy()
    partial[..., 16:] = 0
    bound = task.summarise({"loss": 0.9}, units=16, num_params=1)["theoretical_loss"]
    assert float(task.loss(partial, batch)) == pytest.approx(bound, abs=0.01)


@pytest.mark.parametrize(
    "units, least", [(1, 63 / 64), (16, 0.75), (32, 0.5), (63, 1 / 64), (64, 0), (80, 0)]
)
def test_the_theoretical_loss(task, units, least):
    summary = task.summarise({"loss": 0.7}, units=units, num_params=9)
    assert summary == {"loss": 0.7, "theoretical_loss": least}


def test_evaluation_is_a_loop_over_the_batches(task, evaluate):
    model = build_model("ugrnn", 1, 6, 64, 64, seed=1)
    measured = evaluate(task, model, "eval", 4, num_samples=4000)
    errors = []
    for step in range(2):  # too many samples for one batch
        batch = task.sample("eval", 4, 2000, step)
        errors.append(naive_error(to_numpy(model(batch.inputs)), to_numpy(batch.targets)))
    assert measured["loss"] == pytest.approx(sum(errors) / 2, rel=1e-5)


@pytest.mark.parametrize(
    "options, message",
    [({"delay": -1}, "delay.*at least 0.*-1"), ({"dimensions": 0}, "dimensions.*at least 1.*0")],
)
def test_a_wrong_option_is_refused(options, message):
    with pytest.raises(UserError, match=message):
        TASKS["memory"](**options)


def test_an_example_shows_the_vector(task):
    batch = task.sample("train", 0, 3)
    numbers = task.example(batch, 2).strip("[]").split()
    np.testing.assert_allclose(
        [float(number) for number in numbers], to_numpy(batch.targets)[2, -1], atol=0.006
    )
