"""The training program: K steps compiled as one, making their own batches from (seed, step).

Its state is a plain nested dict of arrays, so a checkpoint is the state and a resumed run continues
with the very same numbers. Its hyperparameters are arguments, so another trial of the same shapes
runs without compiling again.
"""

import keras
import numpy as np
from keras import ops

from rnn_zoo.model import forward
from trainer import backends, optimizers
from trainer.tasks.base import WeightedBatch

#: A training loss above this multiple of the chance loss has diverged (infeasible, section 4).
DIVERGED = 100.0


class Program:
    """Compiled training and evaluation of one model shape on one task.

    Args:
        task: the `Task`.
        cells: the model's cells, for their equations.
        optimizer: a name in `OPTIMIZERS`.
        batch_size: samples a step.
    """

    def __init__(self, task, cells, optimizer, batch_size):
        self.task, self.cells, self.optimizer, self.batch_size = task, cells, optimizer, batch_size
        self._backend = backends.current()
        self._run = self._backend.compile_loop(_unfinished, self._step)
        self._evaluators = {}

    def start(self, weights):
        """The state before the first step."""
        weights = keras.tree.map_structure(ops.convert_to_tensor, weights)
        return {
            "weights": weights,
            "slots": optimizers.zero_slots(weights),
            "step": ops.convert_to_tensor(0, dtype="int32"),
            "feasible": ops.convert_to_tensor(True),
            "loss_sum": ops.convert_to_tensor(0.0, dtype="float32"),
            "gradient_norm": ops.convert_to_tensor(0.0, dtype="float32"),
        }

    def run(self, state, hparams, stop):
        """Trains up to step `stop`; a step that diverges is not taken and ends the training."""
        return self._run(state, hparams, self.task.device_data, ops.convert_to_tensor(stop, "int32"))

    def evaluate(self, weights, split, seed, num_samples, batch_size=256):
        """Averages the task's metrics over a split.

        Args:
            num_samples: how many fresh samples, rounded up to whole batches; None for all of a
                fixed data set.

        Returns:
            dict from metric to float, or to a list of floats.
        """
        whole = num_samples is None
        num_samples = self.task.num_samples if whole else num_samples
        batch_size = min(batch_size, num_samples)
        key = (split, whole, batch_size)
        if key not in self._evaluators:
            draw = self.task.sweep if whole else self.task.draw
            self._evaluators[key] = self._backend.compile(
                lambda weights, data, seed, step: self._measure(
                    weights, draw(data, split, seed, step, batch_size)
                )
            )
        measure, seed = self._evaluators[key], _array(seed, "uint32")
        totals, total_weight = {}, 0.0
        for step in range(-(-num_samples // batch_size)):
            metrics, weight = measure(weights, self.task.device_data, seed, _array(step, "int32"))
            weight = float(weight)
            total_weight += weight
            for name, value in metrics.items():
                value = weight * np.asarray(ops.convert_to_numpy(value), "float64")
                totals[name] = totals.get(name, 0) + value
        return {name: (total / total_weight).tolist() for name, total in totals.items()}

    def _measure(self, weights, batch):
        outputs = forward(self.cells, weights, batch.inputs, self.task.loss_steps)
        weighted = isinstance(batch, WeightedBatch)
        weight = ops.sum(batch.weights, axis=-1) if weighted else ops.ones(())
        return self.task.metrics(outputs, batch), weight

    def _step(self, state, hparams, data, stop):
        step, weights = state["step"], state["weights"]
        batch = self.task.draw(data, "train", hparams["seed"], step, self.batch_size)

        def objective(weights):
            outputs = forward(self.cells, weights, batch.inputs, self.task.loss_steps)
            loss = self.task.loss(outputs, batch)
            penalty = optimizers.sum_of_squares(_matrices(weights))
            return loss + hparams["l2_decay"] * penalty, loss

        loss, gradients = self._backend.value_and_grad(objective, weights)
        gradients, norm = optimizers.clip_by_global_norm(gradients, hparams["gradient_clip_val"])
        new_weights, new_slots = optimizers.update(
            self.optimizer,
            weights,
            gradients,
            state["slots"],
            optimizers.learning_rate(
                hparams["lr_init"], hparams["lr_decay_rate"], step, hparams["train_steps"]
            ),
            ops.sigmoid(hparams["momentum_logit"]),
            step,
        )
        size = optimizers.sum_of_squares(new_weights)
        feasible = (
            ops.isfinite(norm) & ops.isfinite(size) & (loss <= DIVERGED * self.task.chance_loss)
        )
        moved = {
            "weights": new_weights,
            "slots": new_slots,
            "step": step + 1,
            "feasible": feasible,
            "loss_sum": state["loss_sum"] + loss,
            "gradient_norm": norm,
        }
        stays = {**state, "feasible": feasible}
        return keras.tree.map_structure(
            lambda new, old: ops.where(feasible, new, old), moved, stays
        )


def hparams_of(config):
    """The numbers of a configuration that are arguments of the compiled program."""
    floats = ("lr_init", "lr_decay_rate", "momentum_logit", "gradient_clip_val", "l2_decay")
    values = {name: _array(getattr(config, name), "float32") for name in floats}
    values["train_steps"] = _array(config.train_steps, "int32")
    values["seed"] = _array(config.seed, "uint32")
    return values


def _unfinished(state, hparams, data, stop):
    return (state["step"] < stop) & state["feasible"]


def _matrices(weights):
    """The weights that are matrices: what the l2 penalty counts."""
    return [
        *(
            matrix
            for layer in weights["layers"]
            for part in (layer["input"], layer["recurrent"])
            for matrix in part.values()
        ),
        *(layer["read_in"]["kernel"] for layer in weights["layers"] if layer["read_in"]),
        weights["readout"]["kernel"],
    ]


def _array(value, dtype):
    return ops.convert_to_tensor(np.asarray(value, dtype))
