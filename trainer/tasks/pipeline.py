"""A task's batches as `tf.data`, and its loss as Keras's, for users' own `fit`."""

import numpy as np

from trainer.tasks.base import WeightedBatch


def dataset(task, split, batch_size, seed):
    """See `Task.dataset`."""
    import keras

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


def keras_loss(task):
    """See `Task.keras_loss`."""

    def loss(targets, outputs):
        return task.step_losses(outputs, targets)

    loss.__name__ = f"{task.name}_loss"
    return loss
