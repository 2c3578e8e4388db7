"""Gradients and compiled loops in JAX; `tensorflow.py` says what each means."""

import jax

eager = jax.ensure_compile_time_eval


def value_and_grad(function, weights):
    (_, extra), gradients = jax.value_and_grad(function, has_aux=True)(weights)
    return extra, gradients


def compile(function):
    return jax.jit(function)


def compile_loop(condition, step):
    def run(state, *args):
        return jax.lax.while_loop(
            lambda state: condition(state, *args), lambda state: step(state, *args), state
        )

    return jax.jit(run)
