"""Perceptron capacity: counts over the data set, mutual information of the confusion table."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from on_backend import MODES, QUICKEST, execute, to_numpy, to_tensors
from scipy import stats
from slow import slow_except, slow_rows_except

from rnn_zoo.model import build_model, get_weights, set_weights
from trainer.errors import UserError
from trainer.tasks import TASKS
from trainer.tasks.capacity import least_inputs

UNLUCKY = 1e-4


def make(num_inputs=16, num_samples=100, **options):
    return TASKS["capacity"](num_inputs=num_inputs, num_samples=num_samples, **options)


def data_set(task, seed=0, batch_size=64, split="train"):
    """The whole data set (inputs, labels) from `sweep`; asserts that each sample comes once."""
    shown, kept = [], 0
    for step in range(-(-task.num_samples // batch_size)):
        batch = to_numpy(task.sweep(task.device_data, split, seed, step, batch_size).dense())
        assert batch.weights.shape == (batch_size,)
        assert set(np.unique(batch.weights)) <= {0.0, 1.0}
        inside = batch.weights == 1
        kept += int(inside.sum())
        shown.append((batch.inputs[inside], batch.targets[inside]))
    assert kept == task.num_samples
    return tuple(np.concatenate(part) for part in zip(*shown, strict=True))


def text_of(sample):
    """The bits (I,) of an input as text."""
    return "".join(str(int(bit)) for bit in sample)


def equation_22(p, b):
    """b + b (p log2 p + (1 - p) log2 (1 - p)), where 0 log 0 = 0; 0 for p below one half."""
    if p <= 0.5:
        return 0.0
    return b + b * sum(x * math.log2(x) for x in (p, 1 - p) if x > 0)


def information_in_table(labels, answers):
    """b I(label; answer) from the confusion table, without assumptions on its shape."""
    b = len(labels)
    joint = Counter(zip(labels, answers, strict=True))
    of_label, of_answer = Counter(labels), Counter(answers)
    return sum(
        n * math.log2(n * b / (of_label[label] * of_answer[answer]))
        for (label, answer), n in joint.items()
    )


def flipped(labels, wrong, rng):
    """Logits that answer `wrong` of the labels (b, T, 1) wrongly."""
    signs = np.where(labels > 0, 1.0, -1.0)
    signs[rng.choice(len(labels), wrong, replace=False)] *= -1
    return (signs * rng.uniform(0.1, 9, size=signs.shape)).astype("float32")


# The data set.


@pytest.mark.parametrize("batch_size", slow_except((7, 100, 101), [1, 7, 64, 99, 100, 101, 256]))
def test_a_sweep_yields_every_sample_once_for_any_batch_size(batch_size):
    inputs, labels = data_set(make(num_inputs=40), 3, batch_size)
    expected = data_set(make(num_inputs=40), 3, 20)
    np.testing.assert_array_equal(inputs, expected[0])
    np.testing.assert_array_equal(labels, expected[1])
    # 40 random bits make 100 samples distinct.
    assert len({text_of(sample) for sample in inputs[:, 0]}) == 100


def test_training_draws_the_samples_of_the_data_set_equally_often():
    task = make(num_inputs=30, num_samples=50)
    inputs, labels = data_set(task, 5)
    position = {text_of(x[0]): i for i, x in enumerate(inputs)}
    drawn = Counter()
    for step in range(10):
        batch = to_numpy(task.sample("train", 5, 500, step))
        for x, label in zip(batch.inputs, batch.targets, strict=True):
            index = position[text_of(x[0])]
            np.testing.assert_array_equal(label, labels[index])
            drawn[index] += 1
    assert stats.chisquare([drawn[i] for i in range(50)]).pvalue > UNLUCKY


@pytest.mark.parametrize("num_inputs", [1, 2, 31, 32, 33, 63, 64, 100])
def test_bits_are_fair_and_independent(num_inputs):
    inputs, labels = data_set(make(num_inputs, 4000), batch_size=1000)
    assert inputs.shape == (4000, 5, num_inputs)
    bits = np.concatenate([inputs[:, 0], labels[:, 0]], axis=1)
    assert set(np.unique(bits)) == {0, 1}
    ones = bits.sum(0)
    # Each column is fair: Σ z² is chi-square with one degree of freedom per column.
    z = (ones - 2000) / math.sqrt(1000)
    assert stats.chi2.sf((z**2).sum(), len(ones)) > UNLUCKY
    # No two columns are correlated, nor are neighbours in the data set.
    signs = 2 * bits - 1
    for together in (signs.T @ signs, signs[1:].T @ signs[:-1]):
        z = together / math.sqrt(len(signs))
        z = z[np.triu_indices(len(z), 1)]
        assert stats.chi2.sf((z**2).sum(), len(z)) > UNLUCKY


def test_the_input_is_shown_first_or_at_every_step():
    every, first = make(presentation="every"), make(presentation="first")
    shown = data_set(every, 2)[0]
    np.testing.assert_array_equal(shown, np.repeat(shown[:, :1], 5, axis=1))
    once, labels = data_set(first, 2)
    np.testing.assert_array_equal(once[:, 0], shown[:, 0])
    assert not once[:, 1:].any()
    assert labels.shape == (100, 5, 1)
    np.testing.assert_array_equal(labels, np.repeat(labels[:, :1], 5, axis=1))
    np.testing.assert_array_equal(labels, data_set(every, 2)[1])


@pytest.mark.parametrize("presentation", ["first", "every"])
def test_both_codings_show_the_same_bits(presentation):
    zero_one, labels = data_set(make(presentation=presentation), 2)
    signed, same = data_set(make(presentation=presentation, coding="signed"), 2)
    assert set(np.unique(signed[:, 0])) == {-1.0, 1.0}
    np.testing.assert_array_equal(signed[:, 0], 2 * zero_one[:, 0] - 1)
    later = signed[:, :1] * (presentation == "every")
    np.testing.assert_array_equal(signed[:, 1:], np.repeat(later, 4, axis=1))
    np.testing.assert_array_equal(same, labels)


def test_weights_of_signed_inputs_have_twins_for_zero_and_one():
    """W (2 x - 1) + b = 2 W x + (b - W 1), if x is shown at every step."""
    zero_one, signed = (data_set(make(coding=coding))[0] for coding in ("binary", "signed"))
    model = build_model("rnn", 1, 5, 16, 1, seed=1)
    expected = to_numpy(model(signed))
    weights = get_weights(model)
    (layer,) = weights["layers"]
    kernel = layer["input"]["h"]
    layer["bias"]["h"] = layer["bias"]["h"] - kernel.sum(0)
    layer["input"]["h"] = 2 * kernel
    set_weights(model, weights)
    np.testing.assert_allclose(to_numpy(model(zero_one)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("num_steps", [1, 5, 9])
def test_the_loss_is_at_the_last_step(num_steps):
    task = make(num_steps=num_steps)
    assert (task.num_steps, task.input_dim, task.output_dim) == (num_steps, 16, 1)
    assert task.loss_steps == slice(num_steps - 1, num_steps)


def test_the_data_set_is_a_function_of_the_seed_alone():
    expected = data_set(make(num_inputs=40), 7)
    for split in ("valid", "eval"):
        for part, other in zip(
            expected, data_set(make(num_inputs=40), 7, split=split), strict=True
        ):
            np.testing.assert_array_equal(part, other)
    # A larger data set begins with the smaller one; another seed shares nothing.
    longer = data_set(make(num_inputs=40, num_samples=300), 7)
    np.testing.assert_array_equal(longer[0][:100], expected[0])
    np.testing.assert_array_equal(longer[1][:100], expected[1])
    other = {text_of(x[0]) for x in data_set(make(num_inputs=40), 8)[0]}
    assert not other & {text_of(x[0]) for x in expected[0]}


# test_lanes.py trains such lanes in a compiled program.
@pytest.mark.parametrize("mode", slow_except([QUICKEST], MODES))
def test_lanes_may_differ_in_seed_samples_presentation_and_coding(mode):
    tasks = [make(num_samples=3), make(num_samples=90, presentation="first", coding="signed")]
    data = to_tensors({key: np.stack([task.data[key] for task in tasks]) for key in tasks[0].data})
    seeds = np.array([3, 9], "uint32")

    def lanes(data, seeds):
        return [
            tuple(tasks[0].draw(data, "train", seeds, 2, 40).dense()),
            tuple(tasks[0].sweep(data, "train", seeds, 1, 40).dense()),
        ]

    drawn, swept = execute(mode, lanes, data, seeds)
    for lane, task in enumerate(tasks):
        seed = int(seeds[lane])
        alone = to_numpy(task.sample("train", seed, 40, 2))
        for part, expected in zip(drawn, alone, strict=True):
            np.testing.assert_array_equal(part[lane], expected)
        alone = to_numpy(task.sweep(task.device_data, "train", seed, 1, 40).dense())
        for part, expected in zip(swept, alone, strict=True):
            np.testing.assert_array_equal(part[lane], expected)
    np.testing.assert_array_equal(swept[2].sum(1), [0, 40])


def test_expected_collisions_by_enumeration():
    """(b - 1) / 2^n others with the same input, over all data sets of b samples of n bits."""
    for n, b in ((1, 3), (2, 3), (3, 4)):
        others = [
            sum(mine == yours for mine, yours in itertools.permutations(samples, 2)) / b
            for samples in itertools.product(range(2**n), repeat=b)
        ]
        assert np.mean(others) == pytest.approx((b - 1) / 2**n, rel=1e-12)


@pytest.mark.parametrize("b", [1, 1000, 1048, 1049, 10_000, 20_000, 3_000_000])
def test_the_least_number_of_inputs(b):
    inputs = least_inputs(b)
    assert inputs >= 20
    assert b / 2**inputs <= 1e-3
    assert inputs == 20 or b / 2 ** (inputs - 1) > 1e-3


def test_collisions_of_a_data_set_are_as_expected():
    """10,000 samples of 16 bits, fewer bits than the rule allows, so that there are collisions."""
    inputs, _ = data_set(make(16, 10_000), batch_size=1000)
    found = Counter(text_of(x[0]) for x in inputs)
    pairs = sum(count * (count - 1) for count in found.values()) / 2
    expected = 10_000 * 9_999 / 2 / 2**16  # nearly a Poisson variable
    assert abs(pairs - expected) < 4 * math.sqrt(expected)


# Loss and metrics.


@pytest.mark.parametrize("wrong", [0, 1, 60, 400, 900])
def test_information_is_that_of_the_confusion_table(wrong):
    task, rng = make(num_samples=2000), np.random.default_rng(wrong)
    batch = task.sweep(task.device_data, "eval", 1, 0, 2000).dense()
    labels = to_numpy(batch.targets)
    outputs = flipped(labels, wrong, rng)
    metrics = to_numpy(task.metrics(outputs, batch))

    right = 0
    for output, label in zip(outputs[:, -1, 0], labels[:, -1, 0], strict=True):
        right += (output > 0) == (label == 1)
    assert right + wrong == 2000
    p = right / 2000
    assert metrics["accuracy"] == pytest.approx(p, rel=1e-6)
    done = task.summarise({"accuracy": p}, units=7, num_params=500)
    assert done["mutual_information"] == pytest.approx(equation_22(p, 2000), rel=1e-9, abs=1e-9)
    assert done["bits_per_parameter"] == pytest.approx(equation_22(p, 2000) / 500, abs=1e-9)
    assert metrics["mutual_information"] == pytest.approx(equation_22(p, 2000), abs=0.01)
    # Eq. (22) assumes balanced labels and errors. Each of the three degrees of freedom of a 2 by 2
    # table adds about χ²/(2 ln 2) bits of difference.
    table = information_in_table(labels[:, -1, 0].tolist(), (outputs[:, -1, 0] > 0).tolist())
    assert done["mutual_information"] == pytest.approx(table, abs=10)


def test_eq_22_against_a_table_with_the_same_margins():
    """Balanced labels and errors: the formula is the table's information exactly."""
    labels = [0] * 50 + [1] * 50
    for errors in (0, 1, 10, 24):
        answers = [1] * errors + [0] * (50 - errors) + [0] * errors + [1] * (50 - errors)
        summary = make().summarise({"accuracy": 1 - errors / 50}, units=1, num_params=1)
        table = information_in_table(labels, answers)
        assert summary["mutual_information"] == pytest.approx(table, rel=1e-9)


