"""Run and differentiate functions in each execution mode of the current Keras backend.

Numerical tests are written once with these. They run on TensorFlow, and on JAX and PyTorch in
processes of their own (`rnn_zoo/test_other_backends.py`).
"""

import keras
import numpy as np
import pytest
from slow import slow_except

BACKEND = keras.backend.backend()
MODES = {
    "tensorflow": ("eager", "graph", "xla"),
    "jax": ("eager", "jit"),
    "torch": ("eager",),
}[BACKEND]
COMPILED = MODES[-1]
#: Compiling with XLA traces a graph, too.
every_mode = pytest.mark.parametrize("mode", slow_except(("eager", COMPILED), MODES))
#: The mode in which a single call is cheapest: JAX compiles every new loop, even an eager one.
QUICKEST = "jit" if BACKEND == "jax" else "eager"
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}

tensorflow_only = pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow only")


def _has_float64():
    """Return whether float64 is available; JAX needs JAX_ENABLE_X64 for it."""
    if BACKEND == "tensorflow":
        return True
    from keras.src.backend.common import dtypes

    if BACKEND == "jax":
        import jax

        if not jax.config.jax_enable_x64:
            return False
    # Some functions of `keras.ops` cast float64 to float32 by this table, even if it is allowed.
    dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"
    return True


HAS_FLOAT64 = _has_float64()
needs_float64 = pytest.mark.skipif(not HAS_FLOAT64, reason="JAX_ENABLE_X64 is not set")


def dtypes():
    """Parameters for both precisions."""
    return [pytest.param("float32"), pytest.param("float64", marks=needs_float64)]


def to_numpy(structure):
    return keras.tree.map_structure(keras.ops.convert_to_numpy, structure)


def to_tensors(structure):
    return keras.tree.map_structure(keras.ops.convert_to_tensor, structure)


def compiled(mode, function):
    """Return a function of nested tensors for one of `MODES`."""
    if mode == "eager":
        return function
    if BACKEND == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(function, jit_compile=mode == "xla")


def execute(mode, function, *arguments):
    """Call a function of nested arrays in one of `MODES`; return NumPy arrays."""
    return to_numpy(compiled(mode, function)(*to_tensors(arguments)))


def gradients(mode, function, arguments):
    """Return the gradient of the scalar `function(arguments)`, in the structure of `arguments`."""
    if BACKEND == "jax":
        import jax

        return execute(mode, jax.grad(function), arguments)
    if BACKEND == "torch":
        return _torch_gradients(function, arguments)
    import tensorflow as tf

    def differentiate(arguments):
        with tf.GradientTape() as tape:
            tape.watch(arguments)
            value = function(arguments)
        return tape.gradient(value, arguments, unconnected_gradients="zero")

    return execute(mode, differentiate, arguments)


def _torch_gradients(function, arguments):
    import torch

    arguments = keras.tree.map_structure(lambda a: torch.tensor(a, requires_grad=True), arguments)
    flat = keras.tree.flatten(arguments)
    found = torch.autograd.grad(function(arguments), flat, allow_unused=True)
    slopes = [torch.zeros_like(a) if g is None else g for a, g in zip(flat, found, strict=True)]
    return to_numpy(keras.tree.pack_sequence_as(arguments, slopes))


def layer_gradients(mode, layer, loss, arguments):
    """Return gradients of `loss(layer(**arguments))`, computed as a user would.

    Args:
        layer: a built Keras layer.
        loss: function of the layer's outputs.
        arguments: dict of the layer's arguments; gradients are taken of floating-point ones.

    Returns:
        (dict name of weight -> gradient, dict name of argument -> gradient).
    """
    is_float = {
        key: np.asarray(keras.tree.flatten(value)[0]).dtype.kind == "f"
        for key, value in arguments.items()
    }
    fixed = {key: value for key, value in arguments.items() if not is_float[key]}
    free = {key: value for key, value in arguments.items() if is_float[key]}
    names = [variable.name for variable in layer.trainable_variables]
    if BACKEND == "jax":
        values = [variable.value for variable in layer.trainable_variables]

        def run(both):
            outputs, _ = layer.stateless_call(both[0], [], **both[1], **fixed)
            return loss(outputs)

        of_weights, of_arguments = gradients(mode, run, [values, free])
    else:
        of_weights, of_arguments = execute(mode, _taped(layer, loss, fixed), free)
    return dict(zip(names, of_weights, strict=True)), of_arguments


def _taped(layer, loss, fixed):
    import tensorflow as tf

    variables = [variable.value for variable in layer.trainable_variables]

    def run(free):
        with tf.GradientTape() as tape:
            tape.watch(free)
            value = loss(layer(**free, **fixed))
        return tape.gradient(value, [variables, free], unconnected_gradients="zero")

    return run
