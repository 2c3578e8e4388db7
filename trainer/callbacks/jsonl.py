"""Writes what happens in a run to a file, a line of JSON per event."""

import os
import pathlib
from typing import Any

from trainer.callbacks.base import Callback
from trainer.storage import json_files
from trainer.storage.files import open_to_append


class JsonLines(Callback):
    """Appends each event to a file: `{"event": "start" | "measure" | "end", "run_id": ...}`.

    A resumed run has another "start": its measurements replace earlier ones after `first_step`.

    Args:
        path: a file for all runs; if None, `log.jsonl` in each run's directory.
    """

    def __init__(self, path: str | os.PathLike | None = None):
        self._path = path
        self._paths: dict[str, pathlib.Path] = {}

    def on_start(self, info: dict[str, Any]) -> None:
        path = self._path or (info["run_dir"] and pathlib.Path(info["run_dir"], "log.jsonl"))
        if path:
            self._paths[info["run_id"]] = pathlib.Path(path)
        self._write("start", info)

    def on_measure(self, row: dict[str, Any]) -> None:
        self._write("measure", row)

    def on_end(self, record: dict[str, Any]) -> None:
        self._write("end", record)
        self._paths.pop(record["run_id"], None)

    def _write(self, event, values):
        path = self._paths.get(values["run_id"])
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        # A path of the user's own may be a link or a pipe.
        with open(path, "a") if self._path else open_to_append(path) as file:
            file.write(json_files.dumps({"event": event} | values, allow_nan=True) + "\n")
