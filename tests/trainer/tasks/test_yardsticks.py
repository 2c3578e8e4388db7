"""Tasks on long memory and state tracking: each against a slow solver, and against chance."""

import collections
import itertools
import math

import numpy as np
import pytest
from on_backend import to_numpy

from trainer import TrainConfig, train
from trainer.errors import UserError
from trainer.tasks import TASKS

PERMUTATIONS = list(itertools.permutations(range(5)))


def adding(inputs):
    sums = [0.0]
    for number, mark in inputs:
        sums.append(sums[-1] + (number if mark == 1 else 0))
    return np.array(sums[1:])[:, None]


def copy(inputs):
    read = "".join("abcdefgh.!"[k] for k in inputs.argmax(-1))
    answer_at = read.index("!")
    right = "." * answer_at + "." + read[:10]
    return ["abcdefgh.".index(symbol) for symbol in right]


def selective_copy(inputs):
    read = "".join("abcdefgh.!"[k] for k in inputs.argmax(-1))
    shown, after = read.split("!")
    assert after == "." * 10
    return ["abcdefgh.".index(symbol) for symbol in "." * (len(shown) + 1) + shown.replace(".", "")]


def recall(inputs):
    symbols = list(inputs.argmax(-1))
    pairs = list(zip(symbols[::2], symbols[1::2], strict=False))
    values = {key: value - 32 for key, value in pairs if key < 32 <= value < 40}
    assert set(symbols[-len(values) :]) == set(values)
    right = [values[key] for key in symbols[-len(values) :]]
    return [0] * (len(symbols) - len(values)) + right


def parity(inputs):
    bits = "".join(str(k) for k in inputs.argmax(-1))
    return [bits[: t + 1].count("1") % 2 for t in range(len(bits))]


def modular_arithmetic(inputs):
    text = "".join("01234+-*"[k] for k in inputs.argmax(-1))
    return [eval(text[: t + 1].rstrip("+-*")) % 5 for t in range(len(text))]


def dyck(inputs):
    is_open, right = [], []
    for symbol in ("([)]"[k] for k in inputs.argmax(-1)):
        if symbol in "([":
            is_open.append(symbol)
        else:
            assert is_open.pop() + symbol in ("()", "[]")
        right.append(".([".index(is_open[-1] if is_open else "."))
    return right


def flip_flop(inputs):
    text = "".join("01wri"[k] for k in inputs.argmax(-1))
    assert text[0] == "w" and text[-1] == "r"
    memory, right = None, []
    for instruction, bit in itertools.zip_longest(text[::2], text[1::2]):
        if instruction == "w":
            memory = int(bit)
        assert instruction != "r" or bit in (str(memory), None)
        right += [memory, memory]
    return right[:-1]


def s5(inputs):
    things, codes = tuple(range(5)), []
    for code in inputs.argmax(-1):
        permutation = PERMUTATIONS[code]
        things = tuple(permutation[thing] for thing in things)
        codes.append(PERMUTATIONS.index(things))
    return codes


#: Task -> (slow solver, options, length that they give).
SOLVERS = {
    "adding": (adding, {"num_steps": 7}, 7),
    "copy": (copy, {"delay": 4}, 24),
    "selective_copy": (selective_copy, {"delay": 4}, 24),
    "recall": (recall, {"pairs": 5}, 15),
    "noisy_recall": (recall, {"pairs": 3, "noise": 2}, 21),
    "parity": (parity, {"num_steps": 9}, 9),
    "modular_arithmetic": (modular_arithmetic, {"numbers": 6}, 11),
    "dyck": (dyck, {"num_steps": 9, "max_depth": 2}, 9),
    "flip_flop": (flip_flop, {"pairs": 8}, 15),
    "s5": (s5, {"num_steps": 6}, 6),
}
SAMPLES = 200
#: Task -> (time steps at which symbols are uniform, number of these symbols, counted from 0).
UNIFORM = {
    "copy": (slice(10), 8),
    "recall": (slice(0, 8, 2), 32),
    "parity": (slice(None), 2),
    "modular_arithmetic": (slice(0, None, 2), 5),
    "s5": (slice(None), 120),
}


@pytest.fixture(params=SOLVERS)
def name(request):
    return request.param


