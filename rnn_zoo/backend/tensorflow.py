"""Primitives in TensorFlow, for eager, graph and XLA execution."""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

Tensor = Any

#: Context in which operations run eagerly, even while a function is being traced.
eager = tf.init_scope


def scan(
    body: Callable, carry: list, xs: Any, num_ys: int, reverse: bool = False
) -> tuple[list, list]:
    """Run `carry, ys = body(carry, x_t)` over the leading axis of every tensor in `xs`.

    Args:
        body: its ys is a list of `num_ys` tensors, each shaped like `carry[0]`.
        carry: list of tensors.
        xs: nested structure of tensors (T, ...); None stays None.
        num_ys: length of ys.
        reverse: whether to run from T - 1 down to 0.

    Returns:
        (final carry, list of ys stacked over time in the order of `xs`).
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


def stored(operand: Tensor, z: Tensor, recurrent: Tensor) -> Tensor:
    """Return a known pre-activation z = U^T a + ..., with the gradients dz and da = U dz."""

    @tf.custom_gradient
    def known(operand, z):
        return tf.identity(z), lambda dz: (tf.matmul(recurrent, dz), dz)

    return known(operand, z)


def pullback(function: Callable, args: tuple, cotangents: Any) -> tuple[Any, Any]:
    """Pull cotangents back through `function(*args) -> (outputs, extra)`.

    Returns:
        (the gradients, in the structure of `args`, extra).
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


def with_gradient(forward: Callable, backward: Callable, args: tuple) -> Any:
    """Compute `forward(*args)[0]` with the gradient `backward` instead of the automatic one.

    Second derivatives are the automatic ones of `forward`: `backward` would count a gate's operand
    twice, through the stored z and through `stored`.

    Args:
        forward: returns (outputs, residuals).
        backward: maps residuals and the outputs' cotangents to gradients in the structure of
            `args`; a gradient may be None for a whole argument.
        args: tuple of nested structures of tensors; None is allowed.
    """
    flat = tf.nest.flatten(args)
    given = [tf.convert_to_tensor(arg) for arg in flat if arg is not None]
    num_given, structure = len(given), {}

    def filled(given):
        given = iter(given)
        return tf.nest.pack_sequence_as(args, [None if a is None else next(given) for a in flat])

    @tf.custom_gradient
    def run(*given):
        outputs, residuals = forward(*filled(given))
        structure["outputs"] = outputs

        @tf.custom_gradient
        def slopes(*sources):
            cotangents = tf.nest.pack_sequence_as(outputs, sources[num_given:])
            found = _flatten_as(args, backward(residuals, cotangents))
            found = [gradient for gradient, arg in zip(found, flat, strict=True) if arg is not None]
            known = [gradient is not None for gradient in found]
            structure["known"] = known

            def second(*d_slopes):
                with tf.GradientTape(watch_accessed_variables=False) as outer:
                    outer.watch(_floats(sources))
                    with tf.GradientTape(watch_accessed_variables=False) as inner:
                        inner.watch(_floats(sources[:num_given]))
                        results = tf.nest.flatten(forward(*filled(sources[:num_given]))[0])
                    plain = inner.gradient(
                        results,
                        list(itertools.compress(sources, known)),
                        output_gradients=list(sources[num_given:]),
                        unconnected_gradients=tf.UnconnectedGradients.ZERO,
                    )
                return outer.gradient(plain, list(sources), output_gradients=list(d_slopes))

            return list(itertools.compress(found, known)), second

        def first(*cotangents):
            found = iter(slopes(*given, *cotangents))
            return [next(found) if is_known else None for is_known in structure["known"]]

        return tf.nest.flatten(outputs), first

    flat_outputs = run(*given)
    return tf.nest.pack_sequence_as(structure["outputs"], flat_outputs)


def _floats(tensors):
    return [tensor for tensor in tensors if tensor.dtype.is_floating]


def _flatten_as(args, gradients):
    """Flatten gradients like args; a gradient of None covers a whole argument."""
    flat = []
    for arg, gradient in zip(args, gradients, strict=True):
        flat += (
            [None] * len(tf.nest.flatten(arg)) if gradient is None else tf.nest.flatten(gradient)
        )
    return flat


def device_name() -> str:
    """Return the model name of the GPU in use, or "cpu"."""
    gpus = tf.config.list_physical_devices("GPU")
    return tf.config.experimental.get_device_details(gpus[0])["device_name"] if gpus else "cpu"


def peak_memory() -> int | None:
    """Return the most bytes that were in use on the GPU; None without one, or if unknown."""
    if not tf.config.list_logical_devices("GPU"):
        return None
    try:
        return tf.config.experimental.get_memory_info("GPU:0")["peak"]
    except ValueError:  # some allocators do not count
        return None


def joins_products() -> bool:
    """Return whether one matmul for all gates that share an operand beats one per gate.

    It does not on CPUs, where XLA does not vectorise over slices of a fused array.
    """
    return False


def prefers_gather() -> bool:
    """Return whether a gather beats a one-hot matmul; it does, except on GPUs."""
    return not tf.config.list_physical_devices("GPU")


def gather(table: Tensor, rows: Tensor) -> Tensor:
    """Take rows (...) of a table (R, M), with a dense gradient: a segment sum over the rows."""
    num_rows, width = table.shape

    @tf.custom_gradient
    def take(table):
        def gradient(d_taken):
            d_taken, places = tf.reshape(d_taken, (-1, width)), tf.reshape(rows, (-1,))
            if table.dtype.size < 4:  # bfloat16 cannot represent a sum of thousands of rows
                d_taken = tf.cast(d_taken, tf.float32)
            summed = tf.math.unsorted_segment_sum(d_taken, places, num_rows)
            return tf.cast(summed, table.dtype)

        return tf.gather(table, rows), gradient

    return take(table)


def value_and_grad(function: Callable, weights: Any) -> tuple[Any, Any]:
    """Call `function(weights) -> (scalar, extra)` and differentiate the scalar.

    Returns:
        (extra, gradients in the structure of `weights`).
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(tf.nest.flatten(weights))
        value, extra = function(weights)
    gradients = tape.gradient(value, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return extra, gradients


def compile(function: Callable) -> Callable:
    """Compile a function of nested structures of tensors into one program, with XLA."""
    return tf.function(function, jit_compile=True, autograph=False)


@contextlib.contextmanager
def matmul_precision(tf32: bool) -> Iterator[None]:
    """Allow or forbid TF32 for GPU matmuls of programs compiled in this context."""
    config = tf.config.experimental
    before = config.tensor_float_32_execution_enabled()
    config.enable_tensor_float_32_execution(tf32)
    try:
        yield
    finally:
        config.enable_tensor_float_32_execution(before)


def while_loop(condition: Callable, step: Callable, state: Any) -> Any:
    """Run `while condition(state): state = step(state)` on a nested structure of tensors."""
    (state,) = tf.while_loop(condition, lambda state: (step(state),), (state,))
    return state
