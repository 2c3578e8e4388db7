"""Logs runs to Weights & Biases."""

import os
from typing import Any

from trainer.callbacks.base import (
    Callback,
    identifier,
    numbers_of,
    optional_package,
    outcome_of,
    results_of,
    settings_of,
)


class WandB(Callback):
    """Logs each run to Weights & Biases: settings, curves and results.

    A resumed run continues its run there, and the trials of a study are a group. With
    `WANDB_MODE=offline`, runs are written to `wandb/` for `wandb sync`.

    Args:
        project: the project; that of `WANDB_PROJECT`, or "rnn-zoo", if None.
        **options: further arguments of `wandb.init`.

    Raises:
        UserError: wandb is not installed.
    """

    service = "Weights & Biases"

    def __init__(self, project: str | None = None, **options: Any):
        self._wandb = optional_package("wandb")
        self._options = {"project": project or os.environ.get("WANDB_PROJECT", "rnn-zoo")} | options
        self._runs: dict[str, Any] = {}

    def on_start(self, info: dict[str, Any]) -> None:
        self._runs[info["run_id"]] = self._wandb.init(
            id=identifier(info),
            name=info["run_id"],
            group=info["study"],
            config=settings_of(info),
            resume="allow",
            reinit="create_new",  # the trials of a study train side by side
            **self._options,
        )

    def on_measure(self, row: dict[str, Any]) -> None:
        self._runs[row["run_id"]].log(numbers_of(row), step=row["step"])

    def on_end(self, record: dict[str, Any]) -> None:
        run = self._runs.pop(record["run_id"])
        run.summary.update(results_of(record) | outcome_of(record))
        run.finish()
