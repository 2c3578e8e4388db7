"""SavedModel, for TensorFlow and TensorFlow Serving, with batch and time of any size.

Signatures: serving_default (the sequence), initial_state and step.
"""

import pathlib
from typing import Any

TITLE = "a SavedModel"
REQUIRES: tuple[str, ...] = ()
_FILES = ("saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001")


def is_there(directory: pathlib.Path) -> bool:
    """Return whether a directory has a SavedModel's files, none of them empty."""
    files = [directory / name for name in _FILES]
    return all(file.is_file() and file.stat().st_size for file in files)


def write(directory: pathlib.Path, signatures: Any, sizes: tuple[int, int]) -> None:
    """Write a SavedModel.

    Args:
        directory: an empty directory.
        signatures: the model's `Signatures`.
        sizes: unused: shapes are dynamic.
    """
    import tensorflow as tf

    module = tf.Module()
    module.model = signatures.model
    functions = {
        "serving_default": tf.function(signatures.sequence).get_concrete_function(
            signatures.inputs_spec(None, None)
        ),
        "initial_state": tf.function(signatures.initial_state).get_concrete_function(
            tf.TensorSpec((), tf.int32, name="batch_size")
        ),
        "step": tf.function(signatures.step).get_concrete_function(
            signatures.inputs_spec(None), **signatures.state_specs(None)
        ),
    }
    tf.saved_model.save(module, str(directory), signatures=functions)
