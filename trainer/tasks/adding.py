"""The adding problem: the sum of two marked numbers far apart."""

from trainer import counter_rng
from trainer import lazy_ops as ops
from trainer.tasks.base import Batch, Task, check_whole


class Adding(Task):
    """Sums the two marked numbers of a sequence (Hochreiter and Schmidhuber, 1997).

    Numbers are uniform on [0, 1), and one is marked in each half of the sequence. The loss is the
    squared error at the last step. The best constant is 1, and its loss is the variance of the sum:
    2 · 1/12 = 1/6.

    Inputs are (B, T, 2), a number and its mark, 1 or 0. Targets are the sum of the marked numbers
    so far, (B, T, 1).

    Args:
        num_steps: T.

    Raises:
        UserError: `num_steps` is not a whole number of at least 2.
    """

    name = "adding"
    summary = "sum two marked numbers, one from each half of a sequence"
    input_dim, output_dim = 2, 1
    chance_loss = 1 / 6
    splits_share_a_program = True
    length_option = "num_steps"
    defaults = {"train_steps": 3000, "num_params": 5000, "eval_lengths": (1, 2, 4, 8)}

    def __init__(self, num_steps: int = 100):
        check_whole(2, num_steps=num_steps)
        self.num_steps = num_steps
        self.loss_steps = slice(num_steps - 1, num_steps)

    def draw(self, data, split, seed, step, batch_size):
        words = counter_rng.bits(seed, split, step, (batch_size, self.num_steps + 4))
        numbers = counter_rng.uniform(words[..., 4:])
        half, time = self.num_steps // 2, ops.arange(self.num_steps)
        first = counter_rng.below_large(words[..., :2], half)[..., None]
        second = half + counter_rng.below_large(words[..., 2:4], self.num_steps - half)[..., None]
        marks = ops.cast((time == first) | (time == second), "float32")
        targets = ops.cumsum(numbers * marks, axis=-1)
        return Batch(ops.stack([numbers, marks], axis=-1), targets[..., None])

    @classmethod
    def step_losses(cls, outputs, targets):
        return ops.sum(ops.square(outputs - targets), axis=-1)
