"""Gradients, loops and compilation in TensorFlow, by XLA."""

import contextlib

import tensorflow as tf

eager = tf.init_scope


def value_and_grad(function, weights):
    """Calls `function(weights) -> (scalar, extra)` and differentiates the scalar.

    Returns:
        (extra, gradients of the structure of `weights`).
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(tf.nest.flatten(weights))
        value, extra = function(weights)
    gradients = tape.gradient(value, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return extra, gradients


def compile(function):
    """Compiles a function of nested structures of tensors into one program."""
    return tf.function(function, jit_compile=True, autograph=False)


@contextlib.contextmanager
def products(tf32):
    """Within it, what is compiled may, or must not, use TF32 for a GPU's products."""
    config = tf.config.experimental
    before = config.tensor_float_32_execution_enabled()
    config.enable_tensor_float_32_execution(tf32)
    try:
        yield
    finally:
        config.enable_tensor_float_32_execution(before)


def while_loop(condition, step, state):
    """Runs `while condition(state): state = step(state)` on a nested structure of tensors."""
    (state,) = tf.while_loop(condition, lambda state: (step(state),), (state,))
    return state
