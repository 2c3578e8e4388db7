"""The bounded Dyck language of two kinds of brackets."""

import numpy as np

from rnn_zoo.inputs import OneHot
from trainer import counter_rng
from trainer import lazy_ops as ops
from trainer.tasks.base import Batch, check_whole, entropy
from trainer.tasks.symbols import Symbols, over_time


class Dyck(Symbols):
    """Names the bracket to close next: prefixes of Dyck-(2, m) (Hewitt et al., 2020, 2010.07515).

    At depth 0 a bracket opens, at depth m one closes, and otherwise either happens with probability
    1/2. Both kinds are equally likely. The depth is 0 with probability p_t after t steps of this
    random walk, so chance is the mean entropy of (p_t, (1 - p_t) / 2, (1 - p_t) / 2).

    Inputs are (B, T, 4), one-hot symbols ( [ ) ]. Targets are codes of the innermost open bracket:
    none, ( or [, (B, T). All steps are scored.

    Args:
        num_steps: T, at most 10,000.
        max_depth: m, at most 30.

    Raises:
        UserError: an argument is out of range.
    """

    name = "dyck"
    summary = "name the innermost open bracket, among two kinds"
    vocabulary, answers = tuple("([)]"), tuple(".([")
    input_dim, output_dim = len(vocabulary), len(answers)
    length_option = "num_steps"
    defaults = {"train_steps": 3000, "num_params": 5000, "eval_lengths": (1, 2, 4, 8)}

    def __init__(self, num_steps: int = 32, max_depth: int = 4):
        check_whole(1, 10_000, num_steps=num_steps)
        check_whole(1, 30, max_depth=max_depth)
        self.num_steps, self._max_depth = num_steps, max_depth
        up = np.array([1, *[0.5] * (max_depth - 1), 0])
        walk = np.diag(up[:-1], 1) + np.diag(1 - up[1:], -1)
        p = [np.linalg.matrix_power(walk, t + 1)[0, 0] for t in range(num_steps)]
        self.chance_loss = sum(entropy([q, (1 - q) / 2, (1 - q) / 2]) for q in p) / num_steps

    def draw(self, data, split, seed, step, batch_size):
        words = counter_rng.bits(seed, split, step, (batch_size, self.num_steps, 2))
        coins, kinds = (counter_rng.below(words[..., k], 2) for k in range(2))

        def after(depth, stack, symbol, coin, kind):
            # The kinds of the open brackets are the bits of a number, the innermost one the lowest.
            opens = (depth == 0) | ((depth < self._max_depth) & (coin == 1))
            symbol = ops.where(opens, kind, 2 + stack % 2)
            stack = ops.where(opens, 2 * stack + kind, stack // 2)
            return ops.where(opens, depth + 1, depth - 1), stack, symbol

        zeros = ops.zeros_like(kinds[..., 0])
        depth, stack, symbols = over_time(after, (zeros, zeros, zeros), coins, kinds)
        targets = ops.where(depth == 0, 0, 1 + stack % 2)
        return Batch(OneHot(symbols[..., None], self.input_dim), targets)
