"""A configuration on its way to a result: its model's shape, first weights, program and record."""

import dataclasses
import inspect
import math

import keras
import numpy as np

from rnn_zoo.model import draw_weights, make_cells
from rnn_zoo.sizing import count_params
from trainer.config import read_preset_weights
from trainer.program import CURVE_POINTS, Program, window_start
from trainer.storage.records import RunRecord, versions
from trainer.tasks.base import SPLITS


class Trial:
    """What a configuration stands for, made without building a Keras model.

    Args:
        config: the `TrainConfig`.
        run_id: what its record is called.
        stop_above: dict from a share of the steps to the mean training loss, of the twentieth that
            ends there, above which it is given up as hopeless.

    Attributes:
        task: its `Task`.
        units, num_params: N and the count of parameters that the budget allows.
        cells: the cells of its layers, for their equations.
        activation: the name of its s().

    Raises:
        UserError: the budget is too small, or the task refuses its options.
    """

    def __init__(self, config, run_id="trial", stop_above=None):
        self.config, self.task = config, config.make_task()
        self.run_id, self.stop_above = run_id, dict(stop_above or {})
        shape = (self.task.input_dim, self.task.output_dim)
        self.units = config.units(*shape)
        self.num_params = count_params(config.arch, config.depth, self.units, *shape)
        self.cells = make_cells(
            config.arch, config.depth, self.units, seed=config.seed, **config.cell_options()
        )
        # Its name as Keras has it; `keras.activations.serialize` would import TensorFlow.
        self.activation = self.cells[0].activation.__name__

    @property
    def shape(self):
        """What trials must have in common to train in one program."""
        config = self.config
        bound = inspect.signature(type(self.task)).bind(**config.task_options)
        bound.apply_defaults()
        options = bound.arguments.items()
        fixed = {name: value for name, value in options if name not in self.task.lane_options}
        shape = (config.task, fixed, config.arch, config.depth, self.units, config.batch_size)
        return (*shape, config.precision)

    def program(self, optimizer_names=None, activation_names=None):
        """The program that trains it; for others of its shape too, if it is told what they use."""
        return Program(
            self.task,
            self.cells,
            self.config.batch_size,
            optimizer_names or [self.config.optimizer],
            activation_names or [self.activation],
            self.config.precision,
        )

    def draw_weights(self):
        """The first weights, NumPy arrays: a preset's, or drawn ones.

        Raises:
            UserError: the preset has none, or they are damaged.
        """
        if self.config.preset is not None:
            return read_preset_weights(self.config.preset)
        return draw_weights(self.cells, self.task.input_dim, self.task.output_dim, self.config.seed)

    def hparams(self, program):
        """Its numbers as arguments of a program."""
        limits = np.full(CURVE_POINTS, np.inf)
        for share, loss in self.stop_above.items():
            limits[max(round(share * CURVE_POINTS), 1) - 1] = loss
        return program.hparams(self.config, self.cells[0].gate_bias, self.activation, limits)

    def curve(self, loss_sums, steps_done):
        """Mean training losses of the full twentieths of a training, to five digits.

        Args:
            loss_sums: (WINDOWS,) of the program's state.
            steps_done: how far it is trained.
        """
        sums = keras.ops.convert_to_numpy(loss_sums).reshape(CURVE_POINTS, -1).sum(1)
        ends = [
            window_start(index, self.config.train_steps, CURVE_POINTS)
            for index in range(CURVE_POINTS + 1)
        ]
        full = [
            total / (end - start)
            for total, start, end in zip(sums, ends, ends[1:], strict=False)
            if start < end <= steps_done
        ]
        return [float(f"{mean:.5g}") for mean in full]

    def record(self):
        """The record at the start."""
        config, task = self.config, self.task
        return RunRecord(
            run_id=self.run_id,
            task=config.task,
            arch=config.arch,
            depth=config.depth,
            units=self.units,
            max_params=config.num_params,
            num_params=self.num_params,
            hparams=config.hparams,
            seed=config.seed,
            train_steps=config.train_steps,
            input_dim=task.input_dim,
            output_dim=task.output_dim,
            chance_loss=task.chance_loss,
            config=dataclasses.asdict(config),
            data=task.describe(),
            backend=keras.backend.backend(),
            versions=versions(),
        )

    def complete(self, record, evaluate):
        """Fills in a finished record's losses and metrics.

        Args:
            record: of `record`.
            evaluate: as for `measure`.
        """
        measured = self.measure(evaluate, SPLITS)
        if measured is None:
            # The last update left finite weights whose loss is not: one more would have found it.
            record.status, record.infeasible_at = "infeasible", record.steps_done
            return
        for split, metrics in measured.items():
            record.metrics[split] = metrics
            setattr(record, f"{split}_loss", metrics["loss"])
        record.objective = self.task.objective(record.metrics["valid"])

    def measure(self, evaluate, splits):
        """Measures splits as a record has them.

        Args:
            evaluate: evaluate(split, num_samples, whole) gives a split's averaged metrics. A fixed
                data set is all three splits, and is measured once, whole.
            splits: which.

        Returns:
            dict from split to its completed metrics; None if a loss is not finite.
        """
        whole = self.task.num_samples is not None
        num_samples = self.task.num_samples if whole else self.config.eval_samples
        asked = SPLITS[:1] if whole else splits
        measured = {split: evaluate(split, num_samples, whole) for split in asked}
        if not all(math.isfinite(metrics["loss"]) for metrics in measured.values()):
            return None
        return {
            split: self.task.summarise(
                measured[split if split in measured else SPLITS[0]], self.units, self.num_params
            )
            for split in splits
        }
