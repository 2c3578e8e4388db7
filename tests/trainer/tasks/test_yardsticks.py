"""Tasks on long memory and state tracking: each against a slow solver, and against chance."""

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


def parity(inputs):
    bits = "".join(str(k) for k in inputs.argmax(-1))
    return [bits[: t + 1].count("1") % 2 for t in range(len(bits))]


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
    "parity": (parity, {"num_steps": 9}, 9),
    "flip_flop": (flip_flop, {"pairs": 8}, 15),
    "s5": (s5, {"num_steps": 6}, 6),
}
SAMPLES = 200


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
    # At the scored steps it is the same at all times, unless some targets are known.
    if name != "copy":
        scored = constant[task.loss_steps]
        spread = 0.01 if name == "adding" else 0.5
        np.testing.assert_allclose(scored, np.tile(scored.mean(0), (len(scored), 1)), atol=spread)


def test_chance_in_closed_form():
    chances = {name: TASKS[name]().chance_loss for name in SOLVERS}
    expected = {"adding": 1 / 6, "copy": 10 * math.log(8) / 30, "parity": math.log(2)}
    expected["flip_flop"] = math.log(2)
    assert chances == pytest.approx(expected | {"s5": math.log(120)})
    assert TASKS["copy"](delay=100).chance_loss == pytest.approx(10 * math.log(8) / 120)


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
    if name in ("adding", "flip_flop"):
        pytest.skip("its inputs are not uniform symbols")
    task = TASKS[name]()
    read = 10 if name == "copy" else task.num_steps
    symbols = to_numpy(task.sample("train", 0, 2000).inputs)[:, :read].argmax(-1)
    choices = 8 if name == "copy" else task.input_dim
    shares = np.bincount(symbols.ravel(), minlength=choices) / symbols.size
    tolerance = 5 * np.sqrt((1 / choices) / symbols.size)
    np.testing.assert_allclose(shares, np.full(choices, 1 / choices), atol=tolerance)


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
BELOW_CHANCE = {"adding": 0.1, "copy": 0.2, "parity": 0.1, "flip_flop": 0.1, "s5": 0.3}
