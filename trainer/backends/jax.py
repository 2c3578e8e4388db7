"""Gradients, loops and compilation in JAX; `tensorflow.py` says what each means."""

import jax

eager = jax.ensure_compile_time_eval


def value_and_grad(function, weights):
    (_, extra), gradients = jax.value_and_grad(function, has_aux=True)(weights)
    return extra, gradients


def compile(function):
    return jax.jit(function)


def products(tf32):
    return jax.default_matmul_precision("tensorfloat32" if tf32 else "float32")


while_loop = jax.lax.while_loop
