"""python -m benchmarks.stepper: cost of one streamed time step, against its products.

Each architecture has about 30,000 parameters, depth 1 and the 27 inputs and outputs of text8, and
streams one sequence. Each number is the minimum over many rounds, in microseconds:

    products   matrix products of one step in NumPy
    stepper    `model.stepper()`
    compiled   the same step with states passed in and out, as a compiled function of the backend:
               `tf.function(jit_compile=True)` on TensorFlow, `jax.jit` on JAX
"""

import argparse
import time

import keras
import numpy as np

import rnn_zoo
from rnn_zoo.model import initial_states, step

FEATURES = 27


def least(function, seconds):
    """Measure microseconds per call: the minimum over rounds of 200 calls."""
    function()
    rounds, ends = [], time.perf_counter() + seconds
    while time.perf_counter() < ends:
        began = time.perf_counter()
        for _ in range(200):
            function()
        rounds.append((time.perf_counter() - began) / 200)
    return min(rounds) * 1e6


def products(stepper):
    """Return a function that computes only the stepper's matrix products."""
    (layer,) = stepper._layers
    groups = {id(recurrent): recurrent for _, recurrent, _ in layer.plan.values()}
    kernels = [layer.kernel, *groups.values(), stepper._kernel]
    if layer.read_in:
        kernels.append(layer.read_in["kernel"])
    pairs = [(np.ones((1, len(kernel)), kernel.dtype), kernel) for kernel in kernels]

    def multiply():
        for x, kernel in pairs:
            np.dot(x, kernel)

    return multiply


def compiled(model, x):
    states = initial_states(model, batch_size=1)
    if keras.backend.backend() == "jax":
        import jax

        call = jax.jit(lambda x, states: step(model, x, states))
        return lambda: jax.block_until_ready(call(x, states))
    import tensorflow as tf

    function = tf.function(lambda x, states: step(model, x, states), jit_compile=True)
    x = tf.constant(x)
    concrete = function.get_concrete_function(x, states)
    return lambda: concrete(x, states)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--archs", nargs="*", default=list(rnn_zoo.ARCHITECTURES))
    parser.add_argument("--num_params", type=int, default=30_000)
    parser.add_argument("--seconds", type=float, default=2.0, help="duration of each measurement")
    args = parser.parse_args()
    print(f"backend: {keras.backend.backend()}\n")
    print(f"| arch | units | products | stepper | beyond | compiled |\n|{'---|' * 6}")
    for arch in args.archs:
        units = rnn_zoo.units_for_budget(arch, 1, args.num_params, FEATURES, FEATURES)
        model = rnn_zoo.build_model(arch, 1, units, FEATURES, FEATURES, seed=0)
        x, stepper = np.ones((1, FEATURES), "float32"), model.stepper()
        alone = least(products(stepper), args.seconds)
        ours = least(lambda stepper=stepper, x=x: stepper(x), args.seconds)
        theirs = least(compiled(model, x), args.seconds)
        print(
            f"| {arch} | {units} | {alone:.1f} | {ours:.1f} | {ours - alone:.1f} | {theirs:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
