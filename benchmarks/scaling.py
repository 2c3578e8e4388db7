"""python -m benchmarks.scaling: cost against time steps and lanes, and memory over many trials.

Three measurements on one core, each value in a separate process:

    steps    microseconds per training step of parens against T, over a factor of 16
    lanes    microseconds per step against lanes, over a factor of 16, and peak memory
    trials   resident memory after each of 100 trials, trained one after another in one process

Cost should be linear and memory flat. scaling.png shows both, scaling.csv has the numbers.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import time

from benchmarks import machine, table

STEPS = (25, 50, 100, 200, 400)
LANES = (1, 2, 4, 8, 16)
TRIALS = 100


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--arch", default="gru")
    parser.add_argument("--budget", type=int, default=10_000)
    parser.add_argument("--out", default="benchmarks/results/scaling")
    parser.add_argument("--measure", choices=MEASUREMENTS, help=argparse.SUPPRESS)
    parser.add_argument("--value", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        print(json.dumps(MEASUREMENTS[args.measure](args)))
        return
    rows = []
    for name, values in (("steps", STEPS), ("lanes", LANES), ("trials", (TRIALS,))):
        for value in values:
            rows += in_a_process(name, value, args)
            print(name, rows[-1], flush=True)
    table.save(args.out, "scaling", ("what", "x", "y"), rows)
    plot(pathlib.Path(args.out) / "scaling.png", rows, args)


def in_a_process(name, value, args):
    command = [sys.executable, "-m", "benchmarks.scaling", "--measure", name, "--value", str(value)]
    command += ["--arch", args.arch, "--budget", str(args.budget)]
    done = subprocess.run(
        command, env=machine.environment(1), capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.strip().splitlines()[-1])


def config(args, task="parens", **changes):
    from trainer.config import MAX_TRAIN_STEPS, TrainConfig

    return TrainConfig(
        task=task,
        arch=args.arch,
        num_params=args.budget,
        train_steps=MAX_TRAIN_STEPS,
        lr_init=1e-4,
        **changes,
    )


def microseconds_per_step(configs):
    """Measure one compiled step of these configurations, each in its own lane."""
    import numpy as np
    from keras import ops

    from trainer.program import stack
    from trainer.trial import Trial

    trials = [Trial(each) for each in configs]
    program = trials[0].program()
    hparams = stack([trial.hparams(program) for trial in trials])
    state = program.start(stack([trial.draw_weights() for trial in trials]))
    data, at, times = trials[0].task.device_data, 0, []
    for steps in (2, 20, 20, 20):
        began = time.perf_counter()
        at += steps
        state = program.run(state, hparams, data, np.full(len(trials), at, "int32"))
        assert ops.convert_to_numpy(state["step"]).min() == at
        times.append((time.perf_counter() - began) / steps)
    return 1e6 * statistics.median(times[1:])


def steps(args):
    each = config(args, task_options={"num_steps": args.value})
    return [{"what": "steps", "x": args.value, "y": microseconds_per_step([each])}]


def lanes(args):
    configs = [config(args, task="memory", seed=seed) for seed in range(args.value)]
    cost = microseconds_per_step(configs)
    return [
        {"what": "lanes", "x": args.value, "y": cost},
        {"what": "lanes_megabytes", "x": args.value, "y": machine.peak_megabytes()},
    ]


def trials(args):
    """Measure memory after each trial; one program trains all trials, as in a study."""
    from trainer.lanes import train_lanes
    from trainer.trial import Trial

    base = dataclasses.replace(config(args, task="memory"), train_steps=100, lr_init=1e-3)
    configs = (dataclasses.replace(base, seed=seed) for seed in range(args.value))
    return [
        {"what": "trials", "x": number, "y": resident_megabytes()}
        for number, _ in enumerate(train_lanes(map(Trial, configs), lanes=1), start=1)
    ]


def resident_megabytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


MEASUREMENTS = {"steps": steps, "lanes": lanes, "trials": trials}


def plot(path, rows, args):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.4), layout="constrained")
    panels = figure.subplots(1, 3)
    for panel, what, title, label in (
        (panels[0], "steps", "parens", "time steps T"),
        (panels[1], "lanes", "memory", "lanes"),
    ):
        x, y = zip(*((row["x"], row["y"]) for row in rows if row["what"] == what), strict=True)
        panel.loglog(x, y, "o-", color="#0072B2")
        panel.loglog(x, [y[-1] * value / x[-1] for value in x], "--", color="0.6", label="linear")
        panel.set_xticks(x, x)
        panel.minorticks_off()
        panel.set(title=f"{title}, {args.arch}, {args.budget:,} parameters", xlabel=label)
        panel.set_ylabel("microseconds per step")
        panel.legend(frameon=False)
    x, y = zip(*((row["x"], row["y"]) for row in rows if row["what"] == "trials"), strict=True)
    panels[2].plot(x, y, color="#D55E00")
    panels[2].set(title="memory of one process", xlabel="trials trained", ylabel="MB resident")
    panels[2].set_ylim(0, 1.2 * max(y))
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
