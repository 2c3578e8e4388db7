"""Modular arithmetic without brackets: sums, differences and products modulo five."""

import numpy as np

from rnn_zoo.inputs import OneHot
from trainer import counter_rng
from trainer import lazy_ops as ops
from trainer.tasks.base import Batch, check_whole, entropy
from trainer.tasks.symbols import Symbols, over_time

PLUS, MINUS, TIMES = 0, 1, 2


class ModularArithmetic(Symbols):
    """Evaluates expressions such as 2+3*4-1 modulo 5 (Delétang et al., 2022, arXiv 2207.02098).

    Numbers and operators are uniform; * binds more tightly. The target of a step is the value so
    far, without an operator at the end. Chance is its mean entropy: n numbers give 0 with
    probability (1 + 4 φ_n) / 5, and the other values equally often. With c_k = 1 - (4/5)^(k-1) for
    a first product of k numbers, φ_n = 3^(1-n) c_n + Σ_(k<n) 2/3^k c_k φ_(n-k).

    Inputs are (B, T, 8), one-hot symbols, T = 2 · numbers - 1. Targets are values, (B, T).

    Args:
        numbers: how many numbers an expression has, at most 10,000.

    Raises:
        UserError: `numbers` is out of range.
    """

    name = "modular_arithmetic"
    summary = "evaluate sums, differences and products modulo 5"
    vocabulary, answers = tuple("01234+-*"), tuple("01234")
    input_dim, output_dim, length_option = len(vocabulary), len(answers), "numbers"
    defaults = {"train_steps": 8000, "num_params": 20_000, "eval_lengths": (1, 2, 4, 8)}

    def __init__(self, numbers: int = 8):
        check_whole(1, 10_000, numbers=numbers)
        self._numbers, self.num_steps = numbers, 2 * numbers - 1
        c, phi = 1 - 0.8 ** np.arange(numbers), np.zeros(numbers)
        for n in range(numbers):
            k = np.arange(min(n, 40))  # longer first products are rarer than rounding errors
            phi[n] = c[n] * 3.0**-n + (2 * 3.0 ** -(k + 1) * c[k]) @ phi[n - k - 1]
        entropies = [entropy([(1 + 4 * f) / 5, *[(1 - f) / 5] * 4]) for f in phi]
        self.chance_loss = float(np.repeat(entropies, 2)[:-1].mean())  # as the targets

    def draw(self, data, split, seed, step, batch_size):
        words = counter_rng.bits(seed, split, step, (batch_size, self._numbers, 2))
        numbers, operators = (counter_rng.below(words[..., k], n) for k, n in enumerate((5, 3)))

        def after(total, product, operator, number):
            # The value is the sum of a total and of the product that a further * extends.
            signed = ops.where(operator == MINUS, -number, number)
            total = ops.where(operator == TIMES, total, total + product)
            return total % 5, ops.where(operator == TIMES, product * number, signed) % 5

        operators = ops.where(ops.arange(self._numbers) == 0, PLUS, operators)
        values = sum(over_time(after, (0 * numbers[..., 0],) * 2, operators, numbers)) % 5
        read = ops.reshape(ops.stack([5 + operators, numbers], axis=-1), (*numbers.shape[:-1], -1))
        return Batch(OneHot(read[..., 1:, None], 8), ops.repeat(values, 2, axis=-1)[..., :-1])
