"""Writes TensorBoard scalars without TensorFlow, and without a thread that a full disk can hang."""

import os
import time
from collections.abc import Mapping

from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import RecordWriter
from tensorboardX.summary import hparams


class Events:
    """An event file for the part of a run that one process trains.

    Args:
        directory: TensorBoard's log directory.
        first_step: first step of this part. TensorBoard drops the points of earlier parts from this
            step on.
    """

    def __init__(self, directory: str | os.PathLike, first_step: int):
        os.makedirs(directory, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time())}.{os.getpid()}"
        self._writer = RecordWriter(os.path.join(directory, name))
        self._write(Event(file_version="brain.Event:2"))
        start = SessionLog(status=SessionLog.SessionStatus.Value("START"))
        self._write(Event(step=first_step, session_log=start))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Adds a point to each named curve."""
        summary = Summary(
            value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        )
        self._write(Event(step=step, summary=summary))

    def hparams(self, values: Mapping[str, float | str], results: Mapping[str, float]) -> None:
        """Adds a row to the HParams page.

        Args:
            values: hyperparameter -> number or text.
            results: name -> number; write the same names with `scalars` too.
        """
        for summary in hparams(values, results):
            self._write(Event(summary=summary))

    def close(self) -> None:
        self._writer.close()

    def _write(self, event):
        event.wall_time = time.time()
        self._writer.write(event.SerializeToString())
        self._writer.flush()
