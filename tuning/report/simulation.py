"""Random trials of a grid under a `truths.Truth`, to measure power and error rates of rules.

A trial diverges, never moves from chance, or learns. A trial that learns falls short of a limit;
the best of n trials approaches the limit as n grows, and so do trials with more steps. The limit
itself varies between studies. As in a search, the steps of a trial are log-uniform.
"""

import functools
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from rnn_zoo import sizing
from rnn_zoo.architectures import ARCHITECTURES
from trainer.tasks.capacity import least_inputs
from trainer.tasks.memory import least_error
from tuning import trials
from tuning.report.paper import DIMENSIONS, UNROLLED
from tuning.report.truths import Truth
from tuning.search.hyperparameter import of_range
from tuning.study.schedule import default_initial_points

#: Inputs, outputs and chance loss of the tasks; inputs of capacity depend on its size.
_TASKS = {
    "capacity": (None, 1, math.log(2)),
    "memory": (64, 64, 1.0),
    "rcf": (50, 1, 1.0),
    "text8": (27, 27, 2.853),
    "parens": (300, 100, 18.2085),
    "arithmetic": (14, 14, 1.023),
}
#: Loss at 10,000 parameters, and its fall per factor e of size: text8 in bits per character.
_POWER = {"text8": (2.5, 0.15), "rcf": (0.75, 0.06)}
#: Steps at which a trial falls short by `Truth.short`, and largest steps if the grid sets none.
_STEPS = dict.fromkeys(_TASKS, 50_000) | {"parens": 4_000, "arithmetic": 4_000, "memory": 10_000}
#: Number of hyperparameters that a search ranges over, about.
_FREE = 18
Point = Mapping[str, Any]
_units_for_budget = functools.cache(sizing.units_for_budget)


def simulate(points: Iterable[Point], truth: Truth, generator: np.random.Generator) -> pd.DataFrame:
    """Draw the trials of a grid.

    Args:
        points: values of the studies, as of `tuning.sweep.config.points`: task, arch, depth,
            num_params and num_trials; optionally algorithm, reruns, seed, train_steps, first,
            ranges of train_steps and num_samples, task_options with num_inputs and num_steps, and
            held values of `activation` and `optimizer`.
        truth: parameters of the trials.
        generator: source of randomness.

    Returns:
        DataFrame of `trials.frame`.
    """
    studies = []
    for number, point in enumerate(points):
        if point.get("depth", 1) >= ARCHITECTURES[point["arch"]].min_depth:
            studies += _study(dict(point), number, truth, generator)
    names = dict.fromkeys(name for study in studies for name in study)
    counts = [len(study["run_id"]) for study in studies]
    return trials.frame(
        pd.DataFrame({name: _column(name, studies, counts) for name in names}),
    )


def _column(name, studies, counts):
    """One column of all studies; a study has an array or one value for all of its trials."""
    parts = []
    for study, count in zip(studies, counts, strict=True):
        value = study.get(name, math.nan)
        parts.append(np.full(count, value, object if isinstance(value, str) else None))
    return np.concatenate(parts)


def _study(point, number, truth, generator):
    """Columns of a study's trials, and of its reruns if it has any."""
    point = {"depth": 1, "algorithm": "gp", "reruns": 0, "task_options": {}, "ranges": {}} | point
    rows = _settings(point, number)
    count = point["num_trials"]
    origin = np.where(_proposed(point), "search", "random").astype(object)
    origin[: "first" in point] = "first"
    steps = _tuned_steps(point, generator)
    rows |= {
        **_names(rows["study"], [f"{i:05d}" for i in range(count)]),
        "iteration": np.arange(count, dtype=float),
        "origin": origin,
        "activation": _activations(point, generator),
        "train_steps": steps,
        "steps_done": steps,
    }
    rows |= _RESULTS[point["task"]](point, rows, truth, generator)
    if point["reruns"]:
        return [rows, rows | _reruns(point, rows, truth, generator)]
    return [rows]


def _names(study, run_ids):
    return {
        "run_id": np.array(run_ids, object),
        "run": np.array([f"{study}/{run_id}" for run_id in run_ids], object),
    }


def _proposed(point):
    """Whether the search proposes each trial; the first trials are random."""
    count = point["num_trials"]
    random = default_initial_points(count, _FREE) if point["algorithm"] == "gp" else count
    return np.arange(count) >= random


def _ends(point, name, default):
    """Least and largest value of a hyperparameter that the grid searches."""
    return of_range(name, point["ranges"].get(name, default), "the grid").ends


