"""`trials.jsonl`: one line per finished trial, each written in full or not at all.

Logs are meant to be published, so they leave out machines and command lines. Those are in the
`record.json` of the best trials.
"""

import contextlib
import dataclasses
import errno
import json
import os
import pathlib
from collections.abc import Iterable
from typing import Any

from trainer.config import TrainConfig
from trainer.display.words import count
from trainer.storage.files import whole
from trainer.storage.records import PRIVATE, RunDirectory, RunRecord

#: File names of the logs of a study's reruns, and of trainings of given hyperparameters.
RERUNS, GIVEN = "reruns.jsonl", "given.jsonl"


class TrialLog:
    """Log of finished trials, in the order in which they ended.

    A line that was truncated by a kill or a full disk is dropped when the file is opened; the
    damaged file is kept under another name, and `problem` says so.

    Args:
        path: the file, which need not exist.

    Attributes:
        records: finished trials by id.
        problem: what was wrong with the file, as a sentence, or None.
    """

    def __init__(self, path: str | pathlib.Path):
        self.path = pathlib.Path(path)
        self.problem: str | None = None
        self.records, bad = read(self.path)
        if bad:
            aside = _free_name(self.path)
            # A link rather than a rename, so that the log exists at all times.
            os.link(self.path, aside)
            with whole(self.path, "w") as file:
                file.writelines(map(_line, self.records.values()))
            self.problem = (
                f"{self.path} has {count(bad, 'damaged line')}; it is kept as "
                f"{aside.name}, and the lost trials run again"
            )

    def append(self, record: RunRecord) -> None:
        """Appends a finished trial durably.

        Raises:
            OSError: it cannot be written, for example on a full disk; the file is unchanged.
        """
        line = _line(record).encode()
        # Unbuffered, so that closing the file does not retry a failed write.
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


def read(path: str | pathlib.Path) -> tuple[dict[str, RunRecord], int]:
    """Reads a log that another process may be writing.

    Returns:
        (records by run id, number of lines that are not records).
    """
    records: dict[str, RunRecord] = {}
    bad = 0
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
        # A last line without its newline may parse, but the next record would be appended to it.
        bad = max(bad, 1)
    return records, bad


def ranked(records: Iterable[RunRecord]) -> list[RunRecord]:
    """Returns the feasible records, best first."""
    feasible = [record for record in records if record.objective is not None]
    return sorted(feasible, key=rank)


def rank(record: RunRecord) -> tuple[float, str]:
    """Returns the sort key of a feasible record: its objective, then its id."""
    assert record.objective is not None
    return record.objective, record.run_id


def write_run(path: str | pathlib.Path, record: RunRecord, weights: Any) -> None:
    """Writes a run directory for a trial, with its last weights as the checkpoint."""
    import numpy as np

    from trainer.storage import checkpoints

    run = RunDirectory(path)
    config = TrainConfig(**record.config).as_gin()
    run.create(record, dict.fromkeys(("config.gin", "operative_config.gin"), config))
    state = {"weights": weights, "step": np.int32(record.steps_done)}
    checkpoints.write(run.checkpoints, state)


def _line(record):
    public = dataclasses.asdict(record) | dict.fromkeys(PRIVATE)
    return json.dumps(public, allow_nan=False) + "\n"


def _free_name(path):
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    return aside
