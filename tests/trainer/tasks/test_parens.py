"""Parentheses counting: an obvious solver in plain Python, frequencies, the loss in plain NumPy."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from on_backend import to_numpy
from scipy import stats

from trainer.errors import UserError
from trainer.tasks import TASKS
from trainer.tasks.parens import _counts

PAIRS = ("()", "[]", "{}", "<>", "«»", "‹›", "⟨⟩", "⟦⟧", "⌈⌉", "⌊⌋")
NOISE = "abcdefghij"
T, STREAMS, B = 175, 10, 256
UNLUCKY = 1e-4


def solve(symbols, pair):
    """The number of open parentheses of one type after each symbol of one stream."""
    count, counts = 0, []
    for symbol in symbols:
        if symbol == pair[0]:
            count = min(count + 1, 9)
        elif symbol == pair[1]:
            count = max(count - 1, 0)
        counts.append(count)
    return counts


def chance_of_counts(num_steps):
    """The probability of each count after the last step."""
    probability = [1.0] + [0.0] * 9
    for _ in range(num_steps):
        following = [0.0] * 10
        for count, p in enumerate(probability):
            following[min(count + 1, 9)] += p / 40
            following[max(count - 1, 0)] += p / 40
            following[count] += p * 38 / 40
        probability = following
    return probability


def decoded(inputs, vocabulary):
    """Inputs (B, T, 300) as characters (B, T, 10)."""
    codes = np.asarray(inputs).reshape(*inputs.shape[:2], STREAMS, len(vocabulary)).argmax(-1)
    return np.array(vocabulary)[codes]


@pytest.fixture(scope="module")
def task():
    return TASKS["parens"]()


@pytest.fixture(scope="module")
def samples(task):
    """1,024 samples as characters (1024, T, 10), and their targets."""
    batches = [to_numpy(tuple(task.sample("train", 1, B, step))) for step in range(4)]
    symbols = np.concatenate([decoded(inputs, task.vocabulary) for inputs, _ in batches])
    return symbols, np.concatenate([targets for _, targets in batches])


def test_sizes(task):
    assert (task.num_steps, task.input_dim, task.output_dim) == (T, 300, 100)
    assert task.loss_steps == slice(T - 1, T)
    assert sorted(task.vocabulary) == sorted("".join(PAIRS) + NOISE)


def test_the_answers_are_those_of_the_slow_solver(samples):
    symbols, targets = samples
    assert targets.shape == (1024, T, STREAMS)
    for sample, expected in zip(symbols, targets, strict=True):
        solved = [solve(sample[:, k].tolist(), PAIRS[k]) for k in range(STREAMS)]
        np.testing.assert_array_equal(np.transpose(solved), expected)
    # 175 steps rarely reach the bounds, but both are reached.
    assert targets.min() == 0
    assert targets.max() == 9


def test_half_of_the_symbols_are_noise_and_each_half_is_uniform(task, samples):
    symbols, _ = samples
    for stream in range(STREAMS):
        counts = Counter(symbols[:, :, stream].ravel().tolist())
        total = symbols[:, :, stream].size
        noise = sum(counts[symbol] for symbol in NOISE)
        assert stats.binomtest(noise, total, 0.5).pvalue > UNLUCKY
        expected = [total / (20 if symbol in NOISE else 40) for symbol in task.vocabulary]
        observed = [counts[symbol] for symbol in task.vocabulary]
        assert stats.chisquare(observed, expected).pvalue > UNLUCKY


def test_streams_and_steps_are_independent(samples):
    parentheses = ~np.isin(samples[0], list(NOISE))
    for a, b in (
        (parentheses[:, :, 0], parentheses[:, :, 1]),
        (parentheses[:, :, 4], parentheses[:, :, 9]),
        (parentheses[:, :-1], parentheses[:, 1:]),
        (parentheses[:-1], parentheses[1:]),
    ):
        table = np.bincount((2 * a + b).ravel(), minlength=4).reshape(2, 2)
        assert stats.chi2_contingency(table).pvalue > UNLUCKY


def test_the_last_counts_have_the_distribution_of_the_markov_chain(samples):
    probability = np.array(chance_of_counts(T))
    observed = np.bincount(samples[1][:, -1].ravel(), minlength=10)
    assert stats.chisquare(observed, probability * observed.sum()).pvalue > UNLUCKY


def test_the_chance_loss_is_the_papers(task):
    assert task.chance_loss == pytest.approx(18.21, abs=0.005)


@pytest.mark.parametrize("num_steps", [1, 5, 8, 9, 12, 175])
def test_the_chance_loss_is_the_entropy_of_ten_counts(num_steps):
    entropy = -sum(p * math.log(p) for p in chance_of_counts(num_steps) if p > 0)
    assert TASKS["parens"](num_steps=num_steps).chance_loss == pytest.approx(10 * entropy, rel=1e-9)


def test_a_constant_predictor_has_the_chance_loss(task, samples):
    batch = task.sample("eval", 2, B)
    logits = np.tile(np.log(chance_of_counts(T)), STREAMS).astype("float32")
    loss = float(task.loss(np.broadcast_to(logits, (B, T, 100)), batch))
    # The loss of a sample has a standard deviation of about 1.3.
    assert loss == pytest.approx(task.chance_loss, abs=4 * 2 / math.sqrt(B))


@pytest.fixture(scope="module")
def answered():
    """A short task, a batch, random outputs, and the naive losses and hits (B, 10) at the end."""
    task = TASKS["parens"](num_steps=30)
    batch = task.sample("valid", 5, 8)
    outputs = np.random.default_rng(1).normal(size=(8, 30, 100)) * 3
    losses, hits = np.zeros((8, STREAMS)), np.zeros((8, STREAMS))
    for b in range(8):
        for k in range(STREAMS):
            logits = [float(z) for z in outputs[b, -1, 10 * k : 10 * k + 10]]
            count = int(batch.targets[b, -1, k])
            losses[b, k] = math.log(sum(math.exp(z) for z in logits)) - logits[count]
            hits[b, k] = logits.index(max(logits)) == count
    return task, batch, outputs.astype("float32"), losses, hits


@pytest.mark.parametrize("steps", [slice(None), slice(-1, None)], ids=["all", "scored"])
def test_loss_and_metrics_are_the_naive_ones(answered, steps):
    task, batch, outputs, losses, hits = answered
    outputs = outputs[:, steps]
    assert float(task.loss(outputs, batch)) == pytest.approx(losses.sum(1).mean(), rel=1e-5)
    metrics = to_numpy(task.metrics(outputs, batch))
    assert metrics.keys() == {"loss", "accuracy", "accuracy_by_stream"}
    assert metrics["loss"] == pytest.approx(losses.sum(1).mean(), rel=1e-5)
    assert metrics["accuracy"] == pytest.approx(hits.mean(), rel=1e-6)
    np.testing.assert_allclose(metrics["accuracy_by_stream"], hits.mean(0), rtol=1e-6)
    assert task.objective(metrics) == metrics["loss"]


def test_perfect_and_uniform_predictions(answered):
    task, batch = answered[:2]
    perfect = 100 * np.eye(10, dtype="float32")[np.asarray(batch.targets)].reshape(8, 30, 100)
    metrics = to_numpy(task.metrics(perfect, batch))
    assert metrics["loss"] == pytest.approx(0, abs=1e-6)
    assert metrics["accuracy"] == 1
    assert float(task.loss(0 * perfect, batch)) == pytest.approx(10 * math.log(10), rel=1e-6)


def test_the_loss_of_a_lane_equals_that_of_its_batch_alone(answered):
    task, _, outputs = answered[:3]
    lanes = task.draw({}, "valid", np.array([5, 6], "uint32"), 0, 8).dense()
    both = np.stack([outputs, 2 * outputs])
    metrics = to_numpy(task.metrics(both, lanes))
    for lane, seed in enumerate((5, 6)):
        alone = to_numpy(task.metrics(both[lane], task.sample("valid", seed, 8)))
        for name, value in alone.items():
            np.testing.assert_allclose(metrics[name][lane], value, rtol=1e-6)


def test_an_example_shows_ten_streams_and_their_counts(answered):
    task, batch = answered[:2]
    for index in range(8):
        lines = task.example(batch, index).split("\n")
        assert len(lines) == STREAMS
        for line, pair in zip(lines, PAIRS, strict=True):
            symbols, shown, count = line[:30], *line[30:].split()
            assert shown == pair
            assert solve(symbols, pair)[-1] == int(count)


@pytest.mark.parametrize("num_steps", [0, -3, 2.5, "12", True])
def test_an_invalid_length_is_refused(num_steps):
    with pytest.raises(UserError, match=f"num_steps.*{num_steps!r}"):
        TASKS["parens"](num_steps=num_steps)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 29), min_size=10, max_size=10), min_size=1, max_size=40))
def test_counts_of_any_text_are_those_of_counting(symbols):
    """With long runs of one symbol, which random batches do not have."""
    array = np.array(symbols, "int32")[None]
    counts = to_numpy(_counts(array))[0]
    for stream in range(10):
        count = 0
        for t, row in enumerate(symbols):
            if row[stream] == 2 * stream:
                count = min(count + 1, 9)
            elif row[stream] == 2 * stream + 1:
                count = max(count - 1, 0)
            assert counts[t, stream] == count
