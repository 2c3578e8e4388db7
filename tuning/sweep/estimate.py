"""Estimate of a sweep's cost from a short measurement on this machine.

The time of a training step is that of `tuning.study.step_time`, whose a and b are fitted to
measured steps of the cheapest, the median and the most expensive study of each task. Little work is
not worth a measurement: its time is guessed. The estimate ignores the early end of diverging trials
except the IRNN's, the search's own time, and contention between processes.
"""

import math
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from typing import NamedTuple

from trainer.errors import UserError
from trainer.tasks.base import SPLITS
from tuning.search import ranges
from tuning.study import places, step_time
from tuning.study.schedule import default_initial_points
from tuning.sweep.config import Spec

#: Bytes on disk per finished trial: its record, keras-tuner's file, TensorBoard's events.
TRIAL_BYTES = 30_000
#: Cost of evaluating a trial on one split, or at one more length, in training steps.
EVALUATION_STEPS = 21
#: Seconds of timed training per measured study.
SECONDS = 1.5
#: Work below this number of seconds, as guessed, is not measured.
LITTLE = 60.0
#: (a, b, seconds to start and compile) that are used then.
GUESS = (step_time.LAUNCH, step_time.PRODUCT, 8.0)


#: Share of an architecture's random trials that diverge within their first steps: 323 of 600 IRNNs
#: in results/decide. Of the LSTM's first 121, none did.
DIVERGING = {"irnn": 0.54}


class Cost(NamedTuple):
    """Cost of a study.

    Attributes:
        units, num_params: size of its networks.
        runs: number of remaining trials and reruns.
        steps: expected training steps of all of these.
        seconds: time on one core or GPU.
        disk: bytes on disk.
    """

    units: int
    num_params: int
    runs: int
    steps: float
    seconds: float
    disk: float


def mean_steps(spec: Spec) -> float:
    """Return the expected steps of a trial, if these are searched from a to b.

    Random steps are log-uniform, with a mean of (b - a) / ln(b / a), but for the share `DIVERGING`
    of trials that end at once. A search proposes nearly b.
    """
    searched, study = ranges.of_ranges(spec.config, spec.study), spec.study
    steps = next(each for each in searched if each.name == "train_steps")
    low, high = steps.ends
    random = float(low) if low == high else (high - low) / math.log(high / low)
    if steps.choices:
        random = sum(steps.choices) / len(steps.choices)
    random *= 1 - DIVERGING.get(spec.config.arch, 0.0)
    if study.algorithm == "random":
        return random
    num_free = sum(each.fixed is None for each in searched)
    initial = study.initial_points or default_initial_points(study.num_trials, num_free)
    share = min(1.0, initial / study.num_trials)
    return share * random + (1 - share) * high


def work(spec: Spec) -> float:
    """Return the relative cost of a study, without a measurement."""
    return spec.num_runs * mean_steps(spec) * _weight(spec)


def chain(name: str, costs: Mapping[str, float], sources: Mapping[str, str]) -> float:
    """Return the cost of a study and of those that must be over before it begins.

    Args:
        name: the study.
        costs: study name -> cost of its remaining runs; studies that are over may be absent.
        sources: study name -> the study that it waits for.
    """
    before = chain(sources[name], costs, sources) if name in sources else 0.0
    return costs.get(name, 0.0) + before


def _weight(spec):
    return step_time.guess(spec.config, spec.num_steps)


def costs(
    specs: Sequence[Spec], runs: Mapping[str, int], lanes: int | None = None
) -> dict[str, Cost]:
    """Measure the cost of studies; each task is fitted separately.

    Args:
        specs: the studies.
        runs: study name -> number of trials and reruns.
        lanes: number of trials that each process trains at once.

    Returns:
        Study name -> cost, in the order of `specs`.
    """
    by_task: dict[str, list[Spec]] = {}
    for spec in specs:
        by_task.setdefault(spec.config.task, []).append(spec)
    is_little = not is_worth_measuring(specs, runs)
    found: dict[str, Cost] = {}
    for group in by_task.values():
        fitted = GUESS if is_little else measure(group, lanes)
        found |= {s.name: cost(s, *fitted, runs[s.name]) for s in group}
    return {spec.name: found[spec.name] for spec in specs}


