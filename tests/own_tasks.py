"""A custom task as in a user's module."""

import math

from keras import ops

from trainer import counter_rng
from trainer.tasks import Batch, Task, cross_entropy, register


class Parity(Task):
    """Predict, at each step, whether the number of ones so far is odd."""

    input_dim, output_dim, chance_loss, target_time_axis = 1, 2, math.log(2), -1
    defaults = {"num_params": 500, "train_steps": 40, "task_options": {"num_steps": 7}}
    ranges = {"num_steps": (5, 50, "log"), "first": ["zero", "random"]}

    def __init__(self, num_steps=20, first="random"):
        self.num_steps, self.first = num_steps, first

    def draw(self, data, split, seed, step, batch_size):
        words = counter_rng.bits(seed, split, step, (batch_size, self.num_steps))
        bits = counter_rng.below(words, 2)
        return Batch(ops.cast(bits[..., None], "float32"), ops.cumsum(bits, axis=-1) % 2)

    @classmethod
    def step_losses(cls, outputs, targets):
        return cross_entropy(outputs, targets)


register("own_tasks.parity", Parity)
