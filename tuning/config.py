"""Configuration of a study, read from gin files and flags."""

import dataclasses
import hashlib
import math
from collections.abc import Mapping
from typing import Any

from trainer import names
from trainer.cli import gin_files
from trainer.config import check_choice, check_range
from trainer.errors import UserError
from tuning.search.algorithms import ALGORITHMS
from tuning.search.hyperparameter import from_json, to_json
from tuning.study.pruning import RULES

EARLY_STOPPING = ("none", *RULES)
#: Upper limit of num_trials. It fixes the number of digits of trial ids, so that studies can grow.
MAX_TRIALS = 99_999
#: Upper limit of `batch`: two batches are proposed before the first trial trains.
MAX_BATCH = 256
#: Upper limit of the reruns of one study.
MAX_RERUNS = 100_000


@dataclasses.dataclass(frozen=True)
class StudyConfig:
    """The search of a study.

    Attributes:
        num_trials: number of trials; a study can be extended later.
        algorithm: "gp" (batched expected improvement, as in the paper), "random", "keras_tuner"
            (its Bayesian optimisation) or "optuna" (its GPSampler).
        seed: seed of the search. If None, it follows from the study's name, so that studies differ.
            All trials share the seed of the `TrainConfig` (appendix A).
        ranges: ranges by hyperparameter, which may be narrower or wider than the paper's: a tuple
            (low, high) or (low, high, "log") for an interval, a list for choices, numbers or
            strings, or one value. They may also name `batch_size`, `depth` and options of the
            task, the cell and the optimizer. The commands
            also fix each hyperparameter that the user sets in the `TrainConfig` (by flag, binding,
            gin file or grid) at its value; see `tuning.search.ranges.hold`.
        batch: number of trials proposed together. Batch k is proposed once the results of batches
            0 to k - 2 are known, so the trials do not depend on the number of workers. If None, it
            follows from the size of the study and the number of trials that train at once when it
            begins; see `tuning.study.schedule.default_batch`. Set it to get the same trials on
            machines with other numbers of cores. At most 256, because two batches are proposed
            before the first trial trains.
        initial_points: number of trials that are proposed before the search chooses any, at random
            but for `first`. The results of some of them are not known by then, as `batch`
            describes; at least two must be, so with 2 initial points in batches of 1, the first
            three trials are random. The searches of Optuna and keras-tuner wait for as many results
            instead. If None, it follows from the sizes of the study and of the space; see
            `tuning.study.schedule.default_initial_points`.
        early_stopping: "none"; "median" to prune a trial whose training loss after a quarter, a
            half or three quarters of its steps is above the median of earlier trials; or "halving"
            to prune a trial that is not among the best third of them after 1, 3 or 9 twentieths of
            its steps. See `tuning.study.pruning`.
        first: hyperparameters of the first trial: "config" for those of the `TrainConfig`, clipped
            to the ranges; a dict from name to value, completed from the `TrainConfig`; None to let
            the search choose.
        keep: number of best trials whose weights are kept.

    Raises:
        UserError: a value is invalid; the message names it and the choices.
    """

    num_trials: int = 60
    algorithm: str = "gp"
    seed: int | None = None
    ranges: dict = dataclasses.field(default_factory=dict)
    batch: int | None = None
    initial_points: int | None = None
    early_stopping: str = "none"
    first: dict | str | None = None
    keep: int = 5

    def __post_init__(self):
        check_choice("algorithm", self.algorithm, ALGORITHMS)
        check_choice("early_stopping", self.early_stopping, EARLY_STOPPING)
        check_range("num_trials", self.num_trials, 1, MAX_TRIALS, whole=True)
        check_range("keep", self.keep, 1, math.inf, whole=True)
        if self.seed is not None:
            check_range("StudyConfig.seed", self.seed, 0, 2**31 - 1, whole=True)
        for name, most in (("batch", MAX_BATCH), ("initial_points", math.inf)):
            if getattr(self, name) is not None:
                check_range(name, getattr(self, name), 1, most, whole=True)
        if not isinstance(self.ranges, dict):
            raise UserError(f"ranges must be a dict from name to range, got {self.ranges!r}")
        if not (self.first in (None, "config") or isinstance(self.first, dict)):
            raise UserError(f"first must be 'config' or a dict from name to value: {self.first!r}")
        first = self.first if isinstance(self.first, dict) else {}
        for name in (*self.ranges, *first):
            if not isinstance(name, str):
                raise UserError(f"ranges and first have names of hyperparameters, not {name!r}")

    def to_json(self) -> dict[str, Any]:
        """Return the fields in a form that JSON keeps; see `from_json`."""
        own = {name: to_json(wanted) for name, wanted in self.ranges.items()}
        return dataclasses.asdict(self) | {"ranges": own}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "StudyConfig":
        """Make a configuration from the fields that `to_json` returns."""
        stored = values.get("ranges")
        if isinstance(stored, dict):
            own = {name: from_json(each) for name, each in stored.items()}
            values = {**values, "ranges": own}
        return cls(**values)


def seed_of(name: str) -> int:
    """Return a seed from 0 to 2^31 - 1 that depends on a study's name alone.

    Unlike `hash`, it is the same in every process and on every machine.
    """
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") >> 1


gin_files.configurable(StudyConfig)


def study_config(parsed: gin_files.Parsed, flags: Mapping[str, Any]) -> StudyConfig:
    """Build the `StudyConfig` that gin files and bindings set, after importing what they name.

    Args:
        parsed: the parsed files and bindings.
        flags: values by field, which override these; None if not set.

    Raises:
        UserError: an unknown name or an invalid value.
    """
    bound = parsed.others[StudyConfig.__name__]
    names.load_named(bound)
    return StudyConfig(**bound | {n: v for n, v in flags.items() if v is not None})
