"""The derived loop on JAX, and its primitives; `tensorflow.py` says what each means."""

import functools
import sys

import jax
import jax.numpy as jnp

from rnn_zoo.unroll import derived


def scan(body, carry, xs, num_ys, reverse=False):
    return jax.lax.scan(body, carry, xs, reverse=reverse)


@jax.custom_vjp
def stored(operand, z, recurrent):
    return z


def _stored_forward(operand, z, recurrent):
    return z, recurrent


def _stored_backward(recurrent, dz):
    return jnp.matmul(recurrent, dz), dz, None


stored.defvjp(_stored_forward, _stored_backward)


def pullback(function, args, cotangents):
    _, pull, extra = jax.vjp(function, *args, has_aux=True)
    return pull(cotangents), extra


def with_gradient(forward, backward, args):
    @jax.custom_vjp
    def run(*args):
        return forward(*args)[0]

    run.defvjp(forward, backward)
    return run(*args)


def lookups_pay():
    return jax.default_backend() == "cpu"


def lookup(table, rows):
    # The gradient adds thousands of rows, which bfloat16 cannot count.
    taken = jnp.take(table.astype(jnp.promote_types(table.dtype, "float32")), rows, 0, mode="clip")
    return taken.astype(table.dtype)


unroll = functools.partial(derived.unroll, sys.modules[__name__])
