"""Forecasts of a user's own series."""

from trainer import lazy_ops as ops
from trainer.tasks import series_file
from trainer.tasks.base import Batch, Task, check_whole
from trainer.tasks.splits import windows


class Series(Task):
    """Forecasts every column of a series k time steps ahead, at every step of a window.

    The first 80 % of the rows are for training, then come 10 % each for validation and evaluation.
    Columns have mean 0 and variance 1 in the training part. The loss is the mean squared error.
    Chance is that of repeating the last value, (x[t + k] - x[t])² over all windows of eval.

    Inputs are the rows of a random window, (B, T, C) for C columns; targets those k later.

    Args:
        path: a .csv or .npy file; see `trainer.tasks.series_file.load`.
        horizon: k.
        num_steps: T.
        warmup_steps: number of steps that are not scored.

    Raises:
        UserError: the file is missing, wrong or too short, or an argument is out of range.
    """

    name = "series"
    summary = "forecast the columns of your own file, --series_path=FILE.csv or .npy"
    defaults = {"train_steps": 3000, "num_params": 10_000}
    splits_share_a_program = True
    length_option = "num_steps"
    untrained_loss = 1.0  # repeating the last value is far better if it changes slowly
    pooled_options = ("path",)  # the hash tells series apart

    def __init__(
        self, path: str | None = None, horizon: int = 1, num_steps: int = 50, warmup_steps: int = 10
    ):
        check_whole(1, horizon=horizon)
        check_whole(0, warmup_steps=warmup_steps)
        check_whole(warmup_steps + 1, num_steps=num_steps)
        self.series = series_file.load(path, num_steps + horizon)
        self.num_steps, self.horizon = num_steps, horizon
        self.loss_steps = slice(warmup_steps, num_steps)
        self.input_dim = self.output_dim = self.series.values.shape[1]
        self.data = {"values": self.series.values}
        self.chance_loss = self.series.last_value_loss(horizon, warmup_steps, num_steps)

    def draw(self, data, split, seed, step, batch_size):
        length = self.num_steps + self.horizon
        rows = windows(self.series.splits, split, seed, step, batch_size, length)
        x = ops.take(data["values"], rows, axis=0)
        return Batch(x[..., : self.num_steps, :], x[..., self.horizon :, :])

    @classmethod
    def step_losses(cls, outputs, targets):
        return ops.mean(ops.square(outputs - targets), axis=-1)

    def describe(self):
        return self.series.describe()
