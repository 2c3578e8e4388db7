"""Primitives in JAX, documented in `tensorflow.py`."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import jax
import jax.numpy as jnp
from keras import ops  # noqa: F401

from rnn_zoo.backend.generic import KERNELS, equivalent, plus_product  # noqa: F401

Tensor = Any

#: Time steps per iteration of a compiled loop.
SCAN_UNROLL = 1

eager = jax.ensure_compile_time_eval
while_loop = jax.lax.while_loop


def scan(
    body: Callable, carry: list, xs: Any, shapes: list[tuple], reverse: bool = False
) -> tuple[list, list]:
    return jax.lax.scan(body, carry, xs, reverse=reverse, unroll=SCAN_UNROLL)


def pullback(function: Callable, args: tuple, cotangents: Any) -> tuple[Any, Any]:
    _, pull, extra = jax.vjp(function, *args, has_aux=True)
    return pull(cotangents), extra


def with_gradient(forward: Callable, backward: Callable, args: tuple) -> Any:
    @jax.custom_vjp
    def run(*args):
        return forward(*args)[0]

    run.defvjp(forward, backward)
    return run(*args)


def device_name() -> str:
    return jax.devices()[0].device_kind


def peak_memory() -> int | None:
    on_gpu = jax.default_backend() != "cpu"
    counts = on_gpu and jax.devices()[0].memory_stats()  # some allocators do not count
    return counts["peak_bytes_in_use"] if counts else None


def is_compiled() -> bool:
    return True


def prefers_hoisting() -> bool:
    return jax.default_backend() != "cpu"


def prefers_gather() -> bool:
    return jax.default_backend() == "cpu"


def gather(table: Tensor, rows: Tensor) -> Tensor:
    # The gradient sums thousands of rows, too many for bfloat16.
    taken = jnp.take(table.astype(jnp.promote_types(table.dtype, "float32")), rows, 0, mode="clip")
    return taken.astype(table.dtype)


def value_and_grad(function: Callable, weights: Any) -> tuple[Any, Any]:
    (_, extra), gradients = jax.value_and_grad(function, has_aux=True)(weights)
    return extra, gradients


def compile(function: Callable) -> Callable:
    return jax.jit(function)


def matmul_precision(tf32: bool) -> AbstractContextManager:
    return jax.default_matmul_precision("tensorfloat32" if tf32 else "float32")