@pytest.mark.parametrize(
    "p, bits", [(0.0, 0), (0.3, 0), (0.4999, 0), (0.5, 0), (0.75, 18.872187554086714), (1.0, 100)]
)
def test_information_at_the_ends_and_below_one_half(p, bits):
    summary = make().summarise({"accuracy": p, "loss": 1.5}, units=3, num_params=50)
    assert summary["mutual_information"] == pytest.approx(bits, abs=1e-9)
    assert summary["bits_per_parameter"] == pytest.approx(bits / 50, abs=1e-9)
    assert (summary["accuracy"], summary["loss"]) == (p, 1.5)
    assert make().objective(summary) == -summary["mutual_information"]


def test_all_right_and_all_wrong_answers():
    task = make()
    batch = task.sweep(task.device_data, "eval", 1, 0, 100).dense()
    right = np.where(to_numpy(batch.targets) > 0, 50.0, -50.0).astype("float32")
    metrics = to_numpy(task.metrics(right, batch))
    assert metrics["accuracy"] == 1
    assert metrics["mutual_information"] == pytest.approx(100)
    assert metrics["loss"] == pytest.approx(0, abs=1e-6)
    metrics = to_numpy(task.metrics(-right, batch))
    assert metrics["accuracy"] == 0
    assert metrics["mutual_information"] == 0
    assert metrics["loss"] == pytest.approx(50)


