"""A task's batches as `tf.data`, its loss and accuracy as Keras's, for users' own `fit`.

Importing it is enough for `keras.saving.load_model` to find the loss of a saved model.
"""

import keras
import numpy as np
from keras import ops

from trainer.tasks.base import WeightedBatch


def dataset(task, split, batch_size, seed):
    """See `Task.dataset`."""
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
        if not isinstance(sample, WeightedBatch):
            return *sample, weights
        return sample.inputs, sample.targets, weights * sample.weights[:, None]

    steps = tf.data.Dataset.counter(dtype=tf.int64)
    return steps.map(batch, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


class _OfTask:
    """What Keras knows by the name of a task in `TASKS`, and keeps so in a saved model."""

    def __init__(self, task, **options):
        from trainer.tasks import TASKS

        if isinstance(task, str):
            if task not in TASKS:
                raise ValueError(f"trainer.tasks.TASKS has no {task!r}; it has {', '.join(TASKS)}")
            task = TASKS[task]
        self.task = task
        super().__init__(**options)

    def get_config(self):
        return super().get_config() | {"task": self.task.name}


@keras.saving.register_keras_serializable("rnn_zoo")
class TaskLoss(_OfTask, keras.losses.Loss):
    """A task's loss; see `Task.keras_loss`.

    Args:
        task: a task, its class, or its name.
    """

    def call(self, targets, outputs):
        return self.task.step_losses(outputs, targets)


@keras.saving.register_keras_serializable("rnn_zoo")
class TaskAccuracy(_OfTask, keras.metrics.Mean):
    """A task's accuracy; see `Task.keras_metrics`.

    Args:
        task: a task, its class, or its name.
    """

    def __init__(self, task, name="accuracy", **options):
        super().__init__(task, name=name, **options)

    def update_state(self, targets, outputs, sample_weight=None):
        if sample_weight is None:
            raise ValueError(
                "a task's accuracy belongs in weighted_metrics of compile, and needs the weights "
                "that task.dataset yields: they leave out the steps that do not count"
            )
        right, asked = self.task.step_hits(outputs, targets)
        super().update_state(right / ops.maximum(asked, 1), asked * sample_weight)
