"""Keras adapters of a task: batches as `tf.data`, loss and accuracy for `fit`.

Import this module before `keras.saving.load_model`, which otherwise does not find a saved model's
loss; for a task outside this project, import the module of its class too.
"""

import sys
from typing import Any

import keras
import numpy as np
from keras import ops


def dataset(task: Any, split: str, batch_size: int, seed: int) -> Any:
    """Implementation of `Task.dataset`."""
    if keras.backend.backend() != "tensorflow":
        raise ImportError(
            "task.dataset is a tf.data pipeline and needs KERAS_BACKEND=tensorflow; "
            "on JAX use task.sample(split, seed, batch_size, step)"
        )
    import tensorflow as tf

    scored = np.zeros(task.num_steps, "float32")
    scored[task.loss_steps] = 1
    weights = np.tile(scored / scored.mean(), (batch_size, 1))

    def batch(step):
        sample = task.sample(split, seed, batch_size, step)
        if sample.weights is None:
            return sample.inputs, sample.targets, weights
        return sample.inputs, sample.targets, weights * sample.weights[:, None]

    steps = tf.data.Dataset.counter(dtype=tf.int64)
    return steps.map(batch, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


class _OfTask:
    """Mixin that holds a task's class, and saves it as its dotted path."""

    def __init__(self, task: Any, **options: Any):
        task = _find(task) if isinstance(task, str) else task
        self.task: Any = task if isinstance(task, type) else type(task)
        super().__init__(**options)

    def get_config(self) -> dict[str, Any]:
        path = f"{self.task.__module__}.{self.task.__qualname__}"
        return super().get_config() | {"task": path}  # type: ignore[misc]


@keras.saving.register_keras_serializable("rnn_zoo")
class TaskLoss(_OfTask, keras.losses.Loss):
    """Loss of a task; see `Task.keras_loss`.

    Args:
        task: a task, its class, or the dotted path of its class.
    """

    def call(self, targets, outputs):
        return self.task.step_losses(outputs, targets)


@keras.saving.register_keras_serializable("rnn_zoo")
class TaskAccuracy(_OfTask, keras.metrics.Mean):
    """Accuracy of a task; see `Task.keras_metrics`.

    Args:
        task: a task, its class, or the dotted path of its class.
    """

    def __init__(self, task: Any, name: str = "accuracy", **options: Any):
        super().__init__(task, name=name, **options)

    def update_state(self, targets, outputs, sample_weight=None):
        if sample_weight is None:
            raise ValueError(
                "a task's accuracy belongs in weighted_metrics of compile: the weights that "
                "task.dataset yields mask the steps that are not scored"
            )
        right, asked = self.task.step_hits(outputs, targets)
        super().update_state(right / ops.maximum(asked, 1), asked * sample_weight)


def _find(path):
    """Return the class at a dotted path, in modules that are loaded already.

    A saved model must not choose which modules are imported.

    Raises:
        ValueError: no loaded module has a task there.
    """
    module, _, name = path.rpartition(".")
    task = getattr(sys.modules.get(module), name, None)
    if not hasattr(task, "step_losses"):
        raise ValueError(
            f"there is no task {path!r}; import the module that defines it before load_model, or "
            "load with compile=False"
        )
    return task
