"""Random continuous functions (appendix B): fit random values at random points."""

import functools
import math

import numpy as np

from rnn_zoo.inputs import Held
from trainer import counter_rng
from trainer import lazy_ops as ops
from trainer.errors import UserError
from trainer.tasks.base import MAX_SAMPLES, Batch, Task, WeightedBatch, check_whole
from trainer.tasks.rendering import scored_sample

TAU = 5000
SAMPLINGS = ("weighted", "uniform")


class RCF(Task):
    """Fits N random points: x_i is a Gaussian vector scaled to norm 1, y_i a Gaussian number.

    Point i has weight β_i = 1/(i + 5000)/Z, for i from 1, with Σ β_i = 1. Values are random, so
    there is nothing to generalise: the losses of valid and eval are exactly Σ β_i (ŷ_i - y_i)² over
    the data set. Training draws i with probability β_i; uniform draws weighted by N β_i have the
    same expectation and more variance.

    The data set is a function of the seed; its points are computed when needed, never stored.

    Inputs are (B, T, 50), the point at every step, targets (B, T, 1). Only the last step is scored.

    Args:
        num_samples: N.
        dimensions: number of dimensions of a point.
        num_steps: T.
        sampling: "weighted" draws i with probability β_i, "uniform" weights the loss instead.

    Raises:
        UserError: an argument is out of range.
    """

    name = "rcf"
    summary = "fit random values at random points, a million in the paper profile"
    output_dim = 1
    splits_share_a_program = True
    chance_loss = 1.0

    def __init__(
        self,
        num_samples: int = 1_000_000,
        dimensions: int = 50,
        num_steps: int = 50,
        sampling: str = "weighted",
    ):
        if sampling not in SAMPLINGS:
            raise UserError(f"unknown sampling {sampling!r}; choose one of {', '.join(SAMPLINGS)}")
        check_whole(1, dimensions=dimensions, num_steps=num_steps)
        # More points would have probabilities below the 32 bits that draw one.
        check_whole(1, MAX_SAMPLES, num_samples=num_samples)
        self.num_samples, self.input_dim, self.num_steps = num_samples, dimensions, num_steps
        self.loss_steps = slice(num_steps - 1, num_steps)
        self.sampling = sampling
        self._normalisation, ends = _weights_and_ends(num_samples)
        if sampling == "weighted":
            self.data = {"ends": ends}

    def draw(self, data, split, seed, step, batch_size):
        words = counter_rng.bits(seed, split, step, (batch_size, 2))
        if self.sampling == "weighted":
            index = _first_end_above(data["ends"], words[..., 0])
            return self._samples(seed, index)
        index = counter_rng.below_large(words, self.num_samples)
        batch = self._samples(seed, index)
        return WeightedBatch(*batch, self._weights(index))

    def sweep(self, data, split, seed, step, batch_size):
        index = step * batch_size + ops.arange(batch_size, dtype="int32")
        weights = self._weights(index) * ops.cast(index < self.num_samples, "float32")
        batch = self._samples(seed, index)
        return WeightedBatch(*batch, ops.broadcast_to(weights, batch.targets.shape[:-2]))

    def _weights(self, index):
        return self.num_samples / (ops.cast(index + 1 + TAU, "float32") * self._normalisation)

    def _samples(self, seed, index):
        numbers = counter_rng.normal(
            counter_rng.bits_at(seed, "data", index, 2 * (self.input_dim // 2 + 1))
        )
        y, x = numbers[..., :1], numbers[..., 1 : self.input_dim + 1]
        x = x / ops.sqrt(ops.sum(x * x, axis=-1, keepdims=True))

        targets = ops.repeat(y[..., None, :], self.num_steps, axis=-2)
        return Batch(Held(x, ops.ones(self.num_steps)), targets)

    @classmethod
    def step_losses(cls, outputs, targets):
        return ops.sum(ops.square(outputs - targets), axis=-1)

    def example(self, batch, index):
        x = np.array2string(np.asarray(ops.convert_to_numpy(batch.inputs[index, 0])), precision=2)
        return f"f({x}) = {float(batch.targets[index, -1, 0]):.3f}"

    def answer(self, batch, index, outputs, units=None):
        (given,), (y,) = (part[-1] for part in scored_sample(self, batch, index, outputs))
        x = ops.convert_to_numpy(batch.inputs[index, 0, :4])
        shown = " ".join(f"{number:.2f}" for number in x) + " …" * (self.input_dim > 4)
        return (
            f"f({shown}) = {y:.3f}   predicted {given:.3f}   "
            f"squared error {np.square(given - y):.4f}"
        )


@functools.lru_cache(maxsize=2)
def _weights_and_ends(num_samples):
    """Return Z and ends (N,): point i is drawn for words in [ends[i - 1], ends[i])."""
    weights = 1 / (np.arange(1, num_samples + 1) + TAU)
    ends = np.cumsum(weights / weights.sum()) * 2.0**32
    return weights.sum(), np.minimum(ends, 2.0**32 - 1).astype("uint32")


def _first_end_above(ends, words):
    """Return the first i with words < ends[i], by bisection, for sorted ends (N,)."""
    low = ops.zeros_like(words, dtype="int32")
    high = ops.full_like(low, ends.shape[0] - 1)
    for _ in range(math.ceil(math.log2(ends.shape[0])) if ends.shape[0] > 1 else 0):
        middle = (low + high) // 2
        above = words < ops.take(ends, middle, axis=0)
        low, high = ops.where(above, low, middle + 1), ops.where(above, middle, high)
        low = ops.minimum(low, high)
    return low
