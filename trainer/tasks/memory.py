"""Memory throughput (section 2.2): reconstruct a random vector that was shown once."""

import math
from typing import Any

import numpy as np

from rnn_zoo.inputs import Held
from trainer import counter_rng
from trainer import lazy_ops as ops
from trainer.display.words import count
from trainer.tasks.base import Batch, Task, check_whole
from trainer.tasks.rendering import scored_sample

#: Dimensions of a vector that `answer` prints.
NUM_SHOWN = 8


class Memory(Task):
    """Reconstructs a vector 12 steps after it was shown.

    Each of the 64 dimensions is uniform on [-√3, √3] and so has variance 1. The loss is the squared
    error per dimension at the last step. A linear readout of N units has outputs in a subspace of N
    dimensions, so the least error is max(0, 1 - N/64) (figure 2c).

    Inputs are (B, T, 64), zero after t = 0. Targets are the vector at every step, (B, T, 64).

    Args:
        dimensions: number of dimensions of the vector.
        delay: time steps between input and answer, so T = delay + 1.

    Raises:
        UserError: an argument is out of range.
    """

    name = "memory"
    summary = "reconstruct a random vector 12 steps after it was shown"
    splits_share_a_program = True
    length_option = "delay"
    input_dim = output_dim = 64
    chance_loss = 1.0

    def __init__(self, dimensions: int = 64, delay: int = 12):
        check_whole(1, dimensions=dimensions)
        check_whole(0, delay=delay)
        self.input_dim = self.output_dim = dimensions
        self.num_steps = delay + 1
        self.loss_steps = slice(delay, delay + 1)

    def draw(self, data, split, seed, step, batch_size):
        words = counter_rng.bits(seed, split, step, (batch_size, self.input_dim))
        vector = math.sqrt(3) * (2 * counter_rng.uniform(words) - 1)
        first = ops.cast(ops.arange(self.num_steps) == 0, "float32")
        targets = ops.repeat(vector[..., None, :], self.num_steps, axis=-2)
        return Batch(Held(vector, first), targets)

    @classmethod
    def step_losses(cls, outputs, targets):
        return ops.mean(ops.square(outputs - targets), axis=-1)

    def metrics(self, outputs, batch):
        metrics = super().metrics(outputs, batch)
        return {**metrics, "variance_recovered": 1 - metrics["loss"]}

    def summarise(self, metrics, units, num_params):
        return {**metrics, "theoretical_loss": float(least_error(units, self.input_dim))}

    def example(self, batch, index):
        return np.array2string(
            np.asarray(ops.convert_to_numpy(batch.targets[index, -1])), precision=2
        )

    def answer(self, batch, index, outputs, units=None):
        given, vector = (part[-1] for part in scored_sample(self, batch, index, outputs))
        error = f"squared error {np.mean(np.square(given - vector)):.4f} per dimension"
        if units is not None:
            error += f", {least_error(units, self.input_dim):.4f} in theory with "
            error += count(units, "unit")
        return f"true           {_line(vector)}\nreconstruction {_line(given)}\n{error}"


def least_error(units: Any, dimensions: int = 64) -> Any:
    """Return the least squared error per dimension with N units: max(0, 1 - N / dimensions).

    The outputs, linear in N units, lie in an N-dimensional subspace, and the components of the
    vector have variance 1 (section 2.2).

    Args:
        units: N, a number or an array.
        dimensions: number of dimensions of the vector.
    """
    return np.maximum(0.0, 1.0 - np.asarray(units, float) / dimensions)


def _line(vector):
    rest = len(vector) - NUM_SHOWN
    shown = " ".join(f"{number:6.2f}" for number in vector[:NUM_SHOWN])
    return shown + (f"  and {rest} more" if rest > 0 else "")
