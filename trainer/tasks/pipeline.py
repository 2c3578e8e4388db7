"""A task's batches as `tf.data`, for users' own `fit`."""


def dataset(task, split, batch_size, seed):
    """See `Task.dataset`."""
    import keras

    if keras.backend.backend() != "tensorflow":
        raise ImportError(
            "task.dataset is a tf.data pipeline and needs KERAS_BACKEND=tensorflow; "
            "on other backends use task.sample(split, seed, batch_size, step)"
        )
    import tensorflow as tf

    def batch(step):
        return tuple(task.sample(split, seed, batch_size, step))

    steps = tf.data.Dataset.counter(dtype=tf.int64)
    return steps.map(batch, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
