"""Measures a run's model with modified weights, using the trainer's own evaluation."""

import math

import keras
from keras import ops

from trainer import names
from trainer.config import TrainConfig
from trainer.errors import UserError
from trainer.evaluation import Evaluator
from trainer.storage import checkpoints
from trainer.storage.records import RunDirectory, RunRecord
from trainer.trial import Trial

#: Maximum relative difference of a loss between machines and backends due to rounding.
ROUNDING = 1e-3


class MeasuredRun:
    """A finished run whose model can be measured again.

    Args:
        directory: the run's directory.
        record: the run's record, with an eval loss.
        config: the run's configuration, with the current path of its text.

    Attributes:
        record: the argument.
        weights: the last weights, as NumPy arrays.
        metrics: metrics of these weights on the split eval, measured again.
        measure: an `Evaluator`.

    Raises:
        UserError: no readable checkpoint, or the task's data or the loss differ from the record's.
    """

    def __init__(self, directory: RunDirectory, record: RunRecord, config: TrainConfig):
        checkpoints.check_size(directory, record)
        self.record, trial = record, Trial(config, record.run_id)
        record.check_data(trial.task.describe(), directory.path)
        like = trial.random_weights()
        self.weights = keras.tree.map_structure(
            ops.convert_to_numpy, checkpoints.latest_weights(directory, like)
        )
        self.measure = Evaluator(trial)
        metrics = self.measure(self.weights)
        loss = metrics["loss"] if metrics else math.nan
        if not metrics or not math.isclose(loss, record.eval_loss or 0.0, rel_tol=ROUNDING):
            edited = names.edited(record.code, record.config)
            raise UserError(
                f"the weights in {directory.checkpoints} have the eval loss {loss}, but "
                f"{directory.record_path} has {record.eval_loss}{edited and '; '}{edited}"
            )
        self.metrics = metrics
