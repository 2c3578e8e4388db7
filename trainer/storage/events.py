"""TensorBoard scalars without TensorFlow, written at once: no thread for a full disk to hang."""

import os
import time

from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import RecordWriter
from tensorboardX.summary import hparams


class Events:
    """An event file of one process's part of a run.

    Args:
        directory: TensorBoard's log directory.
        first_step: where this part begins; TensorBoard drops what an earlier part wrote from there.
    """

    def __init__(self, directory, first_step):
        os.makedirs(directory, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time())}.{os.getpid()}"
        self._writer = RecordWriter(os.path.join(directory, name))
        self._write(Event(file_version="brain.Event:2"))
        start = SessionLog(status=SessionLog.SessionStatus.Value("START"))
        self._write(Event(step=first_step, session_log=start))

    def scalars(self, step, values):
        """Adds a point to each named curve."""
        summary = Summary(
            value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        )
        self._write(Event(step=step, summary=summary))

    def hparams(self, values, results):
        """Adds the whole part as a row of the HParams page.

        Args:
            values: dict from hyperparameter to number or text.
            results: dict from name to number; their points come by `scalars`.
        """
        for summary in hparams(values, results):
            self._write(Event(summary=summary))

    def close(self):
        self._writer.close()

    def _write(self, event):
        event.wall_time = time.time()
        self._writer.write(event.SerializeToString())
        self._writer.flush()
