"""Associative recall: pairs of a key and a value are shown, then the keys again."""

import math

from rnn_zoo.inputs import OneHot
from trainer import counter_rng
from trainer import lazy_ops as ops
from trainer.tasks.base import Batch, check_whole
from trainer.tasks.symbols import Symbols

KEYS, VALUES = 32, 8


class Recall(Symbols):
    """Names the values of keys, as multi-query recall of Arora et al. (2023, arXiv 2312.04927).

    A sample shows P pairs of a key and a value, and then its keys once more, in random order. Its
    keys are P of 32. Each value is one of eight, independently of the rest, so chance is ln 8.

    Inputs are (B, 3 P, 40), one-hot keys and values; targets values, (B, 3 P). The last P steps,
    which repeat the keys, are scored.

    Args:
        pairs: P, at most 32.

    Raises:
        UserError: `pairs` is not a whole number from 1 to 32.
    """

    name = "recall"
    summary = "name the values of keys that were shown in pairs"
    vocabulary, answers = (*"ABCDEFGHIJKLMNOPQRSTUVWXYZ!?+-*=", *"01234567"), (*"01234567",)
    input_dim, output_dim, chance_loss = len(vocabulary), VALUES, math.log(VALUES)
    length_option = "pairs"
    defaults = {"train_steps": 10_000, "num_params": 20_000, "eval_lengths": (1, 2, 4, 8)}

    def __init__(self, pairs: int = 4):
        self._set_length(pairs, slots=pairs)

    def _set_length(self, pairs, slots):
        check_whole(1, KEYS, pairs=pairs)
        self._pairs, self._slots, self.num_steps = pairs, slots, 2 * slots + pairs
        self.loss_steps = slice(2 * slots, self.num_steps)

    def draw(self, data, split, seed, step, batch_size):
        ends = [KEYS, KEYS + self._pairs, KEYS + 2 * self._pairs]
        words = counter_rng.bits(seed, split, step, (batch_size, ends[-1] + 3 * self._slots))
        keys, values, order, words = ops.split(words, ends, axis=-1)
        keys = counter_rng.permutation(keys)[..., : self._pairs]
        values, order = counter_rng.below(values, VALUES), counter_rng.permutation(order)
        shown = ops.stack(self._show(keys, KEYS + values, words), axis=-1)
        shown = ops.reshape(shown, (*keys.shape[:-1], 2 * self._slots))
        asked, right = (ops.take_along_axis(each, order, axis=-1) for each in (keys, values))
        read = ops.concatenate([shown, asked], axis=-1)
        targets = ops.concatenate([ops.zeros_like(shown), right], axis=-1)
        return Batch(OneHot(read[..., None], self.input_dim), targets)

    def _show(self, keys, values, words):
        return keys, values
