"""LiteRT (TensorFlow Lite): for phones and small boards, with LiteRT's own operations alone.

Two files, of fixed batch B and time T, as those operations need them:

    sequence.tflite  signature serving_default, a sequence of T steps
    step.tflite      signatures initial_state, without arguments, and step
"""

import tempfile

TITLE = "LiteRT"
REQUIRES = ()


def write(directory, signatures, sizes):
    """Writes sequence.tflite and step.tflite.

    Args:
        directory: an empty one.
        signatures: the model's `Signatures`.
        sizes: (B, T).
    """
    import keras
    import tensorflow as tf

    (batch_size, time_steps), variables = sizes, signatures.model.variables
    # LiteRT's variables start without a value: the weights have to be constants.
    constants = [(variable, tf.constant(variable.value)) for variable in variables]
    with keras.StatelessScope(state_mapping=constants):
        sequence = tf.function(signatures.sequence_by_steps).get_concrete_function(
            signatures.inputs_spec(batch_size, time_steps)
        )
        initial_state = tf.function(signatures.initial_state).get_concrete_function(batch_size)
        step = tf.function(signatures.step).get_concrete_function(
            signatures.inputs_spec(batch_size), **signatures.state_specs(batch_size)
        )
    files = {
        "sequence.tflite": {"serving_default": sequence},
        "step.tflite": {"initial_state": initial_state, "step": step},
    }
    for name, functions in files.items():
        (directory / name).write_bytes(_convert(tf, functions))


def _convert(tf, functions):
    """A LiteRT file's content, of concrete functions by their signatures' names."""
    with tempfile.TemporaryDirectory() as saved_model:
        tf.saved_model.save(tf.Module(), saved_model, signatures=functions)
        converter = tf.lite.TFLiteConverter.from_saved_model(
            saved_model, signature_keys=list(functions)
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        return converter.convert()
