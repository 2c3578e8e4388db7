"""Words over S5, the permutations of five things."""

import itertools
import math

import numpy as np

from rnn_zoo.inputs import OneHot
from trainer import counter_rng
from trainer import lazy_ops as ops
from trainer.tasks.base import Batch, check_whole
from trainer.tasks.symbols import Symbols, over_time

PERMUTATIONS = tuple(itertools.permutations(range(5)))
_TABLE, _BASE = np.array(PERMUTATIONS), 5 ** np.arange(4, -1, -1)
_ALL = np.take_along_axis(_TABLE[None], _TABLE[:, None], axis=-1)  # p · q at [p, q]
#: The code of p · q at 120 p + q. In lexicographic order, numbers to the base 5 increase.
PRODUCTS = np.searchsorted(_TABLE @ _BASE, _ALL @ _BASE).astype("uint8").ravel()


class S5(Symbols):
    """Composes permutations of five things (Merrill et al., 2024, arXiv 2404.08819).

    Each step reads one of the 120 permutations, all equally likely. The target is the product of
    those read so far, the newest applied last: (p · q)(i) = q(p(i)). It is uniform at every step,
    so chance is ln 120.

    Inputs are (B, T, 120), one-hot permutations in lexicographic order. Targets are their products,
    (B, T). All steps are scored.

    Args:
        num_steps: T.

    Raises:
        UserError: `num_steps` is not a positive integer.
    """

    name = "s5"
    summary = "compose permutations of five things, one per step"
    vocabulary = answers = tuple("".join(map(str, each)) for each in PERMUTATIONS)
    input_dim = output_dim = len(PERMUTATIONS)
    chance_loss = math.log(len(PERMUTATIONS))
    length_option = "num_steps"
    defaults = {"train_steps": 8000, "num_params": 50_000, "eval_lengths": (1, 2, 4, 8)}

    def __init__(self, num_steps: int = 4):
        check_whole(1, num_steps=num_steps)
        self.num_steps = num_steps
        self.data = {"products": PRODUCTS}

    def draw(self, data, split, seed, step, batch_size):
        words = counter_rng.bits(seed, split, step, (batch_size, self.num_steps))
        codes = counter_rng.below(words, len(PERMUTATIONS))

        def after(product, code):
            return (ops.cast(ops.take(data["products"], 120 * product + code, axis=0), "int32"),)

        # Code 0 is the identity, and products[120 p + q] is p · q.
        (products,) = over_time(after, (ops.zeros_like(codes[..., 0]),), codes)
        return Batch(OneHot(codes[..., None], self.input_dim), products)
