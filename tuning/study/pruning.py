"""Early stopping: the training losses above which a trial is pruned.

At a few fractions of its steps, the rungs, a trial is compared with earlier trials. The losses are
means over the twentieth of the steps that ends at the rung. Earlier trials that diverged or were
pruned before a rung are left out there.

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
from trainer.tasks import TASKS
from trainer.windows import CURVE_POINTS

#: Halving continues one in `ETA` trials at each rung.
ETA = 3


class Rule(NamedTuple):
    """A rule of early stopping.

    Attributes:
        rungs: shares of a trial's steps at which it is compared.
        fewest: minimum number of earlier trials for a comparison.
        limit: maps the sorted losses of earlier trials to the largest loss that continues.
    """

    rungs: tuple[float, ...]
    fewest: int
    limit: Callable[[Sequence[float]], float]


def best_share(losses: Sequence[float]) -> float:
    """Return the largest loss with which a new trial ranks in the best third, itself included.

    Args:
        losses: losses of earlier trials in ascending order, `ETA` - 1 or more.

    Example:
        best_share([1.0, 2.0, 3.0]) == 1.0, best_share([1.0, 2.0, 3.0, 4.0, 5.0]) == 2.0
    """
    return losses[(len(losses) + 1) // ETA - 1]


#: "median" prunes trials above the median. "halving" is the stopping form of ASHA (Li et al. 2020,
#: A system for massively parallel hyperparameter tuning): the best third of the trials continues
#: at each rung, and rungs grow by a factor of `ETA` from a twentieth of the steps.
RULES = {
    "median": Rule((0.25, 0.5, 0.75), 5, statistics.median),
    "halving": Rule((1 / 20, ETA / 20, ETA**2 / 20), ETA, best_share),
}


def pruning_limits(
    rule: str, records: Sequence[RunRecord], config: TrainConfig
) -> dict[float, float]:
    """Return the losses above which a trial is pruned, by fraction of its steps.

    Trials of fewer than 20 steps are neither pruned nor used for comparison.

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
    """Return a score that is comparable between trials; lower is better."""
    if config["task"] != "capacity":
        return loss
    return -_num_samples(config) * (1 - loss / math.log(2))


def _loss(config: TrainConfig, comparable: float) -> float:
    """Return the loss at which a trial has a comparable score; the inverse of `_comparable`."""
    if config.task != "capacity":
        return comparable
    return math.log(2) * (1 + comparable / _num_samples(vars(config)))


def _num_samples(config):
    return (TASKS["capacity"].default_options() | config["task_options"])["num_samples"]
