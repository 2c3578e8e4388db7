"""What a sweep will cost: from a short measurement here, a time for every study.

A training step's time is taken as

    seconds = a L + b W,   L = T depth (gates + 1),   W = 6 B T parameters,

a for starting the operations of a time step, b for the products' multiplications and additions
(2 a weight and time step, forward once, backward twice). Both follow from steps of the sweep's own
studies, the cheapest, the dearest and one between. Trials that diverge end sooner; the search's own
time, and what processes side by side take from one another, are not in it.
"""

import math
import time
from typing import NamedTuple

from rnn_zoo.architectures import ARCHITECTURES
from trainer.errors import UserError
from tuning.search import space
from tuning.study import places

#: Bytes that a finished trial leaves: its record, keras-tuner's file, TensorBoard's events.
TRIAL_BYTES = 20_000
#: Steps' worth of time that measuring a trained trial takes; its three splits go forward only.
EVALUATION_STEPS = 64
#: Seconds of timed training of each measured study.
SECONDS = 1.5


class Cost(NamedTuple):
    """Of one study.

    Attributes:
        units, num_params: of its networks.
        trials, steps: all its trials, reruns included, and their expected steps.
        seconds: on one core or GPU.
        disk: bytes.
    """

    units: int
    num_params: int
    trials: int
    steps: float
    seconds: float
    disk: float


def mean_steps(spec):
    """Expected steps of a trial: of a log-uniform law from a to b, (b - a) / ln(b / a)."""
    searched = space.narrow(space.space(spec.config), spec.study.ranges)
    law = next(each for each in searched if each.name == "train_steps")
    if law.low == law.high:
        return float(law.low)
    return (law.high - law.low) / math.log(law.high / law.low)


def features(spec):
    """(L, W) of a step."""
    config, num_steps = spec.config, spec.num_steps
    launches = num_steps * config.depth * (len(ARCHITECTURES[config.arch].gates) + 1)
    return launches, 6 * config.batch_size * num_steps * config.num_params


def work(spec):
    """A study's cost in a unit of its own, to weigh studies of a sweep against one another."""
    return spec.num_trainings * mean_steps(spec) * _weight(spec)


def _weight(spec):
    """About the seconds of a step, before anything is measured."""
    launches, products = features(spec)
    return 1e-6 * launches + 1e-11 * products


def measure(specs, lanes=None):
    """Trains some of the studies for a moment, in a process like those of a sweep.

    Returns:
        (a, b, seconds to compile a study's program).

    Raises:
        UserError: the machine cannot train them.
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
            f"{chosen[-1].name} cannot be measured: the process died; often that is want of memory"
        ) from None
    finally:
        process.kill()
        process.join()
        connection.close()
    seconds = np.array([step for step, _ in measured])
    rows = np.array([features(spec) for spec in chosen], dtype=float)
    # Relative errors count, so that the cheapest is met as well as the dearest.
    (a, b), _ = nnls(rows / seconds[:, None], np.ones(len(chosen)))
    return a, b, sum(compiling for _, compiling in measured) / len(measured)


def cost(spec, a, b, compiling):
    """The `Cost` of a study, from what `measure` gives."""
    from rnn_zoo.sizing import count_params

    config, task = spec.config, spec.config.make_task()
    units = config.units(task.input_dim, task.output_dim)
    trials = spec.num_trainings
    steps = trials * mean_steps(spec)
    launches, products = features(spec)
    per_step = a * launches + b * products
    num_params = count_params(config.arch, config.depth, units, task.input_dim, task.output_dim)
    return Cost(
        units,
        num_params,
        trials,
        steps,
        compiling + per_step * (steps + trials * EVALUATION_STEPS),
        TRIAL_BYTES * trials + 4 * num_params * min(spec.study.keep, spec.study.num_trials),
    )


def _measure(connection, specs, lanes):
    connection.send(("measured", [_time(spec, lanes) for spec in specs]))


def _time(spec, lanes):
    """(seconds of a step of one trial, seconds to compile) of a study."""
    from trainer.cli import main as cli

    cli.start_backend()
    import dataclasses

    from trainer.config import MAX_TRAIN_STEPS
    from trainer.lanes import Lanes
    from trainer.trial import Trial

    # A learning rate that does nothing: what is timed must not diverge.
    config = dataclasses.replace(spec.config, train_steps=MAX_TRAIN_STEPS, lr_init=1e-9)
    lanes = lanes or places.default_lanes(config, spec.num_steps)
    trials = [Trial(config) for _ in range(lanes)]
    training = Lanes(trials, lanes)
    began = time.perf_counter()
    training.advance()
    compiling = time.perf_counter() - began
    training.advance()
    began, before, elapsed = time.perf_counter(), int(training.steps[0]), 0.0
    while elapsed < SECONDS:
        training.advance(SECONDS)
        elapsed = time.perf_counter() - began
    return elapsed / (int(training.steps[0]) - before) / lanes, compiling
