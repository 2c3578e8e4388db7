"""SavedModel: for TensorFlow and TensorFlow Serving, with batch and time of any size.

Signatures: serving_default, which is the sequence, initial_state and step.
"""

TITLE = "a SavedModel"
REQUIRES = ()


def write(directory, signatures, sizes):
    """Writes a SavedModel.

    Args:
        directory: an empty one.
        signatures: the model's `Signatures`.
        sizes: (B, T) for formats of fixed shapes, which this is not.
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
