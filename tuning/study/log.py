"""`trials.jsonl`: a line a finished trial, each there in full or not at all."""

import contextlib
import dataclasses
import errno
import json
import os
import pathlib

from trainer.config import TrainConfig
from trainer.storage.files import whole
from trainer.storage.records import RunDirectory, RunRecord

#: Log of a study's reruns, in its directory.
RERUNS = "reruns.jsonl"


class TrialLog:
    """Finished trials in the order in which they ended.

    A line that was cut short, by a kill or a full disk, is taken out when the file is opened: the
    file as it was found is set aside, and `problem` says so.

    Args:
        path: of the file; it need not exist.

    Attributes:
        records: dict from run id to `RunRecord`.
        problem: what was wrong with the file, as a sentence, or None.
    """

    def __init__(self, path):
        self.path, self.problem = pathlib.Path(path), None
        self.records, bad = read(self.path)
        if bad:
            aside = _free_name(self.path)
            os.link(self.path, aside)  # a second name, so that there is a log at every moment
            with whole(self.path, "w") as file:
                file.writelines(map(_line, self.records.values()))
            self.problem = (
                f"{self.path} has {bad} damaged line{'s'[: bad > 1]}; it is set aside as "
                f"{aside.name}, and what was lost runs again"
            )

    def append(self, record):
        """Adds a finished trial; once this returns, no crash loses it.

        Raises:
            OSError: the disk is full, or the like; the file is as it was.
        """
        line = _line(record).encode()
        # Without a buffer, which would be written out after all when the file is closed.
        with open(self.path, "ab", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            try:
                if file.write(line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file.fileno())
            except OSError as error:
                with contextlib.suppress(OSError):
                    os.truncate(self.path, size)
                raise OSError(error.errno, error.strerror, str(self.path)) from None
        self.records[record.run_id] = record


def read(path):
    """The records of a log that another process may be writing.

    Returns:
        (dict from run id to `RunRecord`, number of lines that are not records).
    """
    records, bad = {}, 0
    try:
        lines = pathlib.Path(path).read_bytes().split(b"\n")
    except FileNotFoundError:
        return {}, 0
    for line in filter(None, lines):
        try:
            record = RunRecord(**json.loads(line))
        except (ValueError, TypeError):
            bad += 1
        else:
            records.setdefault(record.run_id, record)
    if lines[-1]:
        # A last line without its end may look whole, and be followed by the next.
        bad = max(bad, 1)
    return records, bad


def ranked(records):
    """The feasible ones of some records, the best first."""
    feasible = [record for record in records if record.objective is not None]
    return sorted(feasible, key=rank)


def rank(record):
    """What feasible records are sorted by: the objective, and the id among equals."""
    return record.objective, record.run_id


def write_run(path, record, weights):
    """Makes a directory that of a run, with a trial's last weights as its checkpoint."""
    import numpy as np

    from trainer.storage import checkpoints

    run = RunDirectory(path)
    config = TrainConfig(**record.config).as_gin()
    run.create(record, dict.fromkeys(("config.gin", "operative_config.gin"), config))
    state = {"weights": weights, "step": np.int32(record.steps_done)}
    checkpoints.write(run.checkpoints, state)


def _line(record):
    return json.dumps(dataclasses.asdict(record), allow_nan=False) + "\n"


def _free_name(path):
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    return aside
