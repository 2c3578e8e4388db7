"""python -m benchmarks.trials: trials per hour, against keras-tuner's random search over `fit`.

A trial is a whole training run: hyperparameters drawn from the same ranges, a fixed number of
steps, and the loss on the validation split. The stock search is `keras_tuner.RandomSearch` over a
`HyperModel` of Keras's own layers, fed ready-made batches. It runs as one search in one process
with all cores, and as one search per core; both have a row. Our search is
`trainer.lanes.train_lanes` in one single-threaded process per core, each with its lanes. Times
include imports and compilation. Our search compiles once for all trials of a process, the stock
search for every trial, so `--trials` should be the size of a study.

Results: trials.csv and machine.json in --out.
"""

import argparse
import json
import os
import subprocess
import sys
import time

from benchmarks import machine, table

SETTINGS = (("capacity", 10_000), ("memory", 10_000), ("rcf", 10_000), ("text8", 10_000))
SETTINGS += (("parens", 10_000), ("arithmetic", 10_000))
FIELDS = (
    *("task", "arch", "budget", "steps", "searcher", "arrangement", "trials", "seconds"),
    *("trials_per_hour", "ours_over_it"),
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--tasks", nargs="*", default=[task for task, _ in SETTINGS])
    parser.add_argument("--arch", default="gru")
    parser.add_argument("--steps", type=int, default=1000, help="steps per trial")
    parser.add_argument("--trials", type=int, default=16, help="our trials per core")
    parser.add_argument("--stock_trials", type=int, default=3, help="trials per stock search")
    parser.add_argument(
        "--stock_processes", nargs="*", type=int, help="1 and one per core if not given"
    )
    parser.add_argument("--lanes", nargs="*", type=int, default=[1, 4])
    parser.add_argument("--out", default="benchmarks/results/trials")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        print(json.dumps(WORKERS[args.worker](args)))
        return
    print(machine.describe())
    rows = []
    for task, budget in SETTINGS:
        if task in args.tasks:
            rows += compare(task, budget, args)
            table.save(args.out, "trials", FIELDS, rows)


def compare(task, budget, args):
    """Measure all searchers in one setting and return their rows."""
    arrangements = args.stock_processes or sorted({1, machine.cores()})
    rows = [run(task, budget, args, "stock", n, args.stock_trials, 1) for n in arrangements]
    rows += [
        run(task, budget, args, "ours", machine.cores(), args.trials, lanes) for lanes in args.lanes
    ]
    best = max(row["trials_per_hour"] for row in rows if row["searcher"] == "ours")
    for row in rows:
        row["ours_over_it"] = best / row["trials_per_hour"]
        print(
            f"{task:10} {args.arch} {budget:6,} {row['searcher']:5} {row['arrangement']:24} "
            f"{row['trials_per_hour']:9.0f} trials/hour   ours {row['ours_over_it']:6.2f}x",
            flush=True,
        )
    return rows


def run(task, budget, args, searcher, processes, trials, lanes):
    """Start a searcher's processes together, wait for all of them and return the row."""
    command = [sys.executable, "-m", "benchmarks.trials", "--worker", searcher]
    command += ["--tasks", task, "--arch", args.arch, "--steps", str(args.steps)]
    command += ["--trials", str(trials), "--lanes", str(lanes)]
    began = time.perf_counter()
    environment = machine.environment(machine.cores() // processes)
    workers = [
        subprocess.Popen(
            command,
            env=environment | {"RNN_ZOO_CORE": str(core) if processes > 1 else ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for core in range(processes)
    ]
    outputs = [worker.communicate() for worker in workers]
    seconds = time.perf_counter() - began
    for worker, (_, errors) in zip(workers, outputs, strict=True):
        if worker.returncode:
            raise SystemExit(f"{searcher} failed on {task}: {errors[-2000:]}")
    arrangement = f"{processes} x {machine.cores() // processes} threads"
    return {
        **{"task": task, "arch": args.arch, "budget": budget, "steps": args.steps},
        "searcher": searcher,
        "arrangement": f"{arrangement}, {lanes} lanes" if searcher == "ours" else arrangement,
        "trials": processes * trials,
        "seconds": seconds,
        "trials_per_hour": 3600 * processes * trials / seconds,
    }


def pin():
    """Pin this worker to its core and return the core's number, the seed of its draws."""
    core = os.environ["RNN_ZOO_CORE"]
    if core:
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[int(core)]})
    return int(core or 0)


def setting_of(args):
    from benchmarks.step_worker import Setting

    (task,) = args.tasks
    # As in the laptop profile. The trainer measures a trial's loss on the whole data set.
    options = {"num_samples": 10_000} if task == "rcf" else {}
    return Setting(task, args.arch, dict(SETTINGS)[task], **options)


def ours(args):
    """Train the trials in lanes."""
    seed = pin()
    import dataclasses

    import numpy as np

    from trainer.lanes import train_lanes
    from trainer.trial import Trial

    rng = np.random.default_rng(seed)
    base = dataclasses.replace(setting_of(args).config, train_steps=args.steps)

    def configs():
        for _ in range(args.trials):
            yield dataclasses.replace(
                base,
                lr_init=float(10 ** rng.uniform(-4, -2)),
                gradient_clip_val=float(10 ** rng.uniform(-1, 1)),
                input_scale=float(10 ** rng.uniform(-1, 0.5)),
            )

    (lanes,) = args.lanes
    losses = [record.valid_loss for _, record, _ in train_lanes(map(Trial, configs()), lanes)]
    return {"losses": losses}


def stock(args):
    """keras-tuner's random search over `fit`."""
    seed = pin()
    import tempfile

    import keras
    import keras_tuner

    setting = setting_of(args)
    task = setting.task
    train, valid = setting.dataset("train", 16).repeat().prefetch(2), setting.dataset("valid", 64)

    class Model(keras_tuner.HyperModel):
        def build(self, hp):
            inputs = keras.Input((task.num_steps, task.input_dim))
            scale = hp.Float("input_scale", 0.1, 10**0.5, sampling="log")
            initializer = keras.initializers.VarianceScaling(
                scale**2, distribution="untruncated_normal"
            )
            x = setting.stock_layer(kernel_initializer=initializer)(inputs)[:, task.loss_steps]
            model = keras.Model(inputs, keras.layers.Dense(task.output_dim)(x))
            schedule = keras.optimizers.schedules.ExponentialDecay(
                hp.Float("lr_init", 1e-4, 1e-2, sampling="log"), args.steps, 0.1
            )
            clip = hp.Float("gradient_clip_val", 0.1, 10, sampling="log")
            model.compile(
                keras.optimizers.Adam(schedule, global_clipnorm=clip),
                loss=task.keras_loss(),
                steps_per_execution=100,
            )
            return model

    with tempfile.TemporaryDirectory() as directory:
        tuner = keras_tuner.RandomSearch(
            Model(), "val_loss", max_trials=args.trials, seed=seed, directory=directory
        )
        tuner.search(train, steps_per_epoch=args.steps, epochs=1, validation_data=valid, verbose=0)
        losses = [trial.score for trial in tuner.oracle.trials.values()]
        if None in losses:  # keras-tuner treats any failure as a bad trial
            raise RuntimeError("a trial of the stock search failed")
        return {"losses": losses}


WORKERS = {"ours": ours, "stock": stock}


if __name__ == "__main__":
    main()
