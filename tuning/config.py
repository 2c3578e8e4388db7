"""The configuration of a study, and what `python -m tuning` makes of gin files and flags."""

import dataclasses
import math

import gin

from trainer.cli import gin_files
from trainer.config import check_choice, check_range
from trainer.errors import UserError
from tuning.search.algorithms import ALGORITHMS

EARLY_STOPPING = ("none", "median")
#: Trial ids have the digits of this many, so that a study can grow.
MAX_TRIALS = 99_999


@dataclasses.dataclass(frozen=True)
class StudyConfig:
    """What decides which trials a study makes, beside the `TrainConfig` that they vary.

    Attributes:
        num_trials: how many; a study can be continued to more.
        algorithm: "gp" (the paper's batched expected improvement), "random", "keras_tuner" (its own
            Bayesian optimisation) or "optuna" (its GPSampler).
        seed: of the search. Trials have the seed of `TrainConfig`, all the same one (appendix A).
        ranges: dict from a hyperparameter to (low, high), to a list of choices or to one value.
        batch: how many trials are proposed together; each batch knows the results of all but the
            batch before it, which is pending meanwhile, so that the trials of a study are the same
            however many workers train them. None: as many as train at once, at least 4.
        early_stopping: "median" gives a trial up that after a quarter, a half or three quarters of
            its steps has a larger training loss than half of the earlier ones had there.
        first: the hyperparameters of the first trial: a dict in the names of the space; "config"
            for those that the `TrainConfig` has, which may be a preset's, with numbers outside the
            ranges at their nearer end; None to leave it to the search.
        keep: number of best trials whose weights are kept.

    Raises:
        UserError: a value that cannot be; the message names it and the choices.
    """

    num_trials: int = 60
    algorithm: str = "gp"
    seed: int = 0
    ranges: dict = dataclasses.field(default_factory=dict)
    batch: int | None = None
    early_stopping: str = "none"
    first: dict | str | None = None
    keep: int = 5

    def __post_init__(self):
        check_choice("algorithm", self.algorithm, ALGORITHMS)
        check_choice("early_stopping", self.early_stopping, EARLY_STOPPING)
        check_range("num_trials", self.num_trials, 1, MAX_TRIALS, whole=True)
        check_range("keep", self.keep, 1, math.inf, whole=True)
        check_range("StudyConfig.seed", self.seed, 0, 2**31 - 1, whole=True)
        if self.batch is not None:
            check_range("batch", self.batch, 1, math.inf, whole=True)
        if not isinstance(self.ranges, dict):
            raise UserError(f"ranges must be a dict from name to range, got {self.ranges!r}")
        if not (self.first in (None, "config") or isinstance(self.first, dict)):
            raise UserError(f"first must be 'config' or a dict from name to value: {self.first!r}")


_CONFIGURABLE = gin.external_configurable(StudyConfig, "StudyConfig")


def study_config(flags):
    """The study's part of what gin has parsed, flags last.

    Args:
        flags: dict from `StudyConfig` field to value; what is None was not given.
    """
    configured = gin_files.construct(_CONFIGURABLE)
    fields = {f.name: getattr(configured, f.name) for f in dataclasses.fields(configured)}
    return StudyConfig(**fields | {n: v for n, v in flags.items() if v is not None})
