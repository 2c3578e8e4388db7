"""A user's module: a task, a cell and an optimizer, in fewer than 60 lines."""

import math

from keras import ops

import rnn_zoo
from trainer import counter_rng
from trainer.optimizers import register_optimizer
from trainer.tasks import Batch, Task, cross_entropy, register


class Parity(Task):
    """Predict, at each step, whether the number of ones so far is odd."""

    input_dim, output_dim, chance_loss, target_time_axis = 1, 2, math.log(2), -1
    defaults = {"num_params": 300, "train_steps": 30, "batch_size": 4, "eval_samples": 16}
    ranges = {"num_steps": (4, 6)}

    def __init__(self, num_steps=5):
        self.num_steps = num_steps

    def draw(self, data, split, seed, step, batch_size):
        words = counter_rng.bits(seed, split, step, (batch_size, self.num_steps))
        bits = counter_rng.below(words, 2)
        return Batch(ops.cast(bits[..., None], "float32"), ops.cumsum(bits, axis=-1) % 2)

    @classmethod
    def step_losses(cls, outputs, targets):
        return cross_entropy(outputs, targets)


class DecayCell(rnn_zoo.AbstractRNNCell):
    """Leaky unit of a fixed rate: h' = rate · h + (1 - rate) · s(W x + U h + b)."""

    gates = ("c",)
    lane_options = ("rate",)

    def __init__(self, units, rate=0.5, **kwargs):
        super().__init__(units, **kwargs)
        self.rate = rate

    def step(self, ops, x, pre, states):
        (h,) = states
        h = self.rate * h + (1 - self.rate) * self.activation(pre("c", h))
        return h, [h]


def lion(step, beta_2=0.99):
    """w' = w - α sign(m u + (1 - m) g); u' = β2 u + (1 - β2) g."""
    mixed = step.momentum * step.u + (1 - step.momentum) * step.g
    u = beta_2 * step.u + (1 - beta_2) * step.g
    return -step.rate * ops.sign(mixed), u, step.v


register("my_lab.parity", Parity)
rnn_zoo.register("my_lab.decay", DecayCell, ranges={"rate": (0.2, 0.8)})
register_optimizer("my_lab.lion", lion, ranges={"beta_2": (0.9, 0.999)})
