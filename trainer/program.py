"""The training program: many steps per compiled call, with batches made from (seed, step).

The state is a plain nested dict of arrays. A checkpoint stores all of it, so a resumed run gives
bitwise equal results. Hyperparameters are arguments, so trials of one shape share a compiled
program. Hyperparameters, weights and seeds may have a leading axis of lanes: P trials then train in
one program, each as if alone.

Legend: P lanes; "(...)" a shape that is () for one trial, (P,) for lanes.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from rnn_zoo.algebra import state_widths
from rnn_zoo.cells import AbstractRNNCell
from rnn_zoo.cells.lanes import lane_cell
from rnn_zoo.functional import forward
from trainer import backend, counter_rng, packing, stderr, updates
from trainer.config import TrainConfig
from trainer.optimizers import OPTIMIZERS, Model
from trainer.tasks.base import Task, WeightedBatch
from trainer.updates import expand_as
from trainer.windows import CURVE_POINTS, WINDOWS, window_start

Tensor = Any
#: Training has diverged if its loss exceeds this multiple of chance (infeasible, section 4).
DIVERGED = 100.0
#: Maximum number of input values, and of entries of a state, per evaluation batch, which bounds its
#: memory.
EVALUATION_NUMBERS = 2**21

# Python's users may have imported Keras themselves, and then its logger as it is.
stderr.ignore_retracing()

_FLOATS = ("lr_init", "lr_decay_rate", "momentum_logit", "gradient_clip_val", "l2_decay")


class Program:
    """Compiled training and evaluation of one model shape on one task.

    Args:
        task: the `Task`; trials may differ in the scalars of its `data`.
        cells: cells of the model's layers, of which only the equations are used.
        batch_size: samples per step.
        optimizer_names: names in `OPTIMIZERS` used by at least one trial.
        activation_names: nonlinearities s() used by at least one trial.
        precision: precision of products and layers, as in `TrainConfig`. Weights, losses and the
            optimizer are always float32.
    """

    def __init__(
        self,
        task: Task,
        cells: Sequence[AbstractRNNCell],
        batch_size: int,
        optimizer_names: Sequence[str],
        activation_names: Sequence[str],
        precision: str = "float32",
    ):
        self.task, self.cells, self.batch_size = task, cells, batch_size
        self.optimizer_names = tuple(optimizer_names)
        self.activation_names = tuple(activation_names)
        self.precision = precision
        self._backend = backend.current()
        self._run = self._backend.compile(self._train)
        self._evaluators: dict[tuple, Any] = {}

    def start(self, weights: dict[str, Any]) -> dict[str, Any]:
        """Return the state before the first step.

        Args:
            weights: in the form of `rnn_zoo.model.get_weights`; for lanes, the result of `stack`.
        """
        lanes = weights["readout"]["bias"].shape[:-1]
        weights = keras.tree.map_structure(ops.convert_to_tensor, weights)
        return {
            "weights": weights,
            "slots": updates.zero_slots(weights, self.optimizer_names, lanes),
            "step": ops.zeros(lanes, dtype="int32"),
            "feasible": ops.ones(lanes, dtype="bool"),
            "pruned": ops.zeros(lanes, dtype="bool"),
            "loss_sums": ops.zeros((*lanes, WINDOWS), dtype="float32"),
            "gradient_norm": ops.zeros(lanes, dtype="float32"),
        }

    def hparams(
        self,
        config: TrainConfig,
        cell: AbstractRNNCell,
        activation: str,
        stop_above: Sequence[float] | np.ndarray | None = None,
    ) -> dict[str, Any]:
        """Return the arguments of the compiled program that differ between trials, in NumPy.

        Args:
            config: the `TrainConfig`.
            cell: one of the model's cells, which has b^fg and its own options.
            activation: the name of s(), one of `activation_names`.
            stop_above: (CURVE_POINTS,) limits of the mean loss, one per point of the curve. A trial
                whose mean loss over a point is above its limit is pruned at the end of the point.
                None disables pruning.
        """
        if stop_above is None:
            stop_above = np.full(CURVE_POINTS, np.inf)
        values = {name: np.float32(getattr(config, name)) for name in _FLOATS}
        return values | {
            "gate_bias": {gate: np.float32(bias) for gate, bias in cell.gate_bias.items()},
            "arch_options": {name: np.float32(getattr(cell, name)) for name in cell.lane_options},
            "activation": np.int32(self.activation_names.index(activation)),
            "optimizer": np.int32(self.optimizer_names.index(config.optimizer)),
            "optimizer_options": {name: _options(name, config) for name in self.optimizer_names},
            "train_steps": np.int32(config.train_steps),
            "seed": np.uint32(config.seed if config.data_seed is None else config.data_seed),
            "stop_above": np.asarray(stop_above, "float32"),
        }

    def run(
        self, state: dict[str, Any], hparams: dict[str, Any], data: dict[str, Tensor], stop: Any
    ) -> dict[str, Any]:
        """Train up to step `stop`.

        An update that diverges is discarded, and its trial is not trained further.

        Args:
            state: result of `start` or of the last call.
            hparams: result of `hparams`; for lanes, a `stack` of them.
            data: the task's `device_data`, its scalars stacked for lanes.
            stop: (...), total number of steps after which to stop.

        Returns:
            The state after the last step.
        """
        stop = ops.convert_to_tensor(stop, "int32")
        with self._backend.matmul_precision(tf32=self.precision == "tf32"):
            return self._run(state, _tensors(hparams), data, stop)

    def evaluate(
        self,
        weights: dict[str, Any],
        hparams: dict[str, Any],
        data: dict[str, Tensor],
        split: str,
        num_samples: int,
        whole: bool = False,
        task: Task | None = None,
    ) -> dict[str, Any]:
        """Average the task's metrics over a split, for one trial or for lanes.

        Args:
            weights, hparams, data: as for `run`.
            split: "train", "valid" or "eval".
            num_samples: number of samples, rounded up to whole batches, but to no more than the
                task's `most_samples`.
            whole: whether to go once through a finite data set of at most `num_samples` samples
                instead of drawing from the split.
            task: the program's task at another length, to which `data` then belongs; it must be
                equal in all options that are not lane options.

        Returns:
            dict from metric to float or list of floats; for lanes, to a list of these over lanes.
        """
        task = task or self.task
        lanes = math.prod(weights["readout"]["bias"].shape[:-1])
        num_batches, batch_size = self._batches(task, split, num_samples, lanes if whole else None)
        shared = task.splits_share_a_program
        key = (None if shared else split, whole, batch_size, task.num_steps)
        if key not in self._evaluators:
            draw = task.sweep if whole else task.draw
            self._evaluators[key] = self._backend.compile(
                lambda weights, hparams, data, stream, step: self._measure(
                    task,
                    weights,
                    hparams,
                    draw(data, stream if shared else split, hparams["seed"], step, batch_size),
                )
            )
        measure, hparams = self._evaluators[key], _tensors(hparams)
        stream = ops.convert_to_tensor(counter_rng.STREAMS[split], "uint32")
        totals: dict[str, Any] = {}
        total_weight: Any = 0.0
        for step in range(num_batches):
            with self._backend.matmul_precision(tf32=self.precision == "tf32"):
                metrics, weight = measure(
                    weights, hparams, data, stream, ops.convert_to_tensor(step, "int32")
                )
            weight = np.asarray(ops.convert_to_numpy(weight), "float64")
            total_weight += weight
            for name, value in metrics.items():
                value = np.asarray(ops.convert_to_numpy(value), "float64")
                totals[name] = totals.get(name, 0) + value
        return {name: (total.T / total_weight).T.tolist() for name, total in totals.items()}

    def _batches(self, task, split, num_samples, lanes_of_whole):
        """Return (number of batches, samples per batch) to measure a split.

        Args:
            task, split, num_samples: as for `evaluate`.
            lanes_of_whole: number of lanes that go through a finite data set; None otherwise.
        """
        if (most := task.most_samples(split)) is not None:
            num_samples = min(num_samples, most)
        cell = self.cells[0]
        widest = max(state_widths(cell, cell.units))
        at_once = max(1, EVALUATION_NUMBERS // max(task.num_steps * task.input_dim, widest))
        if lanes_of_whole is not None:
            # Lanes share the memory, but a training batch per lane is known to fit.
            at_once = max(self.batch_size, at_once // lanes_of_whole)
            # A power of two, so that data sets of different sizes share a few compiled programs.
            batch_size = min(at_once, 1 << (num_samples - 1).bit_length())
        else:
            batch_size = -(-num_samples // -(-num_samples // at_once))
            if most is not None and -(-num_samples // batch_size) * batch_size > most:
                num_samples = most  # in whole batches, so that none is measured twice
                batch_size = max(n for n in range(1, at_once + 1) if most % n == 0)
        return -(-num_samples // batch_size), batch_size

    def _measure(self, task, weights, hparams, batch):
        outputs = self._forward(weights, hparams, batch, task.loss_steps)
        metrics = task.metrics(outputs, batch)
        if isinstance(batch, WeightedBatch):
            return metrics, ops.mean(batch.weights, axis=-1)
        return metrics, ops.ones_like(metrics["loss"])

    def _forward(self, weights, hparams, batch, loss_steps):
        arguments = (weights, batch.inputs, hparams["gate_bias"], hparams["arch_options"])
        if self.precision == "mixed_bfloat16":
            arguments = tuple(map(_in_bfloat16, arguments))
        weights, inputs, *own = arguments
        cells = [
            lane_cell(cell, self.activation_names, hparams["activation"], *own)
            for cell in self.cells
        ]
        return ops.cast(forward(cells, weights, inputs, loss_steps), "float32")

    def _train(self, state, hparams, data, stop):
        """Function that `run` compiles; its loop keeps weights and slots as vectors (..., M)."""
        lanes = len(state["step"].shape)
        shapes = state["weights"]

        def repack(state, change):
            slots = {name: change(state["slots"][name]) for name in ("u", "v")}
            return state | {
                "weights": change(state["weights"]),
                "slots": state["slots"] | slots,
            }

        is_matrix = packing.where_matrices(shapes, lanes)

        def unfinished(state):
            return ops.any(_is_training(state, stop))

        def step(state):
            return self._step(state, hparams, data, stop, shapes, is_matrix)

        packed = repack(state, lambda weights: packing.pack(weights, lanes))
        packed = self._backend.while_loop(unfinished, step, packed)
        return repack(packed, lambda vector: packing.unpack(vector, shapes))

    def _step(self, state, hparams, data, stop, shapes, is_matrix):
        step, weights = state["step"], state["weights"]
        batch = self.task.draw(data, "train", hparams["seed"], step, self.batch_size)

        def objective(weights):
            outputs = self._forward(weights, hparams, batch, self.task.loss_steps)
            loss = self.task.loss(outputs, batch)
            # Lanes share no weights, so the gradient of the sum is each lane's own gradient.
            return ops.sum(loss), loss

        unpacked = packing.unpack(weights, shapes)
        loss, gradients = self._backend.value_and_grad(objective, unpacked)
        l2_decay = expand_as(hparams["l2_decay"], weights)
        # Plus the gradient of the penalty l2_decay Σ w² over the matrices.
        gradients = packing.pack(gradients, len(step.shape)) + 2 * l2_decay * is_matrix * weights
        gradients, norm = updates.clip_by_global_norm(gradients, hparams["gradient_clip_val"])
        new_weights, new_slots = updates.update(
            self.optimizer_names,
            hparams["optimizer"],
            weights,
            gradients,
            state["slots"],
            updates.learning_rate(
                hparams["lr_init"], hparams["lr_decay_rate"], step, hparams["train_steps"]
            ),
            ops.sigmoid(hparams["momentum_logit"]),
            step,
            shapes,
            hparams["optimizer_options"],
            self._scales(unpacked, hparams),
        )
        size = updates.sum_of_squares(new_weights, len(loss.shape))
        largest = DIVERGED * max(self.task.chance_loss, self.task.untrained_loss)
        sound = ops.isfinite(norm) & ops.isfinite(size) & (loss <= largest)
        training = _is_training(state, stop)
        loss_sums, pruned = _note(state["loss_sums"], loss, step, hparams)
        moved = {
            "weights": new_weights,
            "slots": new_slots,
            "step": step + 1,
            "pruned": pruned,
            "loss_sums": loss_sums,
            "gradient_norm": norm,
        }
        stays = {name: state[name] for name in moved}
        moved = keras.tree.map_structure(
            lambda new, old: ops.where(expand_as(training & sound, new), new, old), moved, stays
        )
        return moved | {"feasible": state["feasible"] & (sound | ~training)}

    def _scales(self, weights, hparams):
        """Return the packed scales of the optimizers whose updates depend on the model."""
        model = Model(self.cells, self.task.num_steps, self.task.loss_steps)
        found = {}
        for name in self.optimizer_names:
            if scales := OPTIMIZERS[name].scales:
                flat = keras.tree.flatten(
                    scales(model, weights, **hparams["optimizer_options"][name])
                )
                # In the order of the weights' dicts, which differs between backends.
                in_order = keras.tree.pack_sequence_as(weights, flat)
                found[name] = packing.pack(in_order, len(hparams["seed"].shape))
        return found


def _is_training(state, stop):
    return (state["step"] < stop) & state["feasible"] & ~state["pruned"]


def _note(loss_sums, loss, step, hparams):
    """Return the loss sums with one more loss, and whether the trial is pruned at this step."""
    steps = hparams["train_steps"]
    window, point = step * WINDOWS // steps, step * CURVE_POINTS // steps
    here = ops.arange(WINDOWS) == window[..., None]
    loss_sums = loss_sums + ops.where(here, loss[..., None], 0.0)
    shape = (*loss.shape, CURVE_POINTS, WINDOWS // CURVE_POINTS)
    point_sums = ops.sum(ops.reshape(loss_sums, shape), axis=-1)
    count = ops.cast(step + 1 - window_start(point, steps, CURVE_POINTS), "float32")
    above = point_sums > hparams["stop_above"] * count[..., None]
    above = ops.any((ops.arange(CURVE_POINTS) == point[..., None]) & above, axis=-1)
    return loss_sums, above & ((step + 1) * CURVE_POINTS // steps > point)


def _options(optimizer, config):
    """Return the own hyperparameters of an optimizer: a configuration's, or else defaults."""
    given = config.optimizer_options if config.optimizer == optimizer else {}
    values = {**OPTIMIZERS[optimizer].options, **given}
    return {name: np.float32(value) for name, value in values.items()}


def stack(trials: Sequence[Any]) -> Any:
    """Stack nested structures of equal shapes along a new leading axis of lanes."""
    return keras.tree.map_structure(lambda *values: np.stack(values), *trials)


def _in_bfloat16(structure):
    """Return the structure with its floating-point arrays cast to bfloat16."""

    def cast(value):
        floats = getattr(value, "dtype", None) is not None and "float" in str(value.dtype)
        return ops.cast(value, "bfloat16") if floats else value

    return keras.tree.map_structure(cast, structure)


def _tensors(structure):
    return keras.tree.map_structure(ops.convert_to_tensor, structure)
