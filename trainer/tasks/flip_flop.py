"""The flip-flop language: recall the bit that was written last."""

import math

from rnn_zoo.inputs import OneHot
from trainer import counter_rng
from trainer import lazy_ops as ops
from trainer.tasks.base import Batch, check_whole
from trainer.tasks.symbols import Symbols, over_time

WRITE, READ, IGNORE = 2, 3, 4


class FlipFlop(Symbols):
    """Recalls the bit that was written last (Liu et al., 2023, arXiv 2306.00946).

    A sample has pairs of an instruction and a bit: w (write), r (read), i (ignore), with
    probabilities 0.1, 0.1 and 0.8. The first instruction is w and the last one r. The bit after r
    is the one written last; others are 0 or 1 with probability 1/2. Only the bit after the last r
    is scored, and that r is the last input. The bit is uniform, so chance is ln 2.

    Inputs are (B, T, 5), one-hot symbols 0, 1, w, r, i, with T = 2 · pairs - 1. Targets are the bit
    written last, (B, T).

    Args:
        pairs: number of instructions.

    Raises:
        UserError: `pairs` is not a whole number of at least 2.
    """

    name = "flip_flop"
    summary = "recall the bit written last, among bits to ignore"
    vocabulary, answers = tuple("01wri"), ("0", "1")
    input_dim, output_dim = len(vocabulary), len(answers)
    chance_loss = math.log(2)
    length_option = "pairs"
    defaults = {"train_steps": 3000, "num_params": 5000, "eval_lengths": (1, 2, 4, 8)}

    def __init__(self, pairs: int = 32):
        check_whole(2, pairs=pairs)
        self._pairs, self.num_steps = pairs, 2 * pairs - 1
        self.loss_steps = slice(self.num_steps - 1, self.num_steps)

    def draw(self, data, split, seed, step, batch_size):
        words = counter_rng.bits(seed, split, step, (batch_size, self._pairs, 2))
        drawn, bits = (counter_rng.below(words[..., k], n) for k, n in enumerate((10, 2)))
        time, codes = ops.arange(self._pairs), ops.minimum(WRITE + drawn, IGNORE)
        codes = ops.where(time == 0, WRITE, ops.where(time == self._pairs - 1, READ, codes))

        def after(memory, code, bit):
            return (ops.where(code == WRITE, bit, memory),)

        (written,) = over_time(after, (ops.zeros_like(bits[..., 0]),), codes, bits)
        read = ops.stack([codes, ops.where(codes == READ, written, bits)], axis=-1)
        read = ops.reshape(read, (*read.shape[:-2], 2 * self._pairs))[..., :-1]
        targets = ops.repeat(written, 2, axis=-1)[..., :-1]
        return Batch(OneHot(read[..., None], self.input_dim), targets)
