"""python -m benchmarks.pipelines: speed of the tasks' `tf.data` pipelines, against `fit`.

For each task, in one run: samples per second of the pipeline alone, and of `keras.Model.fit` on
ready-made batches with a stock GRU of 10,000 parameters. The pipeline should be at least twice as
fast.
"""

import argparse
import time

import keras

import rnn_zoo
from trainer.tasks import PAPER_TASKS, TASKS

OPTIONS = {"text8": {"source": "pydoc"}}


def pipeline_rate(task, batch_size, seconds):
    """Measure samples per second of iterating over the dataset, after a warm-up."""
    batches = iter(task.dataset("train", batch_size))
    for _ in range(20):
        next(batches)
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        next(batches)
        count += 1
    return count * batch_size / (time.perf_counter() - began)


def fit_rate(task, batch_size, seconds):
    """Measure samples per second of `fit`, after a warm-up."""
    units = rnn_zoo.units_for_budget("gru", 1, 10_000, task.input_dim, task.output_dim)
    model = keras.Sequential(
        [
            keras.Input((task.num_steps, task.input_dim)),
            keras.layers.GRU(units, return_sequences=True),
            keras.layers.Dense(task.output_dim),
        ]
    )
    model.compile("adam", loss=task.keras_loss())
    # Ready-made batches, since drawing them on the same cores would slow `fit`.
    data = task.dataset("train", batch_size).take(16).cache().repeat()
    model.fit(data, steps_per_epoch=20, verbose=0, shuffle=False)
    began = time.perf_counter()
    model.fit(data, steps_per_epoch=20, verbose=0, shuffle=False)
    steps = max(20, int(seconds * 20 / (time.perf_counter() - began)))
    began = time.perf_counter()
    model.fit(data, steps_per_epoch=steps, verbose=0, shuffle=False)
    return steps * batch_size / (time.perf_counter() - began)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--tasks", nargs="*", default=PAPER_TASKS, choices=PAPER_TASKS)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=4.0, help="duration of each measurement")
    args = parser.parse_args()
    print(f"| task | pipeline, samples/s | fit, samples/s | ratio |\n|{'---|' * 4}")
    for name in args.tasks:
        task = TASKS[name](**OPTIONS.get(name, {}))
        alone = pipeline_rate(task, args.batch_size, args.seconds)
        consumed = fit_rate(task, args.batch_size, args.seconds)
        print(f"| {name} | {alone:,.0f} | {consumed:,.0f} | {alone / consumed:.1f} |", flush=True)


if __name__ == "__main__":
    main()
