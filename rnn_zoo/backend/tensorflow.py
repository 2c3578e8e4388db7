"""Primitives in TensorFlow, for eager, graph and XLA execution."""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf
from keras import ops  # noqa: F401
from tensorflow.python.ops import control_flow_util

from rnn_zoo.backend.generic import KERNELS, equivalent, plus_product  # noqa: F401

Tensor = Any

#: Context in which operations run eagerly, even while a function is being traced.
eager = tf.init_scope


def scan(
    body: Callable, carry: list, xs: Any, shapes: list[tuple], reverse: bool = False
) -> tuple[list, list]:
    """Run `carry, ys = body(carry, x_t)` over the leading axis of every tensor in `xs`.

    Args:
        body: its ys is a list of tensors with the dtype of `carry[0]`.
        carry: list of tensors.
        xs: nested structure of tensors (T, ...); None stays None.
        shapes: static shapes of ys.
        reverse: whether to run from T - 1 down to 0.

    Returns:
        (final carry, list of ys stacked over time in the order of `xs`).
    """
    flat = tf.nest.flatten(xs)
    first = next(x for x in flat if x is not None)
    static_length = first.shape[0]
    length = tf.shape(first)[0] if static_length is None else static_length
    arrays = [tf.TensorArray(carry[0].dtype, length, element_shape=shape) for shape in shapes]
    # Read from arrays rather than by slices: the gradient of a slice is as large as all of x.
    given = [
        None if x is None else tf.TensorArray(x.dtype, length, element_shape=x.shape[1:]).unstack(x)
        for x in flat
    ]

    def iteration(i, carry, arrays):
        t = length - 1 - i if reverse else i
        x = tf.nest.pack_sequence_as(xs, [None if x is None else x.read(t) for x in given])
        before = carry
        carry, ys = body(before, x)
        return (
            i + 1,
            apart(list(carry), before),
            [a.write(t, y) for a, y in zip(arrays, ys, strict=True)],
        )

    _, carry, arrays = tf.while_loop(
        lambda i, *_: i < length,
        iteration,
        (tf.constant(0), list(carry), arrays),
        maximum_iterations=length,
    )
    return carry, [
        tf.ensure_shape(array.stack(), [static_length, *shape])
        for array, shape in zip(arrays, shapes, strict=True)
    ]


def apart(new: list[Tensor], before: list[Tensor]) -> list[Tensor]:
    """Return a loop's new tensors such that none is another one of the iteration before.

    LiteRT loses the old value of a loop's variable that takes the place of another, as in a chain
    of delays, and its converter removes plain copies.
    """
    return [
        tf.maximum(each, tf.constant(float("-inf"), each.dtype))
        if any(each is old for place, old in enumerate(before) if place != index)
        else each
        for index, each in enumerate(new)
    ]


def pullback(function: Callable, args: tuple, cotangents: Any) -> tuple[Any, Any]:
    """Pull cotangents back through `function(*args) -> (outputs, extra)`.

    Returns:
        (the gradients, in the structure of `args`, extra).
    """
    sources = _given(args)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(sources)
        outputs, extra = function(*args)
    gradients = tape.gradient(
        _given(outputs),
        sources,
        output_gradients=_given(cotangents),
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
    )
    return _pack(args, gradients), extra


def with_gradient(forward: Callable, backward: Callable, args: tuple) -> Any:
    """Compute `forward(*args)[0]` with the gradient `backward` instead of the automatic one.

    Second derivatives are the automatic ones of `forward`: those of `backward` would miss that
    residuals, such as a stored z, depend on the arguments too.

    Args:
        forward: returns (outputs, residuals).
        backward: maps residuals and the outputs' cotangents to gradients in the structure of
            `args`; a gradient may be None for a whole argument.
        args: tuple of nested structures of tensors; None is allowed.
    """
    flat = tf.nest.flatten(args)
    given = [tf.convert_to_tensor(arg) for arg in flat if arg is not None]
    num_given, structure = len(given), {}

    @tf.custom_gradient
    def run(*given):
        outputs, residuals = forward(*_pack(args, given))
        structure["outputs"] = outputs

        @tf.custom_gradient
        def slopes(*sources):
            cotangents = _pack(outputs, sources[num_given:])
            found = _flatten_as(args, backward(residuals, cotangents))
            found = [gradient for gradient, arg in zip(found, flat, strict=True) if arg is not None]
            known = [gradient is not None for gradient in found]
            structure["known"] = known

            def second(*d_slopes):
                with tf.GradientTape(watch_accessed_variables=False) as outer:
                    outer.watch(_floats(sources))
                    with tf.GradientTape(watch_accessed_variables=False) as inner:
                        inner.watch(_floats(sources[:num_given]))
                        results = _given(forward(*_pack(args, sources[:num_given]))[0])
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

        return _given(outputs), first

    flat_outputs = run(*given)
    return _pack(structure["outputs"], flat_outputs)


def _pack(structure, tensors):
    """Put tensors into the places of a nested structure that are not None."""
    tensors = iter(tensors)
    flat = [None if each is None else next(tensors) for each in tf.nest.flatten(structure)]
    return tf.nest.pack_sequence_as(structure, flat)


def _given(tensors):
    return [tensor for tensor in tf.nest.flatten(tensors) if tensor is not None]


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


def is_compiled() -> bool:
    """Return whether the operations being traced become one program, as XLA makes it.

    Operations that run one by one are cheaper with automatic derivatives, which keep what they need
    without copying it.
    """
    return control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())


def prefers_hoisting() -> bool:
    """Return whether one input product for all time steps beats one per step."""
    return bool(tf.config.list_physical_devices("GPU"))


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