def is_worth_measuring(specs: Sequence[Spec], runs: Mapping[str, int]) -> bool:
    """Return whether studies train for so long that a measurement pays; see `costs`."""
    return sum(runs[s.name] * mean_steps(s) * _weight(s) for s in specs) >= LITTLE


def measure(specs: Sequence[Spec], lanes: int | None = None) -> tuple[float, float, float]:
    """Time training steps of some studies, in a process like those of a sweep.

    Returns:
        (a, b, seconds to compile a study's program).

    Raises:
        UserError: this machine cannot train them.
    """
    import numpy as np
    from scipy.optimize import nnls

    chosen = sorted(specs, key=_weight)
    chosen = [chosen[i] for i in sorted({0, len(chosen) // 2, len(chosen) - 1})]
    process, connection = places.start(
        places.places(places.default_workers())[0], _measure, chosen, lanes
    )
    try:
        _, measured = places.receive(connection)
    except EOFError:
        raise UserError(
            f"{chosen[-1].name} cannot be measured: its process died; usually out of memory"
        ) from None
    finally:
        process.kill()
        process.join()
        connection.close()
    seconds = np.array([step for step, _ in measured])
    rows = np.array(
        [step_time.features(spec.config, spec.num_steps) for spec in chosen], dtype=float
    )
    # Relative errors, so that cheap studies are fitted as well as expensive ones.
    (a, b), _ = nnls(rows / seconds[:, None], np.ones(len(chosen)))
    return a, b, sum(compiling for _, compiling in measured) / len(measured)


def cost(spec: Spec, a: float, b: float, compiling: float, runs: int) -> Cost:
    """Return the cost of trials and reruns of a study, from the results of `measure`."""
    from rnn_zoo.sizing import count_params

    config, task = spec.config, spec.config.make_task()
    units = config.units(task.input_dim, task.output_dim)
    steps = runs * mean_steps(spec)
    launches, products = step_time.features(config, spec.num_steps)
    per_step = a * launches + b * products
    evaluations = len(SPLITS) + sum(multiple > 1 for multiple in config.eval_lengths)
    num_params = count_params(config.arch, config.depth, units, task.input_dim, task.output_dim)
    return Cost(
        units,
        num_params,
        runs,
        steps,
        compiling + per_step * (steps + runs * evaluations * EVALUATION_STEPS),
        TRIAL_BYTES * runs + 4 * num_params * min(spec.study.keep, runs),
    )


def _measure(connection: Connection, specs: Sequence[Spec], lanes: int | None) -> None:
    connection.send(("measured", [_time(spec, lanes) for spec in specs]))


def _time(spec, lanes):
    """Return (seconds per training step of one trial, seconds to compile) of a study."""
    from trainer.cli import main as cli

    cli.start_backend()
    import dataclasses

    from trainer.config import MAX_TRAIN_STEPS
    from trainer.lanes import Lanes
    from trainer.trial import Trial

    # Little input and a negligible learning rate, so that training does not diverge while it is
    # timed: at their defaults, some cells do in the first step.
    calm = {"lr_init": 1e-9, "input_scale": 1e-3}
    config = dataclasses.replace(spec.config, train_steps=MAX_TRAIN_STEPS, **calm)
    lanes = lanes or places.default_lanes(config, spec.num_steps)
    trials = [Trial(config) for _ in range(lanes)]
    training = Lanes(trials, lanes)
    # Processor time, which other processes on the machine do not affect; a GPU has none.
    clock = time.perf_counter if places.gpus() else time.process_time
    began = clock()
    training.advance()
    compiling = clock() - began
    training.advance()
    began, before, elapsed = clock(), int(training.steps[0]), 0.0
    while elapsed < SECONDS:
        training.advance(SECONDS)
        elapsed = clock() - began
    steps = int(training.steps[0]) - before
    if not steps:
        raise UserError(f"{spec.name} cannot be measured: it diverges with its initial weights")
    return elapsed / steps / lanes, compiling
