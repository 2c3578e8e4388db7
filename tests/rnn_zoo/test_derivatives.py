"""Second derivatives and forward mode, against those of the plain loop."""

import keras
import numpy as np
import pytest
from cell_twins import mostly_slow
from on_backend import BACKEND, tensorflow_only, to_numpy

from rnn_zoo import layers
from rnn_zoo.unroll import automatic_derivatives

BATCH, TIME, UNITS = 2, 4, 3
jax_only = pytest.mark.skipif(BACKEND != "jax", reason="JAX's own functions")


@pytest.fixture
def problem(case, rng):
    name, options, features = case
    layer = layers.LAYERS[name](UNITS, return_sequences=True, dtype="float64", **options)
    layer.build((None, None, features))
    for weight in layer.weights:
        weight.assign(rng.normal(scale=0.6, size=weight.shape))
    inputs, tangent = (rng.normal(size=(BATCH, TIME, features)) for _ in range(2))
    mask = np.array([[True, True, False, True], [False, True, True, False]])
    return layer, keras.ops.convert_to_tensor(inputs), keras.ops.convert_to_tensor(tangent), mask


def assert_equal(found, expected):
    np.testing.assert_allclose(to_numpy(found), to_numpy(expected), rtol=1e-9, atol=1e-12)


@tensorflow_only
@mostly_slow
@pytest.mark.parametrize("compiled", [False, True])
def test_a_gradient_penalty_is_that_of_the_plain_loop(problem, compiled):
    """Its gradients by the inputs and by the weights."""
    import tensorflow as tf

    layer, inputs, _, mask = problem
    weights = [weight.value for weight in layer.trainable_variables]

    def penalty(inputs):
        with tf.GradientTape() as outer:
            outer.watch(inputs)
            with tf.GradientTape() as inner:
                inner.watch(inputs)
                loss = tf.reduce_sum(layer(inputs, mask=mask) ** 2)
            size = tf.reduce_sum(inner.gradient(loss, inputs) ** 2)
        zero = tf.UnconnectedGradients.ZERO
        return outer.gradient(size, [inputs, *weights], unconnected_gradients=zero)

    run = tf.function(penalty) if compiled else penalty
    found = run(inputs)
    with automatic_derivatives():
        expected = penalty(inputs)
    for one, other in zip(found, expected, strict=True):
        assert_equal(one, other)
    assert max(np.abs(each).max() for each in expected) > 1e-3


@tensorflow_only
@mostly_slow
def test_forward_mode_on_tensorflow_is_a_difference_quotient(problem):
    from tensorflow.autodiff import ForwardAccumulator

    layer, inputs, tangent, mask = problem
    with ForwardAccumulator(inputs, tangent) as accumulator:
        outputs = layer(inputs, mask=mask)
    change = 1e-6
    ahead, behind = (layer(inputs + sign * change * tangent, mask=mask) for sign in (1, -1))
    slope = (to_numpy(ahead) - to_numpy(behind)) / (2 * change)
    np.testing.assert_allclose(accumulator.jvp(outputs), slope, rtol=1e-5, atol=1e-8)


@jax_only
@mostly_slow
def test_forward_mode_on_jax_is_a_difference_quotient(problem):
    import jax

    layer, inputs, tangent, mask = problem

    def run(inputs):
        return layer(inputs, mask=mask)

    with automatic_derivatives():
        _, found = jax.jvp(run, (inputs,), (tangent,))
    change = 1e-3
    slope = (run(inputs + change * tangent) - run(inputs - change * tangent)) / (2 * change)
    np.testing.assert_allclose(found, slope, rtol=1e-2, atol=1e-3)


@jax_only
@mostly_slow
def test_a_batch_may_be_a_symbol_on_jax(problem):
    import jax

    layer, inputs, _, _ = problem
    batch = jax.export.symbolic_shape("b, t", scope=None)[0]
    shape = jax.ShapeDtypeStruct((batch, TIME, inputs.shape[-1]), inputs.dtype)

    def loss(inputs):
        return jax.numpy.sum(layer(inputs) ** 2)

    exported = jax.export.export(jax.jit(jax.grad(loss)))(shape)
    assert_equal(exported.call(inputs), jax.grad(loss)(inputs))
