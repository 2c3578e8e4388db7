"""LiteRT (TensorFlow Lite) for phones and small boards, with LiteRT's built-in operations only.

Two files, of fixed batch B and time T unless these are free, which is slower:

    sequence.tflite  signature serving_default, a sequence of T steps
    step.tflite      signatures initial_state, without arguments if B is fixed, and step
"""

import pathlib
import tempfile
from typing import Any

from trainer.errors import UserError

TITLE = "LiteRT"
REQUIRES: tuple[str, ...] = ()
#: Most values of all initial states, and of the inputs or outputs. A file, which holds the
#: states, has less than 2 GiB.
MOST_VALUES = 2**28


def write(directory: pathlib.Path, signatures: Any, sizes: tuple[int, int]) -> None:
    """Write sequence.tflite and step.tflite.

    Args:
        directory: an empty directory.
        signatures: the model's `Signatures`.
        sizes: (B, T), None if free.
    """
    import keras
    import tensorflow as tf

    (batch_size, time_steps), variables = sizes, signatures.model.variables
    _check_sizes(signatures, batch_size or 1, time_steps or 1)
    # Variables have no initial value in LiteRT, so the weights must be constants.
    constants = [(variable, tf.constant(variable.value)) for variable in variables]
    with keras.StatelessScope(state_mapping=constants):
        sequence = tf.function(signatures.sequence_by_steps).get_concrete_function(
            signatures.inputs_spec(batch_size, time_steps), array=None not in sizes
        )
        initial_state = tf.function(signatures.initial_state).get_concrete_function(
            batch_size or tf.TensorSpec((), tf.int32, name="batch_size")
        )
        step = tf.function(signatures.step).get_concrete_function(
            signatures.inputs_spec(batch_size), **signatures.state_specs(batch_size)
        )
    files = {
        "sequence.tflite": {"serving_default": sequence},
        "step.tflite": {"initial_state": initial_state, "step": step},
    }
    for name, functions in files.items():
        (directory / name).write_bytes(_convert(tf, functions))


def _check_sizes(signatures, batch_size, time_steps):
    outputs = batch_size * time_steps * signatures.model.output_shape[-1]
    inputs = batch_size * time_steps * signatures.model.input_shape[-1]
    states = [spec.shape.num_elements() for spec in signatures.state_specs(batch_size).values()]
    if (most := max(inputs, outputs, sum(states))) > MOST_VALUES:
        raise UserError(
            f"batch_size {batch_size:,} and time_steps {time_steps:,} make tensors of {most:,} "
            f"values; the limit is {MOST_VALUES:,}. Choose smaller sizes"
        )


def _convert(tf, functions):
    """Convert signature name -> concrete function to the content of a LiteRT file."""
    with tempfile.TemporaryDirectory() as saved_model:
        tf.saved_model.save(tf.Module(), saved_model, signatures=functions)
        converter = tf.lite.TFLiteConverter.from_saved_model(
            saved_model, signature_keys=list(functions)
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        return converter.convert()
