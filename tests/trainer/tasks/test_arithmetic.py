"""Addition: problems parsed and solved with Python's integers, the loss in plain loops."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from on_backend import MODES, QUICKEST, execute, to_numpy, to_tensors
from scipy import stats
from slow import slow_except

from trainer.errors import UserError
from trainer.tasks import TASKS, arithmetic

SYMBOLS = "0123456789+-= "
T, LARGEST = 36, 10**7
UNLUCKY = 1e-4
OPERANDS = st.integers(-LARGEST, LARGEST)


def problem_of(line):
    """The operands (a, b) of a problem, and the position of its "="."""
    problem, rest = line.split("=")
    assert rest == " " * len(rest)
    # No number starts with "+", so there is one "+" only.
    a, b = problem.split("+")
    for text in (a, b):
        assert text == str(int(text))  # no leading zero, no "-0"
    return int(a), int(b), len(problem)


def solve(line, compute_steps):
    """The answer line of a problem line."""
    a, b, equals = problem_of(line)
    return (" " * (equals + compute_steps) + str(a + b)).ljust(len(line))


def lines_of(inputs, targets, num_steps=T):
    """Problems and answers of a batch as lines of T characters."""
    assert set(np.unique(inputs)) == {0, 1}
    assert (inputs.sum(-1) == 1).all()
    problems = ["".join(SYMBOLS[code] for code in row) for row in inputs.argmax(-1)]
    answers = ["".join(SYMBOLS[code] for code in row) for row in targets]
    assert {len(line) for line in problems + answers} == {num_steps}
    return problems, answers


def written(numbers, positions):
    """Lines with numbers at positions, as the task writes them."""

    def write(numbers, positions):
        return arithmetic._Line(T).write(numbers, positions).codes

    codes = execute("eager", write, np.array(numbers, "int32"), np.array(positions, "int32"))
    return ["".join(SYMBOLS[code] for code in row) for row in codes]


@pytest.fixture(scope="module")
def task():
    return TASKS["arithmetic"]()


@pytest.fixture(scope="module")
def operands(task):
    """20,000 pairs of operands, read from the problems."""
    problems, _ = lines_of(*to_numpy(tuple(task.sample("train", 1, 20_000))))
    return np.array([problem_of(line)[:2] for line in problems])


# The problems and their answers.


def test_sizes(task):
    assert (task.num_steps, task.input_dim, task.output_dim) == (T, 14, 14)
    assert range(T)[task.loss_steps] == range(T)
    assert "".join(task.vocabulary) == SYMBOLS


@pytest.mark.parametrize("compute_steps", range(1, 7))
def test_the_answers_are_those_of_the_slow_solver(compute_steps):
    task = TASKS["arithmetic"](compute_steps=compute_steps)
    for split in ("train", "eval"):
        problems, answers = lines_of(*to_numpy(tuple(task.sample(split, 3, 1000))))
        assert answers == [solve(line, compute_steps) for line in problems]
        assert len(set(problems)) == 1000
        assert all(-LARGEST <= n <= LARGEST for line in problems for n in problem_of(line)[:2])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(-2 * LARGEST, 2 * LARGEST), st.integers(0, 27))))
def test_any_number_is_written_as_python_does(pairs):
    extremes = [0, 1, -1, 9, 10, -10, LARGEST - 1, LARGEST, -LARGEST, 2 * LARGEST, -2 * LARGEST]
    powers = [s * (10**k + d) for k in range(8) for d in (-1, 0, 1) for s in (1, -1)]
    pairs = pairs + [(number, 27) for number in extremes + powers]
    lines = written(*zip(*pairs, strict=True))
    assert lines == [(" " * position + str(number)).ljust(T) for number, position in pairs]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(-2 * LARGEST, 2 * LARGEST), min_size=1, max_size=30))
@example([0, 9, 10, 99, 100, 999_999, 10**6, 9_999_999, 10**7, 2 * 10**7, -9, -10])
def test_digits_and_lengths_are_those_of_python(numbers):
    array = np.array(numbers, "int32")
    digits = execute("eager", arithmetic._count_digits, array)
    assert digits.tolist() == [len(str(abs(number))) for number in numbers]
    lengths = execute("eager", arithmetic._length, array)
    assert lengths.tolist() == [len(str(number)) for number in numbers]


class Fixed:
    """Replaces the random numbers by the same operands in every batch."""

    def __init__(self, pairs):
        self.pairs = np.array(pairs, "int32") + LARGEST

    def bits(self, seed, split, step, shape):
        return self.pairs

    def below_large(self, words, bound):
        assert bound == 2 * LARGEST + 1
        return to_tensors(words)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(OPERANDS, OPERANDS), max_size=10),
    st.lists(OPERANDS, max_size=5),
    st.integers(1, 6),
)
def test_problems_and_answers_of_any_operands(pairs, opposites, compute_steps):
    """Extremes and sums of 0 among them."""
    ends = (-LARGEST, 0, LARGEST, -1, 9_999_999)
    pairs = pairs + [(a, b) for a in ends for b in ends] + [(a, -a) for a in opposites]
    task = TASKS["arithmetic"](compute_steps=compute_steps)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arithmetic, "counter_rng", Fixed(pairs))
        batch = task.draw(to_tensors(task.data), "train", 0, 0, len(pairs)).dense()
    problems, answers = lines_of(*to_numpy(tuple(batch)))
    assert problems == [f"{a}+{b}=".ljust(T) for a, b in pairs]
    assert answers == [solve(line, compute_steps) for line in problems]


def test_the_longest_problem_leaves_room_for_its_answer():
    longest = f"{-LARGEST}+{-LARGEST}=".ljust(T)
    assert len(solve(longest, 6)) == T
    assert solve(longest, 6).rstrip().endswith("-20000000")


@pytest.mark.parametrize("largest", [1, 4, 5, 9, 49, 50, 99, 4_999_999, 5_000_000])
def test_smaller_integers_are_in_shorter_lines(largest):
    task = TASKS["arithmetic"](compute_steps=6, largest=largest)
    longest = solve(f"{-largest}+{-largest}=", 6)
    assert task.num_steps == len(longest.rstrip()) + 2 < T
    problems, answers = lines_of(*to_numpy(tuple(task.sample("valid", 3, 500))), task.num_steps)
    assert answers == [solve(line, 6) for line in problems]
    operands = np.array([problem_of(line)[:2] for line in problems])
    assert np.abs(operands).max() <= largest < 1.05 * np.abs(operands).max()


@pytest.mark.parametrize("largest", [0, -1, 10_000_001, 99.0, True, None])
def test_another_largest_integer_is_refused(largest):
    with pytest.raises(UserError, match=r"largest must be 1 to 10,000,000, got"):
        TASKS["arithmetic"](largest=largest)


def test_operands_are_uniform_and_independent(operands):
    shifted = operands + LARGEST
    assert shifted.min() >= 0
    assert shifted.max() <= 2 * LARGEST
    for column in shifted.T:
        binned = np.bincount(column * 100 // (2 * LARGEST + 1), minlength=100)
        assert stats.chisquare(binned).pvalue > UNLUCKY
        # The bins do not see the last digit.
        assert stats.chisquare(np.bincount(column % 10, minlength=10)).pvalue > UNLUCKY
    tenths = shifted * 10 // (2 * LARGEST + 1)
    for first, second in (tenths.T, (tenths[1:, 0], tenths[:-1, 0])):
        table = np.bincount(10 * first + second, minlength=100).reshape(10, 10)
        assert stats.chi2_contingency(table).pvalue > UNLUCKY


@pytest.mark.parametrize("largest", [1, 2, 5])
def test_both_ends_of_the_operands_are_drawn(largest):
    task = TASKS["arithmetic"](largest=largest)
    problems, _ = lines_of(*to_numpy(tuple(task.sample("train", 1, 5000))), task.num_steps)
    counts = Counter(problem_of(line)[:2] for line in problems)
    pairs = [(a, b) for a in range(-largest, largest + 1) for b in range(-largest, largest + 1)]
    assert set(counts) == set(pairs)
    assert stats.chisquare([counts[pair] for pair in pairs]).pvalue > UNLUCKY


@pytest.mark.parametrize("mode", slow_except([QUICKEST], MODES))
def test_lanes_may_differ_in_seed_and_compute_steps(mode):
    tasks = [TASKS["arithmetic"](compute_steps=steps) for steps in (1, 4, 6)]
    data = {"compute_steps": np.stack([task.data["compute_steps"] for task in tasks])}
    seeds = np.array([7, 7, 8], "uint32")

    def draw(data, seeds):
        return tuple(tasks[0].draw(data, "valid", seeds, 5, 40).dense())

    lanes = execute(mode, draw, data, seeds)
    for lane, task in enumerate(tasks):
        alone = to_numpy(tuple(task.sample("valid", int(seeds[lane]), 40, 5)))
        for part, expected in zip(lanes, alone, strict=True):
            np.testing.assert_array_equal(part[lane], expected)


# The chance loss.


def entropy(counts):
    total = sum(counts.values())
    return -sum(n / total * math.log(n / total) for n in counts.values() if n)


@pytest.mark.parametrize("largest", [1, 4, 5, 9, 10, 49, 50, 100, 321])
def test_the_chance_loss_by_enumeration_of_all_smaller_problems(largest):
    task = TASKS["arithmetic"](largest=largest)
    sums = Counter()
    for a in range(-largest, largest + 1):
        for b in range(-largest, largest + 1):
            sums[a + b] += 1
    counts = Counter()
    for value, n in sums.items():
        answer = str(value)
        for symbol in answer:
            counts[symbol] += n
        counts[" "] += n * (task.num_steps - len(answer))
    assert task.chance_loss == pytest.approx(entropy(counts), rel=1e-9)


def test_the_chance_loss_by_drawing(operands, task):
    """Against the entropy of the symbols in 20,000 answers, within five standard errors."""
    answers = [str(a + b).ljust(T) for a, b in operands.tolist()]
    counts = Counter("".join(answers))
    log_p = {symbol: math.log(n / (T * len(answers))) for symbol, n in counts.items()}
    losses = [-sum(log_p[symbol] for symbol in answer) / T for answer in answers]
    error = np.std(losses) / math.sqrt(len(losses))
    assert np.mean(losses) == pytest.approx(entropy(counts))
    assert abs(task.chance_loss - np.mean(losses)) < 5 * error + 13 / (2 * T * len(losses))
    assert error < 1e-3


@pytest.mark.parametrize("compute_steps", [1, 6])
def test_the_chance_loss_does_not_depend_on_compute_steps(task, compute_steps):
    assert TASKS["arithmetic"](compute_steps=compute_steps).chance_loss == task.chance_loss


# Loss and metrics.


def naive(outputs, answers):
    """Loss, character accuracy and answer accuracy, character by character."""
    losses, right_characters, characters, right_answers = [], 0, 0, 0
    for rows, answer in zip(outputs.tolist(), answers, strict=True):
        all_right = True
        for logits, symbol in zip(rows, answer, strict=True):
            code = SYMBOLS.index(symbol)
            losses.append(math.log(sum(math.exp(z) for z in logits)) - logits[code])
            right = logits.index(max(logits)) == code
            all_right &= right
            if symbol != " ":
                characters += 1
                right_characters += right
        right_answers += all_right
    return {
        "loss": sum(losses) / len(losses),
        "character_accuracy": right_characters / characters,
        "answer_accuracy": right_answers / len(answers),
    }


@pytest.fixture(scope="module")
def answered(task):
    """A batch, its answers, and outputs that are right, half right or wrong by sample."""
    batch = task.sample("valid", 5, 12)
    inputs, targets = to_numpy(tuple(batch))
    rng = np.random.default_rng(1)
    outputs = rng.normal(size=(12, T, 14))
    outputs[:8] += 12 * np.eye(14)[targets[:8]]
    for i in range(4, 8):  # one character wrong: of the answer, or a space of the padding
        where = np.flatnonzero(targets[i] != 13)[-1] if i < 6 else 0
        outputs[i, where] = np.roll(outputs[i, where], 1)
    return batch, lines_of(inputs, targets)[1], outputs.astype("float32")


def test_loss_and_metrics_are_the_naive_ones(task, answered):
    batch, answers, outputs = answered
    expected = naive(outputs, answers)
    assert expected["answer_accuracy"] == 4 / 12
    assert 0.4 < expected["character_accuracy"] < 0.8
    metrics = to_numpy(task.metrics(outputs, batch))
    assert metrics.keys() == expected.keys()
    for name, value in expected.items():
        assert metrics[name] == pytest.approx(value, rel=1e-5)
    assert float(task.loss(outputs, batch)) == pytest.approx(expected["loss"], rel=1e-5)
    assert task.objective(metrics) == metrics["loss"]


def test_lanes_of_metrics_are_each_alone(task, answered):
    _, _, outputs = answered
    seeds = np.array([5, 6], "uint32")
    both = np.stack([outputs, outputs[::-1]])
    lanes = to_numpy(task.metrics(both, task.draw(task.device_data, "valid", seeds, 0, 12).dense()))
    for lane, seed in enumerate((5, 6)):
        alone = to_numpy(task.metrics(both[lane], task.sample("valid", seed, 12)))
        for name, value in alone.items():
            assert lanes[name][lane] == pytest.approx(value, rel=1e-6)


def test_uniform_predictions_have_loss_log_14(task, answered):
    outputs = np.zeros((12, T, 14), "float32")
    assert float(task.loss(outputs, answered[0])) == pytest.approx(math.log(14), rel=1e-6)


def test_an_example_shows_the_problem_and_its_answer(task, answered):
    for index in range(12):
        problem, answer = task.example(answered[0], index).split("\n")
        assert solve(problem, task.compute_steps) == answer == answered[1][index]


@pytest.mark.parametrize("compute_steps", [0, 7, -1, 2.5, "3", None])
def test_compute_steps_out_of_range_are_refused(compute_steps):
    with pytest.raises(UserError, match=f"1 to 6, got {compute_steps!r}"):
        TASKS["arithmetic"](compute_steps=compute_steps)
