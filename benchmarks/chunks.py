"""python -m benchmarks.chunks: the mLSTM in chunks of steps against its loop, on one core.

A row is a training step of the cell alone, forward and backward, of 64 samples of 8 features,
compiled by XLA on TensorFlow. The two run in turn, and a time is the least over --seconds.

Results: chunks.csv in --out. Ratios are the loop's time divided by that of chunks.
"""

import argparse
import functools
import os
import time

from benchmarks import machine, table

UNITS = (64, 128, 256, 384)
TIME_STEPS = (100, 400)
BATCH, FEATURES = 64, 8
FIELDS = ("units", "time_steps", "loop_ms", "chunks_ms", "ratio")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--units", nargs="*", type=int, default=UNITS)
    parser.add_argument("--time_steps", nargs="*", type=int, default=TIME_STEPS)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--out", default="benchmarks/results/chunks")
    args = parser.parse_args()
    os.environ |= machine.environment(1)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print(machine.describe())
    rows = []
    for units in args.units:
        for time_steps in args.time_steps:
            rows.append(measure(units, time_steps, args.seconds))
            table.save(args.out, "chunks", FIELDS, rows)
            print("  ".join(f"{name} {value:.4g}" for name, value in rows[-1].items()), flush=True)


def measure(units, time_steps, seconds):
    """Return the row of a size and a length."""
    steps = {scan: compiled(units, time_steps, scan) for scan in (False, True)}
    least = dict.fromkeys(steps, float("inf"))
    ends = time.perf_counter() + seconds
    while time.perf_counter() < ends:
        for scan, step in steps.items():
            began = time.perf_counter()
            step().numpy()
            least[scan] = min(least[scan], time.perf_counter() - began)
    loop, chunks = (1e3 * least[scan] for scan in (False, True))
    return dict(zip(FIELDS, (units, time_steps, loop, chunks, loop / chunks), strict=True))


def compiled(units, time_steps, scan):
    """Return a training step, compiled and run once."""
    import numpy as np
    import tensorflow as tf

    import rnn_zoo

    layer = rnn_zoo.layers.MLSTM(units, return_sequences=True, scan=scan, seed=1)
    x = np.random.default_rng(0).normal(size=(BATCH, time_steps, FEATURES)).astype("float32")
    layer.build(x.shape)

    @tf.function(jit_compile=True)
    def step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(layer(x)))
        slopes = tape.gradient(loss, layer.trainable_variables)
        return sum(tf.reduce_sum(slope) for slope in slopes)

    step(x)
    return functools.partial(step, x)


if __name__ == "__main__":
    main()
