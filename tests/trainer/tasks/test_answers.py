"""Answers as text, for outputs whose meaning is known."""

import math
import re

import numpy as np
import pytest
from on_backend import to_numpy

from trainer.tasks import TASKS

B = 4
LETTERS = " abcdefghijklmnopqrstuvwxyz"


def noise(task, seed=0):
    """Large random outputs (B, T, O); tests overwrite the scored steps."""
    return 9 * np.random.default_rng(seed).normal(size=(B, task.num_steps, task.output_dim))


def one_hot(codes, depth):
    return 5.0 * np.eye(depth)[codes]


@pytest.mark.parametrize("logit, label, probability", [(3, 1, "0.750"), (1 / 9, 0, "0.900")])
def test_an_answer_of_capacity(logit, label, probability):
    task = TASKS["capacity"](num_inputs=8, num_samples=100)
    batch = task.sample("eval", 0, 32)
    bits, labels = to_numpy(tuple(batch)[:2])
    assert set(labels[:, -1, 0]) == {0, 1}
    outputs = -50.0 * np.log(logit) * np.ones((32, task.num_steps, 1))
    outputs[:, -1] = np.log(logit)
    for index in range(32):
        true = labels[index, -1, 0]
        assert task.answer(batch, index, outputs) == (
            f"{''.join(str(int(bit)) for bit in bits[index, 0])} -> {true}   "
            f"predicted {label} with probability {probability}   "
            f"{'right' if true == label else 'wrong'}"
        )


def test_an_answer_of_memory():
    task = TASKS["memory"](dimensions=10, delay=2)
    batch = task.sample("eval", 0, B)
    vector = to_numpy(batch.inputs)[1, 0]
    outputs = noise(task)
    outputs[1, -1] = vector + 0.5
    true, given, error = task.answer(batch, 1, outputs, units=4).split("\n")
    assert given.endswith("  and 2 more")
    for line, expected in ((true, vector), (given, vector + 0.5)):
        np.testing.assert_allclose(
            [float(number) for number in line.split()[1:9]], expected[:8], atol=0.0051
        )
    assert error == "squared error 0.2500 per dimension, 0.6000 in theory with 4 units"
    assert "0.0000 in theory with 64 units" in task.answer(batch, 1, outputs, units=64)
    assert task.answer(batch, 1, outputs).endswith("squared error 0.2500 per dimension")


def test_an_answer_of_rcf():
    task = TASKS["rcf"](num_samples=50, num_steps=3)
    batch = task.sample("eval", 0, B)
    point, value = to_numpy(batch.inputs)[2, 0], float(to_numpy(batch.targets)[2, 0, 0])
    outputs = noise(task)
    outputs[2, -1] = value - 0.25
    shown = " ".join(f"{number:.2f}" for number in point[:4])
    assert task.answer(batch, 2, outputs) == (
        f"f({shown} …) = {value:.3f}   predicted {value - 0.25:.3f}   squared error 0.0625"
    )


def test_an_answer_of_text8(text_file):
    task = TASKS["text8"](path=text_file, num_steps=12, warmup_steps=5)
    batch = task.sample("eval", 0, B)
    codes = to_numpy(batch.targets)
    outputs = noise(task)
    # The right character has probability 1/4: two bits per character.
    outputs[:, 5:] = np.log(0.75 / 26)
    for index in range(B):
        outputs[index, np.arange(5, 12), codes[index, 5:]] = np.log(1 / 4)
    text = task.example(batch, 1)
    assert text in text_file.read_text()
    context, true, predicted, bits = task.answer(batch, 1, outputs).split("\n")
    assert (context, true) == (f'context    "{text[:6]}"', f'true       "{text[6:]}"')
    assert predicted == true.replace("true     ", "predicted")
    assert bits.startswith("2.00 bits per character, 100% ")

    wrong = LETTERS[codes[1, 6] - 1]
    outputs[1, 6] = one_hot(codes[1, 6] - 1, 27)
    _, _, predicted, bits = task.answer(batch, 1, outputs).split("\n")
    assert predicted == f'predicted  "{text[6]}{wrong}{text[8:]}"'
    missed = math.log2(26 + math.exp(5))
    assert bits.startswith(f"{(6 * 2 + missed) / 7:.2f} bits per character, 86% ")


def test_an_answer_of_parens():
    task = TASKS["parens"](num_steps=60)
    batch = task.sample("eval", 0, B)
    counts = to_numpy(batch.targets)[3, -1]
    answers = np.array([*counts[:8], (counts[8] + 3) % 10, (counts[9] + 9) % 10])
    outputs = noise(task)
    outputs[3, -1] = one_hot(answers, 10).ravel()
    head, *lines = task.answer(batch, 3, outputs).split("\n")
    assert head.split()[:3] == ["type", "true", "predicted"]
    assert len(lines) == 10
    for k, line in enumerate(lines):
        pair, true, predicted, verdict, *counting = line.split()
        assert (int(true), int(predicted)) == (counts[k], answers[k])
        assert verdict == ("right" if k < 8 else "wrong")
        count = 0
        for symbol in "".join(counting):
            count = min(max(count + {pair[0]: 1, pair[1]: -1}[symbol], 0), 9)
        assert count == counts[k]
    assert [line[:2] for line in lines] == "() [] {} <> «» ‹› ⟨⟩ ⟦⟧ ⌈⌉ ⌊⌋".split()


def test_an_answer_of_arithmetic():
    task = TASKS["arithmetic"]()
    batch = task.sample("eval", 0, B)
    codes = to_numpy(batch.targets)
    for index in range(B):
        outputs = one_hot(codes, 14)
        problem, true, predicted = task.answer(batch, index, outputs).split("\n")
        question = problem.removeprefix("problem ").strip()
        numbers = [int(number) for number in re.findall(r"(?:(?<=[+])|^)-?\d+", question)]
        assert question == f"{numbers[0]}+{numbers[1]}="
        assert int(true.removeprefix("true ")) == sum(numbers)
        assert predicted.split() == ["predicted", str(sum(numbers)), "right"]
        assert predicted.index(str(sum(numbers))) == true.index(str(sum(numbers)))

        # A wrong digit, and a right answer that comes one step late.
        last = np.flatnonzero(codes[index] < 10)[-1]
        outputs[index, last] = one_hot((codes[index, last] + 1) % 10, 14)
        digit = str((codes[index, last] + 1) % 10)
        predicted = task.answer(batch, index, outputs).split("\n")[2]
        assert predicted.split() == ["predicted", str(sum(numbers))[:-1] + digit, "wrong"]
        late = task.answer(batch, index, np.roll(one_hot(codes, 14), 1, axis=1)).split("\n")[2]
        assert late.split() == ["predicted", str(sum(numbers)), "wrong"]