@pytest.mark.parametrize("options", ["default", "small", "least"])
def test_targets_are_those_of_a_slow_solver(name, options):
    solve, small, length = SOLVERS[name]
    least = dict.fromkeys(small, 2 if name in ("adding", "flip_flop") else 1)
    task = TASKS[name](**{"default": {}, "small": small, "least": least}[options])
    assert options != "small" or task.num_steps == length
    batch = to_numpy(tuple(task.sample("train", 5, SAMPLES)))
    for inputs, targets in zip(*batch, strict=True):
        np.testing.assert_allclose(targets, solve(inputs), atol=1e-5 * (name == "adding"))


def best_constant(name, targets, size):
    """Outputs (T, O) that are best for these targets and know the time but not the inputs."""
    if name == "adding":
        return np.broadcast_to(targets.mean(0), targets.shape[1:])
    counts = np.stack([np.bincount(codes, minlength=size) for codes in targets.T])
    return np.log(np.maximum(counts, 1e-6) / len(targets))


def test_the_best_constant_has_the_chance_loss(name):
    _, options, _ = SOLVERS[name]
    task, size = TASKS[name](**options), 30_000
    batch = task.sample("valid", 1, size)
    constant = best_constant(name, to_numpy(batch.targets), task.output_dim)
    outputs = np.broadcast_to(constant.astype("float32"), (size, *constant.shape))
    assert float(task.loss(outputs, batch)) == pytest.approx(task.chance_loss, rel=0.01)
    # At the scored steps it is the same at all times, unless targets depend on the time.
    if name not in ("copy", "selective_copy", "modular_arithmetic", "dyck"):
        scored = constant[task.loss_steps]
        spread = 0.01 if name == "adding" else 0.5
        np.testing.assert_allclose(scored, np.tile(scored.mean(0), (len(scored), 1)), atol=spread)


def test_chance_in_closed_form():
    chances = {name: TASKS[name]().chance_loss for name in SOLVERS}
    expected = dict.fromkeys(("copy", "selective_copy"), 10 * math.log(8) / 30)
    expected |= dict.fromkeys(("recall", "noisy_recall"), math.log(8))
    expected |= dict.fromkeys(("parity", "flip_flop"), math.log(2))
    expected |= {"adding": 1 / 6, "s5": math.log(120)}
    for name in ("modular_arithmetic", "dyck"):
        expected[name] = mean_entropy(name)
    assert chances == pytest.approx(expected)
    assert TASKS["copy"](delay=100).chance_loss == pytest.approx(10 * math.log(8) / 120)


def after_number(state):
    """Probabilities and next states (total, product) of an expression's value."""
    total, product = state
    for number in range(5):
        yield 1 / 15, (total, product * number % 5)
        for sign in (1, -1):
            yield 1 / 15, ((total + product) % 5, sign * number % 5)


def after_bracket(brackets):
    closed = [brackets[:-1]] if brackets else []
    opened = [brackets + kind for kind in "(["] if len(brackets) < 4 else []
    for each in (closed, opened):
        for state in each:
            yield 1 / len(each) / (2 if closed and opened else 1), state


def mean_entropy(name):
    """The chance loss of a default task from all states that its solver can be in."""
    if name == "dyck":
        states, follow, answer, length = {"": 1.0}, after_bracket, (lambda s: s[-1:]), 32
    else:
        states = {(0, number): 1 / 5 for number in range(5)}
        follow, answer, length = after_number, (lambda s: sum(s) % 5), 8
    entropies = []
    for _ in range(length + 1):
        answers, following = collections.Counter(), collections.Counter()
        for state, probability in states.items():
            answers[answer(state)] += probability
            for share, other in follow(state):
                following[other] += probability * share
        entropies.append(-sum(p * math.log(p) for p in answers.values()))
        states = following
    if name == "dyck":
        return np.mean(entropies[1:])
    return np.mean(np.repeat(entropies[:-1], 2)[:-1])


