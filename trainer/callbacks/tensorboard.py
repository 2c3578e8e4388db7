"""Writes TensorBoard's files without TensorFlow, and without a thread that a full disk can hang."""

import os
import time
from collections.abc import Mapping
from typing import Any

from trainer import lean
from trainer.callbacks.base import Callback, Scalar, numbers_of, results_of, settings_of

with lean.without("torch"):
    from tensorboardX.proto.event_pb2 import Event, SessionLog
    from tensorboardX.proto.summary_pb2 import Summary
    from tensorboardX.record_writer import RecordWriter
    from tensorboardX.summary import hparams


class TensorBoard(Callback):
    """Writes curves and a row of the HParams page to `events/` in each run's directory.

    Runs without a directory are left out.
    """

    def __init__(self) -> None:
        self._open: dict[str, tuple[Events, dict[str, Scalar]]] = {}

    def on_start(self, info: dict[str, Any]) -> None:
        if info["run_dir"] is None:
            return
        events = Events(os.path.join(info["run_dir"], "events"), info["first_step"] + 1)
        self._open[info["run_id"]] = events, settings_of(info)

    def on_measure(self, row: dict[str, Any]) -> None:
        if row["run_id"] in self._open:
            events, _ = self._open[row["run_id"]]
            events.scalars(row["step"], numbers_of(row))

    def on_end(self, record: dict[str, Any]) -> None:
        if record["run_id"] not in self._open:
            return
        events, settings = self._open.pop(record["run_id"])
        if record["status"] != "interrupted":
            events.hparams(settings)
            events.scalars(record["steps_done"], results_of(record))
        events.close()


class Events:
    """An event file for the part of a run that one process trains.

    Args:
        directory: TensorBoard's log directory.
        first_step: least step of a point of this part. TensorBoard drops the points of earlier
            parts from this step on.
    """

    def __init__(self, directory: str | os.PathLike, first_step: int):
        os.makedirs(directory, exist_ok=True)
        name = f"events.out.tfevents.{time.time():.6f}.{os.getpid()}"
        self._writer = RecordWriter(os.path.join(directory, name))
        self._write(Event(file_version="brain.Event:2"))
        start = SessionLog(status=SessionLog.SessionStatus.Value("START"))
        self._write(Event(step=first_step, session_log=start))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each named curve."""
        summary = Summary(
            value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        )
        self._write(Event(step=step, summary=summary))

    def hparams(self, values: Mapping[str, Scalar]) -> None:
        """Add a row to the HParams page, whose results are the last points of the curves.

        Args:
            values: setting -> number or text.
        """
        # A list of columns would hide those of other architectures: TensorBoard reads only one.
        _, start, end = hparams(values, {})
        for summary in (start, end):
            self._write(Event(summary=summary))

    def close(self) -> None:
        self._writer.close()

    def _write(self, event):
        event.wall_time = time.time()
        self._writer.write(event.SerializeToString())
        self._writer.flush()