def test_the_loss_is_the_cross_entropy_of_the_samples_inside():
    task = make(num_samples=30)
    batch = task.sweep(task.device_data, "eval", 1, 0, 50).dense()
    outputs = np.random.default_rng(0).normal(size=(50, 5, 1)) * 4
    outputs[:30, -1].ravel()[:2] = 90, -90  # neither overflows
    labels, total = to_numpy(batch.targets), 0.0
    for z, label in zip(outputs[:30, -1, 0].tolist(), labels[:30, -1, 0].tolist(), strict=True):
        signed = z if label else -z
        total += math.log1p(math.exp(-abs(z))) + max(-signed, 0)
    loss = float(task.loss(outputs.astype("float32"), batch))
    assert loss == pytest.approx(total / 50, rel=1e-5)  # the last 20 have weight 0
    zeros = np.zeros((50, 5, 1), "float32")
    assert float(task.loss(zeros, batch)) == pytest.approx(0.6 * task.chance_loss, rel=1e-6)
    assert task.chance_loss == pytest.approx(math.log(2))


@pytest.mark.parametrize(
    "presentation, b", slow_rows_except([("every", 2360)], [("first", 24), ("every", 2360)])
)
def test_evaluation_is_a_loop_over_the_data_set(presentation, b, evaluate):
    """With 0.1 to 10 samples for each of the 236 parameters."""
    task = make(num_inputs=9, num_samples=b, presentation=presentation)
    model = build_model("gru", 1, 5, 9, 1, seed=1)
    measured = evaluate(task, model, "valid", seed=4, num_samples=b, whole=True)
    inputs, labels = data_set(task, 4)
    outputs = to_numpy(model(inputs))[:, -1, 0].tolist()
    right = loss = 0
    for z, label in zip(outputs, labels[:, -1, 0].tolist(), strict=True):
        loss += math.log1p(math.exp(z if label == 0 else -z))
        right += (z > 0) == (label == 1)
    assert measured["loss"] == pytest.approx(loss / b, rel=1e-5)
    assert measured["accuracy"] == pytest.approx(right / b, rel=1e-6)
    summary = task.summarise(measured, 5, model.count_params())
    assert model.count_params() == 236
    bits = equation_22(right / b, b)
    assert summary["mutual_information"] == pytest.approx(bits, abs=1e-3)
    assert summary["bits_per_parameter"] == pytest.approx(bits / model.count_params(), abs=1e-5)


