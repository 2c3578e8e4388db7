"""ONNX, for ONNX Runtime and others, with batch and time of any size.

Three files, since an ONNX model has one signature:

    sequence.onnx       inputs (batch, time, I)          -> outputs (batch, time, O)
    initial_state.onnx  batch_size, int32                -> the states
    step.onnx           inputs (batch, I) and the states -> outputs (batch, O), next_ states

Names must be unique in a model, so the states after a step are named next_layer_0_h, and so on.
"""

import pathlib
from typing import Any

TITLE = "ONNX"
REQUIRES = ("tf2onnx", "onnx")
#: Version of ONNX's operators, supported by old runtimes.
OPSET = 15


def write(directory: pathlib.Path, signatures: Any, sizes: tuple[int, int]) -> None:
    """Write sequence.onnx, initial_state.onnx and step.onnx.

    Args:
        directory: an empty directory.
        signatures: the model's `Signatures`.
        sizes: unused: shapes are dynamic.
    """
    import onnx
    import tensorflow as tf
    import tf2onnx

    states = signatures.state_specs(None)

    def step(inputs, *values):
        after = signatures.step(inputs, **dict(zip(states, values, strict=True)))
        outputs = after.pop("outputs")
        return {"outputs": outputs} | {f"next_{name}": value for name, value in after.items()}

    batch_size = tf.TensorSpec((), tf.int32, name="batch_size")
    for name, function, arguments in (
        ("sequence", signatures.sequence_by_steps, [signatures.inputs_spec(None, None)]),
        ("initial_state", signatures.initial_state, [batch_size]),
        ("step", step, [signatures.inputs_spec(None), *states.values()]),
    ):
        function = tf.function(function, input_signature=arguments)
        model, _ = tf2onnx.convert.from_function(function, arguments, opset=OPSET)
        _name_axes(model.graph)
        # tf2onnx leaves operations that it cannot convert in the model; this check finds them.
        onnx.checker.check_model(model)
        onnx.save(model, directory / f"{name}.onnx")


def _name_axes(graph):
    """Name the dynamic axes "batch" and "time" instead of tf2onnx's generated names."""
    for value in (*graph.input, *graph.output):
        free = [axis for axis in value.type.tensor_type.shape.dim if not axis.HasField("dim_value")]
        for axis, name in zip(free, ("batch", "time"), strict=False):
            axis.dim_param = name
