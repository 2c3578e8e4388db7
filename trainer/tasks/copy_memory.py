"""Copy memory: repeat ten symbols after a delay."""

import math

from rnn_zoo.inputs import OneHot
from trainer import counter_rng
from trainer import lazy_ops as ops
from trainer.tasks.base import Batch, check_whole
from trainer.tasks.symbols import Symbols

LENGTH = 10
BLANK, GO = 8, 9


class Copy(Symbols):
    """Repeats ten symbols after a delay (Arjovsky et al., 2016, arXiv 1511.06464).

    A sample has T + 20 steps: ten symbols drawn from eight, T - 1 blanks, the signal to answer, and
    ten blanks. The target is a blank until the signal has been read, and then the ten symbols. The
    loss is the mean over all steps. The best predictor that ignores its inputs, but knows the time,
    loses nothing at the blanks and ln 8 at each of the ten answers: chance is 10 ln 8 / (T + 20).

    Inputs are (B, T + 20, 10), one-hot symbols. Targets are codes (B, T + 20); outputs have nine
    logits, as the signal is never an answer.

    Args:
        delay: T.

    Raises:
        UserError: `delay` is not a positive integer.
    """

    name = "copy"
    summary = "repeat ten symbols after a delay"
    vocabulary = (*"abcdefgh", ".", "!")
    answers = vocabulary[:GO]
    input_dim, output_dim = len(vocabulary), len(answers)
    length_option = "delay"
    defaults = {"train_steps": 3000, "num_params": 20_000, "eval_lengths": (1, 2, 4, 8)}

    def __init__(self, delay: int = 10):
        check_whole(1, delay=delay)
        self._delay, self.num_steps = delay, delay + 2 * LENGTH
        self._num_words = LENGTH
        self.chance_loss = LENGTH * math.log(8) / self.num_steps

    def draw(self, data, split, seed, step, batch_size):
        words = counter_rng.bits(seed, split, step, (batch_size, self._num_words))
        symbols = counter_rng.below(words[..., :LENGTH], 8)
        blanks = ops.full_like(symbols[..., :1], BLANK)
        before = ops.repeat(blanks, self._delay - 1, axis=-1)
        after = ops.repeat(blanks, LENGTH, axis=-1)
        shown = self._show(symbols, before, words[..., LENGTH:])
        read = ops.concatenate([shown, ops.full_like(blanks, GO), after], axis=-1)
        targets = ops.concatenate([after, before, blanks, symbols], axis=-1)
        return Batch(OneHot(read[..., None], self.input_dim), targets)

    def _show(self, symbols, blanks, words):
        return ops.concatenate([symbols, blanks], axis=-1)
