"""Parity, the simplest task that needs state tracking."""

import math

from rnn_zoo.inputs import OneHot
from trainer import counter_rng
from trainer import lazy_ops as ops
from trainer.tasks.base import Batch, check_whole
from trainer.tasks.symbols import Symbols


class Parity(Symbols):
    """Tells after each bit whether the number of ones so far is even or odd.

    Bits are 0 or 1 with probability 1/2, and so is the parity of each prefix: chance is ln 2 at
    every step. Delétang et al. (2022, arXiv 2207.02098) ask for the parity of the whole sequence.

    Inputs are (B, T, 2), one-hot bits. Targets are the parities, (B, T). All steps are scored.

    Args:
        num_steps: T.

    Raises:
        UserError: `num_steps` is not a positive integer.
    """

    name = "parity"
    summary = "tell after each bit whether the number of ones so far is odd"
    vocabulary = answers = ("0", "1")
    input_dim = output_dim = 2
    chance_loss = math.log(2)
    length_option = "num_steps"
    defaults = {"train_steps": 3000, "num_params": 5000, "eval_lengths": (1, 2, 4, 8)}

    def __init__(self, num_steps: int = 32):
        check_whole(1, num_steps=num_steps)
        self.num_steps = num_steps

    def draw(self, data, split, seed, step, batch_size):
        words = counter_rng.bits(seed, split, step, (batch_size, self.num_steps))
        bits = counter_rng.below(words, 2)
        return Batch(OneHot(bits[..., None], 2), ops.cumsum(bits, axis=-1) % 2)
