"""Capacity of all six architectures, from as many trials as the remaining minutes allow.

A study per architecture and size trains one batch of lanes with random hyperparameters. All its
trials have one length, chosen from the measured rate so that they end in time.
`python -m tuning.report` reads the studies like any other.
"""

import dataclasses
import io
import math
import time
import zlib
from unittest import mock

import numpy as np
from rich.console import Console

from benchmarks.gpu.sections import common, steps, trials
from trainer.config import MAX_TRAIN_STEPS, TrainConfig
from trainer.lanes import Lanes, train_lanes
from trainer.trial import Trial
from tuning.config import StudyConfig
from tuning.study.executors import InProcess
from tuning.study.progress import StudyDisplay
from tuning.study.study import Study

#: How a fleet runs this section: the studies share all the remaining time.
RUNNING = {"seconds": math.inf}
ARCHS = steps.ARCHS
#: Total weights of all lanes at which a step's products take about as long as its launches.
WEIGHTS = 640_000
#: Range of samples per parameter in the search; the paper's networks store about five bits.
SAMPLES_PER_PARAMETER = (2, 8)
#: Share of a study's time planned for training; the rest is for evaluation and files.
TRAINING_SHARE = 0.55
#: Seconds to write the files of one trial.
FILING_SECONDS = 0.02
#: Seconds of a study's time spent on measuring its rate.
RATE_SECONDS = 0.5


def items(toy):
    if toy:
        return [{"arch": "rnn", "budget": 300, "lanes": 3, "most_steps": 100}]
    sizes = (10_000, 100_000)
    return [
        {"arch": arch, "budget": budget, "lanes": max(12, WEIGHTS // budget)}
        for budget in sizes
        for arch in ARCHS
    ]


def prepare(arch, budget, lanes, most_steps=MAX_TRAIN_STEPS):
    config = config_of(arch, budget, train_steps=2)
    trials = [Trial(config) for _ in range(lanes)]
    list(train_lanes(trials, lanes))  # Compiles training and evaluation.

    def measure(seconds):
        until = time.monotonic() + 0.95 * seconds
        rate = _rate(config, lanes)
        training = TRAINING_SHARE * seconds - FILING_SECONDS * lanes
        length = min(most_steps, max(50, round(training * rate)))
        study = Study(
            common.artefacts() / "studies" / f"capacity-{arch}-{budget}",
            config_of(arch, budget, length),
            study_of(config, lanes, length),
        )
        quiet = StudyDisplay(Console(file=io.StringIO()))
        with mock.patch("os.fsync"):  # The directory is temporary; only the archive is kept.
            study.run(InProcess(lanes, stop=lambda: time.monotonic() > until), quiet)
        found = [r.metrics["valid"]["bits_per_parameter"] for r in study.ranked]
        return {
            "train_steps": length,
            "steps_per_second": rate,
            "trials": len(study.log.records),
            "feasible": len(found),
            "best_bits_per_parameter": max(found, default=None),
            "median_bits_per_parameter": float(np.median(found)) if found else None,
        }

    return measure


def config_of(arch, budget, train_steps):
    return TrainConfig(
        task="capacity",
        arch=arch,
        num_params=budget,
        batch_size=512,
        train_steps=train_steps,
        task_options={"num_samples": SAMPLES_PER_PARAMETER[1] * budget},
    )


def study_of(config, lanes, length):
    """A random search around the task's defaults, with trials of one length."""
    low, high = (factor * config.num_params for factor in SAMPLES_PER_PARAMETER)
    return StudyConfig(
        num_trials=lanes,
        algorithm="random",
        seed=zlib.crc32(f"{config.arch}-{config.num_params}".encode()) % 2**31,
        batch=lanes,
        keep=1,
        ranges={
            "train_steps": length,
            "optimizer": "adam",
            "lr_init": (0.0003, 0.03),
            "lr_decay_rate": (0.001, 0.1),
            "l2_decay": (1e-8, 1e-6),
            "input_scale": (0.3, 2.0),
            "bias_scale": (-1.0, 1.0),
            "num_samples": (low, high),
            "presentation": "every",
        },
    )


def _rate(config, lanes):
    """Steps per second of all lanes side by side, without compilation."""
    pool = Lanes([Trial(dataclasses.replace(config, train_steps=10**6))] * lanes, lanes)
    return common.rate(trials.runner(pool), RATE_SECONDS)
