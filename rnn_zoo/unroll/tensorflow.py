"""The derived loop on TensorFlow, and its primitives, for eager, graph and XLA execution."""

import functools
import sys

import tensorflow as tf

from rnn_zoo.unroll import derived


def scan(body, carry, xs, num_ys, reverse=False):
    """Runs `carry, ys = body(carry, x_t)` over the leading axis of every tensor in `xs`.

    Args:
        body: its ys are a list of `num_ys` tensors shaped like the first tensor of the carry.
        carry: list of tensors.
        xs: nested structure of tensors (T, ...); None stays None.
        num_ys: how many ys the body gives.
        reverse: whether to go from T - 1 down to 0.

    Returns:
        (the last carry, list of ys stacked over time in the order of `xs`).
    """
    flat = tf.nest.flatten(xs)
    static_length, element_shape = flat[0].shape[0], carry[0].shape
    length = tf.shape(flat[0])[0] if static_length is None else static_length
    arrays = [
        tf.TensorArray(carry[0].dtype, length, element_shape=element_shape) for _ in range(num_ys)
    ]

    def iteration(i, carry, arrays):
        t = length - 1 - i if reverse else i
        x = tf.nest.pack_sequence_as(xs, [None if x is None else x[t] for x in flat])
        carry, ys = body(carry, x)
        return i + 1, list(carry), [a.write(t, y) for a, y in zip(arrays, ys, strict=True)]

    _, carry, arrays = tf.while_loop(
        lambda i, *_: i < length,
        iteration,
        (tf.constant(0), list(carry), arrays),
        maximum_iterations=length,
    )
    shape = tf.TensorShape([static_length]).concatenate(element_shape)
    return carry, [tf.ensure_shape(array.stack(), shape) for array in arrays]


def stored(operand, z, recurrent):
    """Answers a known pre-activation z = U^T a + ..., with the gradients dz and da = U dz."""

    @tf.custom_gradient
    def known(operand, z):
        return tf.identity(z), lambda dz: (tf.matmul(recurrent, dz), dz)

    return known(operand, z)


def pullback(function, args, cotangents):
    """Pulls cotangents back through `function(*args) -> (outputs, extra)`.

    Returns:
        (the gradients, of the structure of `args`, extra).
    """
    flat = tf.nest.flatten(args)
    sources = [arg for arg in flat if arg is not None]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(sources)
        outputs, extra = function(*args)
    gradients = tape.gradient(
        tf.nest.flatten(outputs),
        sources,
        output_gradients=tf.nest.flatten(cotangents),
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
    )
    gradients = iter(gradients)
    gradients = [None if arg is None else next(gradients) for arg in flat]
    return tf.nest.pack_sequence_as(args, gradients), extra


def with_gradient(forward, backward, args):
    """Computes `forward(*args)[0]` with the gradient `backward` instead of the automatic one.

    Args:
        forward: gives (outputs, residuals).
        backward: maps residuals and the outputs' cotangents to gradients like `args`.
        args: tuple of nested structures of tensors; None is allowed.
    """
    flat = tf.nest.flatten(args)
    given = [arg for arg in flat if arg is not None]
    structure = {}

    @tf.custom_gradient
    def run(*given):
        given = iter(given)
        filled = [None if arg is None else next(given) for arg in flat]
        outputs, residuals = forward(*tf.nest.pack_sequence_as(args, filled))
        structure["outputs"] = outputs

        def gradient(*cotangents):
            cotangents = tf.nest.pack_sequence_as(outputs, cotangents)
            gradients = _once(backward, residuals, cotangents)
            gradients = zip(_flatten_as(args, gradients), flat, strict=True)
            return [gradient for gradient, arg in gradients if arg is not None]

        return tf.nest.flatten(outputs), gradient

    flat_outputs = run(*given)
    return tf.nest.pack_sequence_as(structure["outputs"], flat_outputs)


def _once(backward, *args):
    """Calls `backward(*args)` and forbids to differentiate what it returns.

    A tape around it would count a gate's operand twice: in the stored z, and in `stored` itself.
    """
    flat = tf.nest.flatten(args)
    structure = {}

    @tf.custom_gradient
    def run(*given):
        given = iter(given)
        filled = [None if arg is None else next(given) for arg in flat]
        structure["gradients"] = backward(*tf.nest.pack_sequence_as(args, filled))

        def refuse(*_):
            raise NotImplementedError(
                "a recurrent layer has no second derivatives on TensorFlow; "
                "it has them with KERAS_BACKEND=jax"
            )

        gradients = tf.nest.flatten(structure["gradients"])
        return [gradient for gradient in gradients if gradient is not None], refuse

    results = iter(run(*[arg for arg in flat if arg is not None]))
    return tf.nest.map_structure(
        lambda gradient: None if gradient is None else next(results), structure["gradients"]
    )


def _flatten_as(args, gradients):
    """Flattens gradients like args, an absent gradient standing for a whole argument."""
    flat = []
    for arg, gradient in zip(args, gradients, strict=True):
        flat += (
            [None] * len(tf.nest.flatten(arg)) if gradient is None else tf.nest.flatten(gradient)
        )
    return flat


def lookups_pay():
    """Whether rows are taken and added faster than multiplied by one-hots: not where many at once
    would add to the same few rows."""
    return not tf.config.list_physical_devices("GPU")


def lookup(table, rows):
    """Takes rows (...) of a table (R, M), with a dense gradient: the sum over each row's places."""
    num_rows, width = table.shape

    @tf.custom_gradient
    def take(table):
        def gradient(d_taken):
            d_taken, places = tf.reshape(d_taken, (-1, width)), tf.reshape(rows, (-1,))
            if table.dtype.size < 4:  # thousands of rows are added, which bfloat16 cannot count
                d_taken = tf.cast(d_taken, tf.float32)
            summed = tf.math.unsorted_segment_sum(d_taken, places, num_rows)
            return tf.cast(summed, table.dtype)

        return tf.gather(table, rows), gradient

    return take(table)


unroll = functools.partial(derived.unroll, sys.modules[__name__])