@pytest.mark.slow
def test_lanes_of_data_sets_of_several_sizes_are_measured_as_each_alone(evaluate):
    """The sweep continues past the end of the smaller data set, whose metrics do not change."""
    large, small = make(9, 1000), make(9, 300)
    lanes = make(9, 1000)
    sizes = np.array([1000, 300], "uint32")
    lanes.data = {key: np.stack([lanes.data[key]] * 2) for key in lanes.data}
    lanes.data["num_samples"] = sizes
    model = build_model("rnn", 1, 5, 9, 1, seed=1)
    measured = evaluate(lanes, model, "eval", 4, num_samples=1000, whole=True, lanes=2)
    for lane, task in enumerate((large, small)):
        alone = evaluate(task, model, "eval", 4, num_samples=task.num_samples, whole=True)
        assert measured["loss"][lane] == pytest.approx(alone["loss"], rel=1e-5)
        assert measured["accuracy"][lane] == pytest.approx(alone["accuracy"], rel=1e-6)


@pytest.mark.parametrize("coding", ["binary", "signed"])
def test_an_example_shows_the_bits_and_the_label(coding):
    task = make(num_inputs=12, coding=coding)
    batch = task.sample("train", 0, 20)
    for index in range(20):
        bits, label = task.example(batch, index).split(" -> ")
        assert bits == text_of(to_numpy(batch.inputs)[index, 0] > 0)
        assert int(label) == int(batch.targets[index, -1, 0])


@pytest.mark.parametrize(
    "options, message",
    [
        ({"presentation": "last"}, "'last'.*first, every"),
        ({"coding": "gray"}, "'gray'.*binary, signed"),
        ({"num_inputs": 0}, "at least 1, got 0"),
        ({"num_samples": 0}, "num_samples.*at least 1.*0"),
        ({"num_samples": 2**31 - 1}, "num_samples must be at most 100,000,000, got 2,147,483,647"),
        ({"num_steps": 0}, "num_steps.*at least 1.*0"),
    ],
)
def test_a_wrong_option_is_refused(options, message):
    with pytest.raises(UserError, match=message):
        make(**options)
