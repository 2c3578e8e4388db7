"""`keras.ops`, imported when first used: a task's name must not cost a backend's start."""


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    from keras import ops

    return getattr(ops, name)
