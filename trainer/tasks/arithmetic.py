"""Addition of integers written as characters (appendix B)."""

import functools
from typing import ClassVar

import numpy as np

from rnn_zoo.inputs import OneHot
from trainer import counter_rng
from trainer import lazy_ops as ops
from trainer.errors import UserError
from trainer.tasks.base import Batch, Task, cross_entropy, entropy, hits
from trainer.tasks.rendering import scored_sample, verdict

SYMBOLS = "0123456789+-= "
PLUS, MINUS, EQUALS, SPACE = (SYMBOLS.index(symbol) for symbol in "+-= ")
LARGEST = 10_000_000  # in the paper
NUM_DIGITS = 8  # of any number up to twice that
POWERS = np.array([10**k for k in range(NUM_DIGITS)], "int32")


class Arithmetic(Task):
    """Adds two integers, uniform in [-L, L], read and written character by character.

    The input is the problem, such as "-343243+93851=", followed by spaces. The target is spaces,
    then the sum, whose first character comes `compute_steps` time steps after the "=", then spaces.
    The loss is the cross-entropy averaged over all T steps. `answer_accuracy` is the fraction of
    samples whose T characters are all right, spaces included. T is 36 for the paper's L = 10^7, and
    smaller for a smaller L: the characters of the longest problem and of the longest answer, and 7.

    Inputs are one-hot (B, T, 14), targets the characters' codes (B, T).

    Args:
        compute_steps: time steps from the "=" to the sum, 1 to 6; tuned in the paper (appendix B).
        largest: L, the largest integer to add, 1 to 10,000,000.

    Raises:
        UserError: an argument is out of range.
    """

    name = "arithmetic"
    summary = "add two integers, written as characters"
    splits_share_a_program = True
    vocabulary = tuple(SYMBOLS)
    input_dim = output_dim = len(SYMBOLS)
    target_time_axis = -1
    ranges: ClassVar = {"compute_steps": (1, 6)}
    lane_options = pooled_options = ("compute_steps",)

    def __init__(self, compute_steps: int = 3, largest: int = LARGEST):
        if type(compute_steps) is not int or compute_steps not in range(1, 7):
            raise UserError(f"compute_steps must be 1 to 6, got {compute_steps!r}")
        if type(largest) is not int or not 1 <= largest <= LARGEST:
            raise UserError(f"largest must be 1 to {LARGEST:,}, got {largest!r}")
        self.compute_steps, self.largest = compute_steps, largest
        self.num_steps = len(f"{-largest}+{-largest}=") + len(f"{-2 * largest}") + 7
        # An argument of the compiled program, so that trials may differ in it.
        self.data = {"compute_steps": np.int32(compute_steps)}
        self.chance_loss = _unigram_entropy(self.num_steps, largest)

    def draw(self, data, split, seed, step, batch_size):
        words = counter_rng.bits(seed, split, step, (batch_size, 2, 2))
        numbers = counter_rng.below_large(words, 2 * self.largest + 1) - self.largest
        a, b = numbers[..., 0], numbers[..., 1]
        plus = _length(a)
        equals = plus + 1 + _length(b)
        problem = _Line(self.num_steps)
        problem.write(a, 0 * plus).put(PLUS, plus).write(b, plus + 1).put(EQUALS, equals)
        start = equals + data["compute_steps"][..., None]
        answer = _Line(self.num_steps).write(a + b, start)
        return Batch(OneHot(problem.codes[..., None], self.input_dim), answer.codes)

    @classmethod
    def step_losses(cls, outputs, targets):
        return cross_entropy(outputs, targets)

    @classmethod
    def step_hits(cls, outputs, targets):
        written = ops.cast(targets != SPACE, "float32")
        return hits(outputs, targets) * written, written

    def metrics(self, outputs, batch):
        outputs, codes = self.scored(outputs, batch)
        right, (written_right, written) = hits(outputs, codes), self.step_hits(outputs, codes)
        return {
            **super().metrics(outputs, batch),
            "character_accuracy": ops.sum(written_right, axis=(-2, -1))
            / ops.sum(written, axis=(-2, -1)),
            "answer_accuracy": ops.mean(ops.min(right, axis=-1), axis=-1),
        }

    def example(self, batch, index):
        problem = ops.convert_to_numpy(ops.argmax(batch.inputs[index], axis=-1))
        answer = ops.convert_to_numpy(batch.targets[index])
        return f"{_text(problem)}\n{_text(answer)}"

    def answer(self, batch, index, outputs, units=None):
        logits, _ = scored_sample(self, batch, index, outputs)
        problem, true = self.example(batch, index).split("\n")
        predicted = _text(logits.argmax(-1))
        return (
            f"problem    {problem.rstrip()}\ntrue       {true.rstrip()}\n"
            f"predicted  {predicted}  {verdict(predicted == true)}"
        )