def test_one_number_is_marked_in_each_half():
    task = TASKS["adding"](num_steps=7)
    inputs = to_numpy(task.sample("train", 0, 7000).inputs)
    numbers, marks = inputs[..., 0], inputs[..., 1]
    assert (marks[:, :3].sum(1) == 1).all() and (marks[:, 3:].sum(1) == 1).all()
    expected = np.array([1 / 3] * 3 + [1 / 4] * 4)
    np.testing.assert_allclose(marks.mean(0), expected, atol=4 * np.sqrt(0.25 / 7000))
    assert numbers.min() >= 0 and numbers.max() < 1
    assert numbers.mean() == pytest.approx(0.5, abs=4 / np.sqrt(12 * numbers.size))


def test_symbols_are_balanced(name):
    if name not in UNIFORM:
        pytest.skip("its inputs are not uniform symbols")
    steps, choices = UNIFORM[name]
    symbols = to_numpy(TASKS[name]().sample("train", 0, 2000).inputs).argmax(-1)[:, steps]
    shares = np.bincount(symbols.ravel(), minlength=choices) / symbols.size
    tolerance = 5 * np.sqrt((1 / choices) / symbols.size)
    np.testing.assert_allclose(shares, np.full(choices, 1 / choices), atol=tolerance)


def test_all_choices_of_places_are_equally_likely():
    symbols = to_numpy(TASKS["selective_copy"](delay=3).sample("train", 0, 6600).inputs).argmax(-1)
    blanks = symbols[:, :12] == 8
    assert (blanks.sum(1) == 2).all()
    counts = np.array(list(collections.Counter(map(bytes, blanks)).values()))
    assert len(counts) == math.comb(12, 2)
    np.testing.assert_allclose(counts, 100, atol=45)


def test_brackets_of_every_kind_open_and_close_equally_often():
    task = TASKS["dyck"](num_steps=40, max_depth=1)
    symbols = to_numpy(task.sample("train", 0, 500).inputs).argmax(-1)
    assert (symbols[:, ::2] < 2).all() and (symbols[:, 1::2] == symbols[:, ::2] + 2).all()
    assert symbols[:, ::2].mean() == pytest.approx(0.5, abs=0.02)
    symbols = to_numpy(TASKS["dyck"]().sample("train", 0, 4000).inputs).argmax(-1)
    assert (symbols[:, 1] < 2).mean() == pytest.approx(0.5, abs=0.035)


def test_samples_and_answers_are_text():
    task = TASKS["copy"](delay=3)
    batch = task.sample("eval", 0, 2)
    lines = task.example(batch, 0).split("\n")
    inputs, targets = (line.split()[1] for line in lines)
    assert inputs[10:] == "..!.........."
    assert targets == "." * 13 + inputs[:10]
    outputs = np.eye(9, dtype="float32")[to_numpy(batch.targets)]
    assert task.answer(batch, 0, outputs).split("\n") == [*lines, f"answers  {targets}"]
    task = TASKS["s5"](num_steps=2)
    first, second = task.example(task.sample("eval", 0, 1), 0).split("\n")
    assert first.split()[1] == second.split()[1]


def test_a_tenth_of_the_instructions_writes_and_a_tenth_reads():
    symbols = to_numpy(TASKS["flip_flop"]().sample("train", 0, 1000).inputs).argmax(-1)
    instructions = symbols[:, 2:-1:2]
    shares = np.bincount(instructions.ravel(), minlength=5) / instructions.size
    np.testing.assert_allclose(shares, [0, 0, 0.1, 0.1, 0.8], atol=4 * 0.4 / instructions.size**0.5)


@pytest.mark.parametrize("value", [0, 2.5, True])
def test_a_length_out_of_range_is_refused(name, value):
    with pytest.raises(UserError, match=f"{TASKS[name].length_option} must be a whole number"):
        TASKS[name](**{TASKS[name].length_option: value})


@pytest.mark.slow
def test_a_gru_learns_it_from_the_defaults(name, tmp_path):
    task = TASKS[name]
    record = train(TrainConfig(name, "gru", **task.defaults), tmp_path / "run", callbacks=())
    assert record.eval_loss < BELOW_CHANCE[name] * task().chance_loss


#: Share of the chance loss that a GRU reaches from the task's defaults, with a margin.
BELOW_CHANCE = dict.fromkeys(SOLVERS, 0.1) | {"copy": 0.2, "selective_copy": 0.2, "s5": 0.3}
BELOW_CHANCE |= {"recall": 0.3, "noisy_recall": 0.4}
