"""The losses of a run's model with other weights than it was trained to, by the trainer's own
evaluation."""

import math

import keras
from keras import ops

from trainer.errors import UserError
from trainer.evaluation import Evaluator
from trainer.storage import checkpoints
from trainer.storage.differences import plain
from trainer.trial import Trial

#: Relative difference that rounding on another machine or backend may make to a loss.
ROUNDING = 1e-3


class MeasuredRun:
    """A finished run, to be measured again.

    Args:
        directory: its `RunDirectory`.
        record: its `RunRecord`, with an eval loss.
        config: its `TrainConfig`, or that with its text in another place.

    Attributes:
        record: as given.
        weights: its last ones, NumPy.
        metrics: dict of the metrics of these on the split eval, measured anew.
        measure: an `Evaluator`.

    Raises:
        UserError: no readable checkpoint; the task's data, or the loss, are not those of the
            record.
    """

    def __init__(self, directory, record, config):
        self.record, trial = record, Trial(config, record.run_id)
        data = plain(trial.task.describe())
        if data != record.data:
            raise UserError(f"{directory.path} was measured on {record.data}, and here is {data}")
        like = trial.draw_weights()
        self.weights = keras.tree.map_structure(
            ops.convert_to_numpy, checkpoints.latest_weights(directory.checkpoints, like)
        )
        self.measure = Evaluator(trial)
        self.metrics = self.measure(self.weights)
        loss = self.metrics and self.metrics["loss"]
        if loss is None or not math.isclose(loss, record.eval_loss, rel_tol=ROUNDING):
            raise UserError(
                f"the weights in {directory.checkpoints} give the eval loss {loss} here, and "
                f"{directory.record_path} has {record.eval_loss}"
            )
