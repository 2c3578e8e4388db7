"""One configuration's model shape, initial weights, program and record."""

import dataclasses
import inspect
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from rnn_zoo.functional import draw_weights, make_cells
from rnn_zoo.sizing import count_params
from trainer import backend, initial_weights, names
from trainer.config import ACTIVATIONS, TrainConfig
from trainer.errors import UserError, user_errors
from trainer.optimizers import OPTIMIZERS, PAPER_OPTIMIZERS, canonical_name
from trainer.options import default_options
from trainer.program import Program
from trainer.storage import provenance
from trainer.storage.checkpoints import latest_weights
from trainer.storage.records import RunDirectory, RunRecord, versions
from trainer.tasks.base import SPLITS, Task
from trainer.windows import CURVE_POINTS, WINDOWS, window_start

#: Entries of a program's state from which a record is updated.
PROGRESS = ("step", "feasible", "pruned", "loss_sums")
#: evaluate(split, num_samples, whole, multiple) -> averaged metrics of a split at that multiple of
#: the task's length.
Evaluate = Callable[[str, int, bool, int], dict]
#: Number of programs that stay compiled for further trials of their shape.
MOST_KEPT = 4
kept_programs: dict[tuple, Program] = {}


class Trial:
    """A configuration ready to train, without a Keras model.

    Args:
        config: the configuration.
        run_id: the `run_id` of its record.
        stop_above: fraction of the steps -> limit. The trial is pruned at that fraction if its mean
            training loss over the preceding twentieth of the steps is above the limit.
        optimizers: optimizers of all trials that may share its program; its own if None.

    Attributes:
        task: its `Task`; `task_at` returns it at other lengths.
        units, num_params: N and the number of parameters, from the budget.
        cells: the cells of the layers, unbuilt.
        date: UTC time at which it was made.
        activation: name of s().
        activations: names of the nonlinearities of the program that trains it in lanes.
        optimizers: optimizers of the program that trains it. Any subset of the paper's four is
            extended to all four, so that different studies can share a program.

    Raises:
        UserError: the budget is too small or too large for the memory, or the task or the cell
            rejects its options.
    """

    def __init__(
        self,
        config: TrainConfig,
        run_id: str = "trial",
        stop_above: Mapping[float, float] | None = None,
        optimizers: Collection[str] | None = None,
    ):
        self.config, self.task = config, config.make_task()
        self._tasks = {1: self.task}
        if missing := [name for name in self.task.lane_options if name not in self.task.data]:
            raise UserError(
                f"the task {config.task} has {', '.join(missing)} in lane_options and not in data; "
                "put the value there, and let draw read it from there"
            )
        if not 0 < self.task.chance_loss < math.inf:
            raise UserError(
                f"the task {config.task} has chance_loss {self.task.chance_loss!r}; it must be "
                "finite and greater than 0"
            )
        self.run_id, self.stop_above = run_id, dict(stop_above or {})
        self.date = provenance.now()
        shape = (self.task.input_dim, self.task.output_dim)
        self.units = config.units(*shape)
        self.num_params = count_params(config.arch, config.depth, self.units, *shape)
        config.check_memory(self.task)
        with user_errors():
            self.cells = make_cells(
                config.arch, config.depth, self.units, seed=config.seed, **config.cell_options()
            )
        # Not `keras.activations.serialize`, which imports TensorFlow on every backend.
        function = self.cells[0].activation
        self.activation = getattr(function, "__name__", type(function).__name__)
        is_shared = self.activation in ACTIVATIONS
        self.activations = ACTIVATIONS if is_shared else (self.activation,)
        used = {config.optimizer, *map(canonical_name, optimizers or ())}
        if used.issubset(PAPER_OPTIMIZERS):
            used = set(PAPER_OPTIMIZERS)
        self.optimizers = tuple(name for name in OPTIMIZERS if name in used)

    def task_at(self, multiple: int) -> Task:
        """Return the task at a multiple of its length, for which the same weights serve."""
        if multiple not in self._tasks:
            self._tasks[multiple] = self.config.make_task(multiple)
        return self._tasks[multiple]

    @property
    def shape(self) -> tuple:
        """Everything that trials in one program must have in common."""
        config = self.config
        bound = inspect.signature(type(self.task)).bind(**config.task_options)
        bound.apply_defaults()
        fixed = _without(self.task.lane_options, bound.arguments)
        own = _without(self.cells[0].lane_options, config.arch_options)
        shape = (config.task, fixed, config.arch, own, config.depth, self.units, config.batch_size)
        # A task may derive these from its lane options.
        form = (self.task.input_dim, self.task.output_dim, self.task.num_steps)
        programs = (self.optimizers, self.activations)
        return (*shape, form, str(self.task.loss_steps), config.precision, *programs)

    def program(
        self,
        optimizer_names: Sequence[str] | None = None,
        activation_names: Sequence[str] | None = None,
    ) -> Program:
        """Return the training program, which trials of one shape share within a process.

        Each program takes seconds to compile, and TensorFlow never frees one: a process grows by
        about 50 MB per shape. `tf.custom_gradient` registers its functions for good, but removing
        them frees the graphs alone, which is little beside the compiled code that XLA keeps.

        Args:
            optimizer_names, activation_names: names used by all trials that will share the
                program; only those of this trial if None.
        """
        optimizer_names = tuple(optimizer_names or [self.config.optimizer])
        activation_names = tuple(activation_names or [self.activation])
        # A notebook can register a changed cell, task or optimizer under an old name.
        entries = (OPTIMIZERS[name] for name in optimizer_names)
        updates = tuple((entry.update, entry.slots, entry.scales) for entry in entries)
        names = (optimizer_names, activation_names)
        # A file of data may have changed, and a program holds where its splits begin and end.
        data = repr(_without(self.task.lane_options, self.task.describe()))
        key = (repr(self.shape), data, *names, type(self.cells[0]), type(self.task), updates)
        program = kept_programs.pop(key, None) or Program(
            self.task, self.cells, self.config.batch_size, *names, self.config.precision
        )
        kept_programs[key] = program
        if len(kept_programs) > MOST_KEPT:
            del kept_programs[next(iter(kept_programs))]
        return program

    def draw_weights(self) -> dict:
        """Return the initial weights as NumPy arrays: a preset's, a run's or random ones.

        Raises:
            UserError: the preset or the run has no weights, or they are damaged, or do not fit.
        """
        initial_weights.check(self.config, self.task)
        if self.config.preset is not None:
            return initial_weights.read_preset_weights(self.config.preset)
        drawn = self.random_weights()
        if self.config.init_from is None:
            return drawn
        found = latest_weights(RunDirectory(self.config.init_from), drawn)
        return keras.tree.map_structure(keras.ops.convert_to_numpy, found)

    def random_weights(self) -> dict:
        """Return random initial weights as NumPy arrays, wherever training starts from."""
        return draw_weights(self.cells, self.task.input_dim, self.task.output_dim, self.config.seed)

    def hparams(self, program: Program) -> dict:
        """Return the hyperparameters as arguments of a program."""
        limits = np.full(CURVE_POINTS, np.inf)
        for share, loss in self.stop_above.items():
            limits[max(round(share * CURVE_POINTS), 1) - 1] = loss
        return program.hparams(self.config, self.cells[0], self.activation, limits)

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step, numbered from 1."""
        config = self.config
        return config.lr_init * config.lr_decay_rate ** ((step - 1) / config.train_steps)

    def rows(self, loss_sums: Any, first: int, last: int) -> list[dict[str, Any]]:
        """Return a measurement of each window of the training loss that ends in (first, last].

        Args:
            loss_sums: (WINDOWS,) of the program's state, as an array of NumPy.
            first, last: numbers of steps trained.
        """
        ends = [window_start(index, self.config.train_steps) for index in range(WINDOWS + 1)]
        return [
            {
                "run_id": self.run_id,
                "step": end,
                "train_loss": float(total) / (end - start),
                "learning_rate": self.learning_rate(end),
            }
            for total, start, end in zip(loss_sums, ends, ends[1:], strict=False)
            if start < end and first < end <= last
        ]

    def curve(self, loss_sums: Any, steps_done: int) -> list[float]:
        """Return the mean training loss of each completed twentieth, to five digits.

        Args:
            loss_sums: (WINDOWS,) of the program's state.
            steps_done: number of steps trained.
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

    def record(self) -> RunRecord:
        """Return the record of a trial that has not started."""
        config, task = self.config, self.task
        # Lists, as in a record that is read back.
        lists = {"eval_lengths": list(config.eval_lengths)}
        return RunRecord(
            run_id=self.run_id,
            task=config.task,
            arch=config.arch,
            depth=len(self.cells),
            units=self.units,
            max_params=config.num_params,
            num_params=self.num_params,
            hparams=config.hparams,
            seed=config.seed,
            train_steps=config.train_steps,
            input_dim=task.input_dim,
            output_dim=task.output_dim,
            chance_loss=task.chance_loss,
            config=dataclasses.asdict(config) | lists,
            defaults=default_options(vars(config)),
            data=task.describe(),
            backend=keras.backend.backend(),
            device=backend.current().device_name(),
            versions=versions() | names.code_of(vars(config)),
            date=self.date,
            **provenance.of_process(),
        )

    def update(self, record: RunRecord, state: Mapping[str, Any], seconds: float) -> None:
        """Write the progress of the trial into its record.

        Args:
            record: from `record`.
            state: the program's state, or the `PROGRESS` part of it.
            seconds: training time so far.
        """
        step, feasible = int(state["step"]), bool(state["feasible"])
        is_last = step == self.config.train_steps
        record.steps_done, record.seconds, record.steps_per_second = step, seconds, step / seconds
        record.curve = self.curve(state["loss_sums"], step)
        peak = provenance.peak_memory(backend.current().peak_memory())
        record.peak_memory = max(peak, record.peak_memory or 0)
        record.stopped_early = feasible and bool(state["pruned"]) and not is_last
        record.infeasible_at = None if feasible else step
        if not feasible:
            record.status = "infeasible"
        elif is_last or record.stopped_early:
            record.status = "ok"
        else:
            record.status = "interrupted"

    def complete(self, record: RunRecord, evaluate: Evaluate) -> None:
        """Add losses and metrics to the record of a finished trial, unless it diverged.

        Args:
            record: from `record`, after `update`.
            evaluate: as for `measure`.
        """
        if record.status != "ok":
            return
        measured = self.measure(evaluate, SPLITS)
        if measured is None:
            # The last update left finite weights with a non-finite loss; one more would diverge.
            record.status, record.infeasible_at = "infeasible", record.steps_done
            return
        for split, metrics in measured.items():
            record.metrics[split] = metrics
            setattr(record, f"{split}_loss", metrics["loss"])
        record.objective = self.task.objective(record.metrics["valid"])
        record.lengths = [
            self._at_length(multiple, record, evaluate) for multiple in self.config.eval_lengths
        ]

    def _at_length(self, multiple, record, evaluate):
        """Return an `AtLength`; at the trained length, it has the record's metrics."""
        task, measured = self.task_at(multiple), record.metrics
        if multiple > 1:
            measured = self.measure(evaluate, ["eval"], multiple)
        return {
            "multiple": multiple,
            "num_steps": task.num_steps,
            "chance_loss": task.chance_loss,
            "metrics": measured and measured["eval"],
        }

    def measure(
        self, evaluate: Evaluate, splits: Sequence[str], multiple: int = 1
    ) -> dict[str, dict] | None:
        """Measure splits the way records report them.

        Args:
            evaluate: returns a split's averaged metrics. A finite data set is the same in all three
                splits, so it is measured only once, whole.
            splits: names of the splits.
            multiple: multiple of the task's length. There are as many times fewer samples, so that
                every length takes equal time and memory.

        Returns:
            dict from split to metrics; None if a loss is not finite.
        """
        task = self.task_at(multiple)
        whole = task.num_samples is not None
        num_samples = task.num_samples or -(-self.config.eval_samples // multiple)
        asked = SPLITS[:1] if whole else splits
        measured = {split: evaluate(split, num_samples, whole, multiple) for split in asked}
        if not all(math.isfinite(metrics["loss"]) for metrics in measured.values()):
            return None
        return {
            split: task.summarise(
                measured[split if split in measured else SPLITS[0]], self.units, self.num_params
            )
            for split in splits
        }


def _without(names, options):
    return {name: value for name, value in options.items() if name not in names}
