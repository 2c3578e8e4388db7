"""Parentheses counting (appendix B): ten parallel streams, one type of parentheses in each."""

import numpy as np

from rnn_zoo.inputs import OneHot
from trainer import counter_rng
from trainer import lazy_ops as ops
from trainer.tasks.base import Batch, Task, check_whole, cross_entropy, entropy
from trainer.tasks.rendering import scored_sample, verdict

PAIRS = ("()", "[]", "{}", "<>", "«»", "‹›", "⟨⟩", "⟦⟧", "⌈⌉", "⌊⌋")
NOISE = "abcdefghij"
MAX_COUNT = 9


class Parens(Task):
    """Counts the open parentheses of type k in stream k, for ten independent streams.

    A symbol is one of 10 noise characters or one of 20 parentheses, with probability 1/2 each. In
    stream k, the opening symbol of type k increments the count, up to 9, and the closing one
    decrements it, down to 0; other symbols are noise. The loss is the sum of the ten streams'
    cross-entropies at the last step.

    Inputs are (B, T, 300), ten one-hot vectors of 30 symbols. Outputs are (B, T, 100), the logits
    of the counts 0 to 9 for each stream. Targets are the counts (B, T, 10).

    Args:
        num_steps: T, 175 in the paper.

    Raises:
        UserError: `num_steps` is not a positive integer.
    """

    name = "parens"
    summary = "count ten types of parentheses in ten parallel streams; answers at the last step"
    vocabulary = (*"".join(PAIRS), *NOISE)
    streams = len(PAIRS)
    input_dim = len(PAIRS) * len(vocabulary)
    output_dim = len(PAIRS) * (MAX_COUNT + 1)
    splits_share_a_program = True
    length_option = "num_steps"

    def __init__(self, num_steps: int = 175):
        check_whole(1, num_steps=num_steps)
        self.num_steps = num_steps
        self.loss_steps = slice(num_steps - 1, num_steps)
        self.chance_loss = self.streams * entropy(_count_distribution(num_steps))

    def draw(self, data, split, seed, step, batch_size):
        shape = (batch_size, self.num_steps, self.streams)
        # One draw below 40: a number for each of 20 parentheses, two for each noise character.
        drawn = counter_rng.below(counter_rng.bits(seed, split, step, shape), 40)
        symbols = ops.where(drawn < 20, drawn, 10 + drawn // 2)
        return Batch(OneHot(symbols, len(self.vocabulary)), _counts(symbols))

    @classmethod
    def step_losses(cls, outputs, targets):
        return ops.sum(cross_entropy(cls._logits(outputs), targets), axis=-1)

    @classmethod
    def step_hits(cls, outputs, targets):
        right = cls._right(outputs, targets)
        return ops.sum(right, axis=-1), ops.sum(ops.ones_like(right), axis=-1)

    def metrics(self, outputs, batch):
        by_stream = ops.mean(self._right(*self.scored(outputs, batch)), axis=(-3, -2))
        return {
            **super().metrics(outputs, batch),
            "accuracy": ops.mean(by_stream, axis=-1),
            "accuracy_by_stream": by_stream,
        }

    def example(self, batch, index):
        counts = ops.convert_to_numpy(batch.targets[index])[-1]
        return "\n".join(
            f"{text}  {pair} {count}"
            for text, pair, count in zip(self._texts(batch, index), PAIRS, counts, strict=True)
        )

    def answer(self, batch, index, outputs, units=None):
        outputs, counts = (part[-1] for part in scored_sample(self, batch, index, outputs))
        answers = outputs.reshape(self.streams, -1).argmax(-1)
        lines = ["type  true  predicted         parentheses of this type"]
        for k, text in enumerate(self._texts(batch, index)):
            counting = "".join(symbol for symbol in text if symbol in PAIRS[k])
            right = verdict(answers[k] == counts[k])
            lines.append(f"{PAIRS[k]}    {counts[k]:4d}  {answers[k]:9d}  {right}  {counting}")
        return "\n".join(lines)

    def _texts(self, batch, index):
        """Return the text of each stream of one sample."""
        symbols = ops.convert_to_numpy(batch.inputs[index])
        symbols = symbols.reshape(self.num_steps, self.streams, -1).argmax(-1)
        return ["".join(self.vocabulary[symbol] for symbol in stream) for stream in symbols.T]

    @classmethod
    def _right(cls, outputs, counts):
        """Return 1 for each right count, else 0: (..., B, S, 10)."""
        return ops.cast(ops.argmax(cls._logits(outputs), axis=-1) == counts, "float32")

    @classmethod
    def _logits(cls, outputs):
        return ops.reshape(outputs, (*ops.shape(outputs)[:-1], cls.streams, MAX_COUNT + 1))


def _counts(symbols):
    """Return the counts (..., T, 10) after each of the symbols (..., T, 10)."""
    opening = 2 * ops.arange(len(PAIRS), dtype="int32")
    change = ops.cast(symbols == opening, "int32") - ops.cast(symbols == opening + 1, "int32")

    def step(count, change):
        count = ops.clip(count + change, 0, MAX_COUNT)
        return count, count

    change = ops.moveaxis(change, -2, 0)
    _, counts = ops.scan(step, ops.zeros_like(change[0]), change)
    return ops.moveaxis(counts, 0, -2)


def _count_distribution(num_steps):
    """Return the distribution of the count after T steps from 0.

    Each step is +1 with probability 1/40 and -1 with probability 1/40.
    """
    states = MAX_COUNT + 1
    up, down = np.eye(states, k=1), np.eye(states, k=-1)
    up[-1, -1] = down[0, 0] = 1
    transition = (up + down + 38 * np.eye(states)) / 40
    return np.linalg.matrix_power(transition, num_steps)[0]