def _tuned_steps(point, generator):
    """Steps of each trial, log-uniform; the first trial has the most if the grid gives it."""
    most = point.get("train_steps") or _STEPS[point["task"]]
    low, high = _ends(point, "train_steps", (most // 4, most))
    # A child generator, so that the other numbers do not depend on the range of steps.
    draw = generator.spawn(1)[0].uniform(math.log(low), math.log(high), point["num_trials"])
    steps = np.exp(draw).round()
    steps[: "first" in point] = high
    return steps.astype(int)


def _settings(point, number):
    """Columns that all trials of a study share."""
    task, arch, depth, size = (point[name] for name in ("task", "arch", "depth", "num_params"))
    inputs, outputs, chance = _TASKS[task]
    options = point["task_options"]
    if task == "capacity":
        inputs = options.get("num_inputs") or least_inputs(10 * size)
    units = _units_for_budget(arch, depth, size, inputs, outputs)
    held = [name for name in ("activation", "optimizer") if name in point]
    return {
        "study": f"{task}-{arch}-{depth}-{size}-{point['algorithm']}-{number}",
        "source": "rnn-zoo",
        "algorithm": point["algorithm"],
        "profile": "laptop",
        "setting": "{}",
        "is_rerun": False,
        "stopped_early": False,
        "optimizer": point.get("optimizer", "adam"),
        "held": str(held).replace("'", '"'),
        "task": task,
        "arch": arch,
        "depth": depth,
        "units": units,
        "max_params": size,
        "num_params": sizing.count_params(arch, depth, units, inputs, outputs),
        "num_inputs": inputs if task == "capacity" else math.nan,
        "num_steps": options.get("num_steps", UNROLLED) if task == "capacity" else math.nan,
        "max_steps": point.get("train_steps") or _STEPS[task],
        "chance_loss": chance,
        "status": "ok",
        "seed": point.get("seed", number + 1),
        "backend": "tensorflow",
        "hparams": "{}",
        "curve": "[]",
    }


def _activations(point, generator):
    count = point["num_trials"]
    if point["arch"] == "irnn":
        return np.full(count, "relu", object)
    if "activation" in point:
        return np.full(count, point["activation"], object)
    # A search soon prefers tanh.
    is_relu = generator.random(count) < np.where(_proposed(point), 0.1, 0.5)
    return np.where(is_relu, "relu", "tanh").astype(object)


def _shortfall(point, rows, truth, generator):
    """Each trial's shortfall from the limit, as a fraction; nearly 1 if it never left chance.

    A search narrows the shortfall; random trials do not.
    """
    count = point["num_trials"]
    narrowed = 1.0
    if point["algorithm"] == "gp":
        patience = truth.patience * truth.slow.get(point["arch"], 1.0)
        narrowed = (1 + np.arange(count) / patience) ** -1.5
    gaps = truth.gap * generator.random(count) * narrowed
    short = truth.short * truth.longer.get(point["task"], 1.0)
    short *= truth.late.get(point["arch"], 1.0)
    short *= (point["num_params"] / 10_000) ** truth.late_power
    gaps += short * np.sqrt(_STEPS[point["task"]] / rows["train_steps"])
    moved = generator.random(count) < truth.moves
    return np.where(moved, gaps, 1 - 0.03 * generator.random(count))


def _luck(truth, generator):
    return math.exp(generator.normal(0, truth.luck))


def _capacity(point, rows, truth, generator):
    size, count = rows["num_params"], point["num_trials"]
    tanh_bits = truth.bits.get(point["arch"], truth.relu_bits)
    limit = np.where(rows["activation"] == "relu", truth.relu_bits, tanh_bits)
    limit *= size * (size / 10_000) ** (truth.exponent - 1) * _luck(truth, generator)
    limit *= truth.unrolled(rows["num_steps"]) / truth.unrolled(UNROLLED)
    bits = limit * (1 - _shortfall(point, rows, truth, generator))
    # Data sets that are too large are as common as those that are too small.
    spread = 0.3 * truth.gap * generator.random(count)
    samples = np.ceil(bits * np.maximum(1.0, truth.samples_over_bits + spread * (1 - bits / limit)))
    low, high = _ends(point, "num_samples", (0.1 * size, 10 * size))  # Appendix A's.
    samples = np.clip(samples, math.ceil(low), high)
    if isinstance(point.get("first"), dict):
        samples[0] = point["first"].get("num_samples", samples[0])
    bits = np.minimum(bits, samples * _information(_collided(samples, rows["num_inputs"])))
    return {
        "num_samples": samples,
        "bits": bits,
        "bits_per_parameter": bits / size,
        "objective": -bits,
        "eval_loss": np.full(count, 0.5),
    }


def _collided(samples, inputs):
    """Largest possible accuracy if inputs coincide and half of their labels disagree."""
    distinct = 2.0**inputs * -np.expm1(-samples / 2.0**inputs)
    return 1 - (samples - np.minimum(distinct, samples)) / (2 * samples)


def _information(accuracy):
    """Bits per sample, eq. (22)."""
    p = np.clip(accuracy, 0.5, 1 - 1e-15)
    return 1 + p * np.log2(p) + (1 - p) * np.log2(1 - p)


def _memory(point, rows, truth, generator):
    limit = float(least_error(rows["units"], DIMENSIONS)) + truth.excess[point["arch"]]
    limit = max(0.0, limit)
    # Good hyperparameters are easy to find on this task, so trials come close to the theory.
    gaps = 0.15 * _shortfall(point, rows, truth, generator)
    loss = limit + (1 - limit) * gaps
    return _losses(loss, generator)


def _falling(point, rows, truth, generator):
    task, chance = point["task"], rows["chance_loss"]
    level, fall = _POWER[task]
    factor = truth.size_factor[point["arch"]] * _luck(truth, generator)
    size = 100 * rows["units"] ** 2 / factor if truth.by_units else rows["num_params"] / factor
    limit = level - fall * math.log(size / 10_000)
    if task == "text8":
        chance /= math.log(2)
    loss = limit + (chance - limit) * _shortfall(point, rows, truth, generator)
    if task == "rcf":
        return _losses(loss, generator)
    return _losses(loss * math.log(2), generator) | {"bits_per_character": loss}


def _hard(point, rows, truth, generator):
    """Losses of parens and arithmetic; a search learns more often once a trial has learned."""
    count, arch, depth = point["num_trials"], point["arch"], 8 if point["depth"] == 8 else 1
    shares = truth.learned[depth] if arch in truth.learned[depth] else truth.learned[8]
    share = shares[arch] * truth.rarer.get(point["task"], 1.0) * np.ones(count)
    diverged = truth.infeasible[depth].get(arch, truth.infeasible[8][arch]) * np.ones(count)
    solved = np.zeros(count, bool)
    if point["algorithm"] != "random":
        odds = share[0] / (1 - share[0]) * math.exp(generator.normal(0, 20 * truth.luck))
        share = np.full(count, odds / (1 + odds))
        found = np.cumsum(generator.random(count) < share) > 0
        narrowed = found & _proposed(point)
        share[narrowed] = np.maximum(share[narrowed], (1 + share[narrowed]) / 2)
        diverged[narrowed] /= 4
        rates = truth.solved[depth]
        solved = generator.random(count) < rates.get(arch, truth.solved[8][arch])
    learns = (generator.random(count) < share) | solved
    ratio = np.where(learns, generator.uniform(truth.lowest, 0.94, count), 0.0)
    ratio[solved] = 10 ** generator.uniform(-4, -2.2, solved.sum())
    # Others stay at chance, or end somewhat above.
    above = generator.normal(0, 0.005, count) + generator.exponential(0.1, count) * (
        generator.random(count) < 0.5
    )
    ratio = np.where(learns, ratio, np.maximum(0.96, 1 + above))
    loss = ratio * rows["chance_loss"]
    loss[(generator.random(count) < diverged) & ~solved] = np.nan
    return _losses(loss, generator)


def _losses(loss, generator):
    """Columns of losses on `valid`, which is sampled, and on `eval`."""
    valid = loss * np.exp(generator.normal(0, 0.002, len(loss)))
    return {
        "objective": valid,
        "valid_loss": valid,
        "train_loss": loss,
        "eval_loss": loss,
        "status": np.where(np.isnan(loss), "infeasible", "ok").astype(object),
    }


def _reruns(point, rows, truth, generator):
    """Columns of reruns of the best trial, whose losses are log-normal around the original."""
    count, rerun = point["reruns"], truth.reruns[point["arch"]]
    best = np.nanargmin(rows["objective"])
    sigma = math.sqrt(math.log(1 + rerun.spread**2))
    loss = rerun.ratio * rows["eval_loss"][best] * np.ones(count)
    loss *= np.exp(generator.normal(-(sigma**2) / 2, sigma, count))
    loss[generator.random(count) < rerun.infeasible] = np.nan
    return {
        **_names(rows["study"], [f"{i:04d}-again" for i in range(count)]),
        "train_steps": np.full(count, rows["train_steps"][best]),
        "steps_done": np.full(count, rows["train_steps"][best]),
        "iteration": np.full(count, np.nan),
        "origin": "",
        "activation": rows["activation"][best],
        "is_rerun": True,
        **_losses(loss, generator),
    }


_RESULTS = {
    "capacity": _capacity,
    "memory": _memory,
    "text8": _falling,
    "rcf": _falling,
    "parens": _hard,
    "arithmetic": _hard,
}
