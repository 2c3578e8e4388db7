"""Logs runs to MLflow."""

import os
import time
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

#: Tag that a resumed run is found by.
_ID = "rnn_zoo_id"


class MLflow(Callback):
    """Logs each run to MLflow: settings, curves and results.

    A resumed run continues its run there. Runs have the tags `study` and `status`.

    Args:
        experiment: name of the experiment; that of `MLFLOW_EXPERIMENT_NAME`, or "rnn-zoo", if None.
        tracking_uri: the server or file; that of `MLFLOW_TRACKING_URI`, or MLflow's default, if
            None.

    Raises:
        UserError: mlflow is not installed.
    """

    service = "MLflow"

    def __init__(self, experiment: str | None = None, tracking_uri: str | None = None):
        self._mlflow = optional_package("mlflow")
        self._client = self._mlflow.MlflowClient(tracking_uri)
        self._name = experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME", "rnn-zoo")
        self._runs: dict[str, str] = {}
        self._logged: dict[str, int] = {}  # last step, if a run continues after a kill

    def on_start(self, info: dict[str, Any]) -> None:
        client, experiment = self._client, self._experiment()
        tags = {_ID: identifier(info), "study": info["study"] or ""}
        same = client.search_runs([experiment], f"tags.{_ID} = '{tags[_ID]}'", max_results=1)
        run = same[0] if same else client.create_run(experiment, tags=tags, run_name=info["run_id"])
        self._runs[info["run_id"]] = run.info.run_id
        self._logged[info["run_id"]] = 0
        if same:
            client.update_run(run.info.run_id, "RUNNING")
            known = client.get_metric_history(run.info.run_id, "train_loss")
            self._logged[info["run_id"]] = max((each.step for each in known), default=0)
            return
        entity = self._mlflow.entities.Param
        params = [entity(name, str(value)) for name, value in settings_of(info).items()]
        client.log_batch(run.info.run_id, params=params)

    def on_measure(self, row: dict[str, Any]) -> None:
        if row["step"] > self._logged[row["run_id"]]:
            self._log(row, numbers_of(row), row["step"])

    def on_end(self, record: dict[str, Any]) -> None:
        self._log(record, results_of(record), record["steps_done"])
        run = self._runs.pop(record["run_id"])
        for name, value in outcome_of(record).items():
            self._client.set_tag(run, name, value)
        is_over = record["status"] != "interrupted"
        self._client.set_terminated(run, "FINISHED" if is_over else "KILLED")

    def _experiment(self):
        """Return the id of the experiment, which is made on first use."""
        found = self._client.get_experiment_by_name(self._name)
        return found.experiment_id if found else self._client.create_experiment(self._name)

    def _log(self, source, values, step):
        now, entity = int(time.time() * 1000), self._mlflow.entities.Metric
        metrics = [entity(name, value, now, step) for name, value in values.items()]
        self._client.log_batch(self._runs[source["run_id"]], metrics=metrics)
