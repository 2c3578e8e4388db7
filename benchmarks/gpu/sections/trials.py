"""Trials per hour by number of lanes, and the share of the time in which the GPU computes."""

import dataclasses

import jax
import numpy as np

from benchmarks.gpu.sections import common
from benchmarks.step_worker import Setting
from trainer.lanes import Lanes
from trainer.trial import Trial

#: Steps of a trial, as in `benchmarks.trials`.
TRIAL_STEPS = 1000
#: How a fleet runs this section: long enough to sample the GPU's utilization.
RUNNING = {"seconds": 3.0}


def items(toy):
    lanes, budget = ((1, 3), 300) if toy else ((64, 1, 512, 8), 10_000)
    tasks = ("capacity",) if toy else ("parens", "capacity")
    return [{"task": t, "arch": "gru", "budget": budget, "lanes": p} for p in lanes for t in tasks]


def prepare(task, arch, budget, lanes):
    config = Setting(task, arch, budget).config
    rates = 10 ** np.random.default_rng(0).uniform(-4, -2, lanes)
    trials = [
        Trial(dataclasses.replace(config, lr_init=float(rate), seed=seed, optimizer="adam"))
        for seed, rate in enumerate(rates)
    ]
    run = runner(Lanes(trials, lanes))
    run(1)

    def measure(seconds):
        with common.Utilization() as utilization:
            rate = common.rate(run, seconds)
        return {
            "steps_per_second": rate,
            "trials_per_hour": 3600 * lanes * rate / TRIAL_STEPS,
            "busy": utilization.busy,
            "peak_megabytes": common.peak_megabytes(),
        }

    return measure


def runner(pool):
    """Return a function that trains all lanes for a number of steps."""

    def run(steps):
        stop = pool.steps + steps
        pool.state = pool.program.run(pool.state, pool.hparams, pool.data, stop)
        jax.block_until_ready(pool.state)
        assert (pool.steps == stop).any(), "all lanes have diverged"

    return run
