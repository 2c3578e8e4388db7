"""Early stopping: the training losses above which a trial is pruned.

A trial is compared with earlier ones at a few shares of its own steps, the rungs. The losses are
means over the twentieth of the steps that ends at the rung. Trials that diverged or were pruned
before a rung are not compared there.

Cross-entropies of the capacity task are not comparable while the number of samples b is tuned: a
small data set has a low loss because there is little to store. There, trials are compared by the
estimate b (1 - loss / ln 2) of the stored bits, a lower bound on the mutual information of labels
and predictions.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from trainer.config import TrainConfig
from trainer.storage.records import RunRecord

CURVE_POINTS = 20
#: Halving continues one of so many trials at each rung.
ETA = 3


class Rule(NamedTuple):
    """A rule of early stopping.

    Attributes:
        rungs: shares of a trial's steps at which it is compared.
        fewest: number of earlier trials that a comparison needs.
        limit: returns the largest loss at which a trial continues, from sorted earlier ones.
    """

    rungs: tuple[float, ...]
    fewest: int
    limit: Callable[[Sequence[float]], float]


def best_share(losses: Sequence[float]) -> float:
    """Returns the largest loss that is among the best third of the losses and itself.

    Args:
        losses: at least `ETA` losses in ascending order.

    Example:
        best_share([1.0, 2.0, 3.0]) == 1.0, best_share([1.0, 2.0, 3.0, 4.0, 5.0]) == 2.0
    """
    return losses[(len(losses) + 1) // ETA - 1]


#: "median" prunes trials above the median. "halving" is the stopping form of ASHA (Li et al. 2020,
#: A system for massively parallel hyperparameter tuning): rungs that grow by `ETA`, from the first
#: twentieth of the steps, and the best third of the trials at each.
RULES = {
    "median": Rule((0.25, 0.5, 0.75), 5, statistics.median),
    "halving": Rule((1 / 20, ETA / 20, ETA**2 / 20), ETA, best_share),
}


def pruning_limits(
    rule: str, records: Sequence[RunRecord], config: TrainConfig
) -> dict[float, float]:
    """Returns the losses above which a trial is pruned, by share of its steps.

    Trainings of fewer than 20 steps are neither pruned nor compared with.

    Args:
        rule: a key of `RULES`.
        records: the trials to compare with.
        config: the configuration of the trial.
    """
    rungs, fewest, limit = RULES[rule]
    whole = [record for record in records if record.train_steps >= CURVE_POINTS]
    limits = {}
    for share in rungs if config.train_steps >= CURVE_POINTS else ():
        point = round(share * CURVE_POINTS)
        reached = [record for record in whole if len(record.curve) >= point]
        losses = sorted(_comparable(each.config, each.curve[point - 1]) for each in reached)
        if len(losses) >= fewest:
            limits[share] = _loss(config, limit(losses))
    return limits


def _comparable(config: dict[str, Any], loss: float) -> float:
    """Returns a number by which a trial's loss can be compared; lower is better."""
    if config["task"] != "capacity":
        return loss
    return -config["task_options"]["num_samples"] * (1 - loss / math.log(2))


def _loss(config: TrainConfig, comparable: float) -> float:
    """Returns the loss that a trial has at a comparable number; the inverse of `_comparable`."""
    if config.task != "capacity":
        return comparable
    return math.log(2) * (1 + comparable / config.task_options["num_samples"])