class _Line:
    """Character codes (..., T), initially all spaces."""

    def __init__(self, num_steps):
        self.positions = ops.arange(num_steps, dtype="int32")
        self.codes = SPACE

    def put(self, symbol, position):
        """Write a symbol at positions (...)."""
        here = self.positions == position[..., None]
        self.codes = ops.where(here, symbol, self.codes)
        return self

    def write(self, number, position):
        """Write numbers (...) starting at positions (...)."""
        last = (position + _length(number) - 1)[..., None]
        place = last - self.positions
        value = ops.abs(number)[..., None]
        is_digit = (place >= 0) & (place < _count_digits(number)[..., None])
        power = ops.take(POWERS, ops.clip(place, 0, NUM_DIGITS - 1), axis=0)
        self.codes = ops.where(is_digit, value // power % 10, self.codes)
        is_sign = (number < 0)[..., None] & (self.positions == position[..., None])
        self.codes = ops.where(is_sign, MINUS, self.codes)
        return self


def _text(codes):
    return "".join(SYMBOLS[code] for code in codes)


def _count_digits(number):
    above = ops.abs(number)[..., None] >= POWERS[1:]
    return 1 + ops.sum(ops.cast(above, "int32"), axis=-1)


def _length(number):
    return _count_digits(number) + ops.cast(number < 0, "int32")


@functools.cache
def _unigram_entropy(num_steps, largest):
    """Return the entropy of a target character at a random step: the chance loss.

    Of the pairs of integers in [-L, L], 2 L + 1 - |v| have the sum v.
    """
    largest_sum = 2 * largest
    weight_of_all = (2.0 * largest + 1) ** 2
    expected = np.zeros(len(SYMBOLS))
    for place in range(NUM_DIGITS):
        for digit in range(10):
            # No number but 0 is written with a leading zero.
            first = 1 if digit == 0 and place else 0
            expected[digit] += 2 * _weight_with_digit(digit, 10**place, first, largest_sum)
    expected[0] -= largest_sum + 1  # v = 0 has no negative twin
    expected[:10] /= weight_of_all
    expected[MINUS] = (1 - (largest_sum + 1) / weight_of_all) / 2
    expected[SPACE] = num_steps - expected.sum()
    return entropy(expected / num_steps)


def _weight_with_digit(digit, size, first, largest):
    """Return Σ (largest + 1 - v) over 0 <= v <= largest with `digit` at the place of value `size`.

    These v form runs of length `size`, one per 10 · `size` integers; the first `first` runs are
    left out. The weights within a run, and the sums of the complete runs, are arithmetic series.
    """
    period, start = 10 * size, digit * size

    def run(begin, length):
        return length * (largest + 1 - begin) - length * (length - 1) // 2

    whole = max((largest + 1 - size - start) // period + 1, first)
    last = start + (whole - 1) * period
    total = (whole - first) * (run(start + first * period, size) + run(last, size)) // 2
    cut = min(size, largest + 1 - start - whole * period)
    return total + (run(start + whole * period, cut) if cut > 0 else 0)
