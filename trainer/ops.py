"""`keras.ops`, imported at its first use: a task's name and shape must not cost a backend's start."""


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    from keras import ops

    return getattr(ops, name)
