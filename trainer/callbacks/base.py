"""The protocol of callbacks, and the parts that the adapters share."""

import hashlib
import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from trainer.errors import extra
from trainer.storage.differences import flat

Scalar = bool | int | float | str


class Callback:
    """Base class of callbacks, which are called while runs train; its methods do nothing.

    Attributes:
        service: name of the service that an adapter logs to, whose errors are then one line; None
            for other callbacks, whose errors have a traceback.

    The trials of a study train side by side, so calls for different runs alternate. Every dict has
    the `run_id` of its run.

    An exception stops the run, after a checkpoint, or the study, which keeps its finished trials.
    It is then raised, and the run or study can be continued. `on_end` is not called for a run that
    is killed or fails with an error.

    Example:
        class Best(trainer.Callback):
            def on_measure(self, row):
                if row.get("valid_loss", 1) < 0.1:
                    print(row["run_id"], "learned it within", row["step"], "steps")


        trainer.train(config, callbacks=["tensorboard", Best()])
    """

    service: str | None = None

    def on_start(self, info: dict[str, Any]) -> None:
        """Called before a run trains, again when it is resumed.

        Args:
            info: the fields of `RunRecord`, and `run_dir` (None if the run has no directory),
                `study` (its name; None outside a study) and `first_step` (0 unless resumed).
        """

    def on_measure(self, row: dict[str, Any]) -> None:
        """Called after each hundredth of the steps.

        Args:
            row: `run_id`, `step`, `train_loss` (mean of the steps since the last measurement) and
                the `learning_rate` of this step. Runs outside a study also have its `gradient_norm`
                and, after each tenth, the metrics of the split valid, such as `valid_loss`.
        """

    def on_end(self, record: dict[str, Any]) -> None:
        """Called after the last step.

        In a study, the trial's record is written before. That of a run is written after it, so that
        `--resume` calls this again if it failed.

        Args:
            record: the fields of `RunRecord`; the status is "ok", "infeasible" or "interrupted".
        """


def settings_of(info: Mapping[str, Any]) -> dict[str, Scalar]:
    """Return task, architecture, size and hyperparameters of a run, as numbers and texts."""
    names = ("task", "arch", "depth", "units", "num_params", "seed")
    values = {name: info[name] for name in names} | flat(info["hparams"])
    return {
        name: value if isinstance(value, Scalar) else str(value) for name, value in values.items()
    }


def numbers_of(row: Mapping[str, Any]) -> dict[str, float]:
    """Return the measured values of a row."""
    return {name: value for name, value in row.items() if isinstance(value, float)}


def results_of(record: Mapping[str, Any]) -> dict[str, float]:
    """Return the objective and the loss on the split eval, unless the run diverged."""
    names = ("objective", "eval_loss")
    return {name: record[name] for name in names if record[name] is not None}


def outcome_of(record: Mapping[str, Any]) -> dict[str, str]:
    """Return the status, and whether a study stopped the trial early."""
    names = ("status", "stopped_early")
    return {name: str(record[name]) for name in names}


def identifier(info: Mapping[str, Any]) -> str:
    """Return 16 characters that a resumed run keeps, and no other run has."""
    names = ("host", "study", "run_id", "date", "seed", "hparams")
    return hashlib.sha256(repr([info[name] for name in names]).encode()).hexdigest()[:16]


def optional_package(name: str) -> ModuleType:
    """Import a package that is an extra of the project.

    Raises:
        UserError: it is not installed.
    """
    with extra(name, f"the callback {name}"):
        return importlib.import_module(name)
