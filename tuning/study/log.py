"""`trials.jsonl`: one line per finished trial, each written in full or not at all.

Logs are meant to be published, so they leave out machines and command lines. Those are in the
`record.json` of the best trials. A finished log may be packed with `gzip`, to an eighth of its
size: it is read like any other, but nothing is appended to it.
"""

import contextlib
import dataclasses
import errno
import operator
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from trainer import names
from trainer.cli.gin_files import labelled
from trainer.config import TrainConfig
from trainer.display.words import count
from trainer.errors import UserError
from trainer.storage import json_files
from trainer.storage.files import open_to_append
from trainer.storage.records import DOCUMENTS, PRIVATE, RunDirectory, RunRecord

#: File names of the logs of a study's trials, of its reruns, and of runs of given
#: hyperparameters.
TRIALS, RERUNS, GIVEN = "trials.jsonl", "reruns.jsonl", "given.jsonl"
#: Log -> the file that lists its runs as they end, before the log does. Losses show by it.
ENDED = {TRIALS: "oracle.json", RERUNS: "reruns.json", GIVEN: "given.json"}
#: File name of the record of a run.
RUN = "record.json"
#: Fields of a configuration that reruns vary.
_SEEDS = ("seed", "data_seed")


class TrialLog:
    """Log of finished trials, in the order in which they ended.

    A line that was truncated by a kill or a full disk, or altered, is dropped when the file is
    opened; the damaged file is kept under another name, and `problem` says so. Opening the log and
    appending to it need the lease on the directory.

    Args:
        path: the file, which need not exist.

    Attributes:
        records: finished trials by id.
        problem: what was wrong with the file, as a sentence, or None.

    Raises:
        UserError: it is packed.
    """

    def __init__(self, path: str | pathlib.Path):
        self.path = pathlib.Path(path)
        self.problem: str | None = None
        if (held := file_of(self.path)) != self.path:
            raise UserError(
                f"{held} is packed, and nothing is appended to it; unpack it with gunzip first"
            )
        self.records, problems = read(self.path)
        if problems:
            aside = _free_name(self.path)
            # A link rather than a rename, so that the log exists at all times.
            os.link(self.path, aside)
            json_files.write_lines(self.path, list(map(_public, self.records.values())))
            self.problem = (
                f"{json_files.summary(self.path, problems)}; it is kept as {aside.name}, and the "
                "lost trials run again"
            )

    def append(self, record: RunRecord) -> None:
        """Append a finished trial durably, after adding it to the list of those that have ended.

        The search keeps that list for trials.jsonl.

        Raises:
            OSError: it cannot be written, for example on a full disk; the file is unchanged.
        """
        if self.path.name in (RERUNS, GIVEN):
            ended = {"end_order": [*self.records, record.run_id]}
            json_files.write(self.path.with_name(ENDED[self.path.name]), ended)
        line = f"{json_files.dumps(_public(record))}\n".encode()
        # Unbuffered, so that closing the file does not retry a failed write.
        with open_to_append(self.path, "ab", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            try:
                if file.write(line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file.fileno())
            except OSError as error:
                with contextlib.suppress(OSError):
                    file.truncate(size)
                raise OSError(error.errno, error.strerror, str(self.path)) from None
        self.records[record.run_id] = record


def file_of(path: str | pathlib.Path) -> pathlib.Path:
    """Return the file that holds a log: the one of its name, or what `gzip` made of it.

    Raises:
        UserError: there are both.
    """
    path = pathlib.Path(path)
    packed = path.with_name(path.name + json_files.PACKED)
    if not os.path.lexists(packed):
        return path
    if os.path.lexists(path):
        raise UserError(f"{path} and {packed.name} are both there; move the older one elsewhere")
    return packed


def read(path: str | pathlib.Path) -> tuple[dict[str, RunRecord], list[str]]:
    """Read a log that another process may be writing, or that is packed.

    Returns:
        (records by run id, list of problems with lines; see `json_files.read_lines`).

    Raises:
        UserError: it is packed and damaged, or both packed and not.
        OSError: it cannot be read.
    """
    try:
        found, problems = json_files.read_lines(file_of(path), RunRecord)
    except FileNotFoundError:
        return {}, []
    records: dict[str, RunRecord] = {}
    for record in found:
        if record.status == "interrupted" or (record.status == "ok" and record.objective is None):
            problems.append(f"trial {record.run_id} is not finished")
        elif records.setdefault(record.run_id, record) is not record:
            problems.append(f"a second record of trial {record.run_id}")
    return records, problems


def num_lines(study: pathlib.Path) -> int | None:
    """Count the lines, except empty ones, in a study's logs of trials and reruns.

    Returns:
        Their number; None if there is a log that cannot be read.
    """
    found = 0
    for name in (TRIALS, RERUNS):
        try:
            lines = json_files.split(file_of(study / name))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, UserError):
            return None
        found += sum(1 for line in lines if line)
    return found


def record_files(
    directory: pathlib.Path, problems: list[str] | None = None
) -> Iterator[tuple[pathlib.Path, list[str]]]:
    """Yield (directory, names of its record files), sorted by path.

    The logs of a study are named even if they are lost, provided that another file tells of them.
    Otherwise its names may be empty, as those of a sweep are. A run may hold others, unlike a
    study.

    Args:
        directory: the directory.
        problems: list to which sentences on directories that cannot be read, and on runs without a
            record, are added.

    Raises:
        UserError: directories are nested too deeply.
    """
    try:
        yield from _record_files(directory, [] if problems is None else problems)
    except RecursionError:  # before Python 3.12
        raise UserError(f"{directory} holds directories that are nested too deeply") from None


def _record_files(directory, problems):
    def add(error):
        problems.append(f"{error.filename}: {error.strerror}")

    for place, folders, files in os.walk(directory, onerror=add):
        folders.sort()
        for name in (RUN, *ENDED, *(log + json_files.PACKED for log in ENDED)):
            if name in folders:
                problems.append(f"{os.path.join(place, name)} is a directory")
        files += [name for name in ENDED if name + json_files.PACKED in files]
        if "study.json" in files:
            files += [name for name in (TRIALS, RERUNS) if ENDED[name] in files]
        names = [name for name in (TRIALS, RERUNS, GIVEN) if name in files]
        if names:
            # The directories of the best trials repeat records of the log.
            folders.clear()
        elif RUN in files:
            names = [RUN]
        elif ENDED[GIVEN] in files:  # the runs that were kept are below
            names = [GIVEN]
        elif DOCUMENTS[-1] in files and {"checkpoints", "metrics.jsonl"} & {*folders, *files}:
            problems.append(f"{place} is left out: it holds a run, and has no {RUN}")
        if names or "study.json" in files or "sweep.json" in files:
            yield pathlib.Path(place), names


def ranked(records: Iterable[RunRecord]) -> list[RunRecord]:
    """Return the feasible records, best first."""
    feasible = [record for record in records if record.objective is not None]
    return sorted(feasible, key=rank)


def rank(record: RunRecord) -> tuple[float, str]:
    """Return the sort key of a feasible record: its objective, then its id."""
    assert record.objective is not None
    return record.objective, record.run_id


def edited(records: Iterable[RunRecord], fields: Mapping[str, Any]) -> str:
    """Say which of a study's trials ran code that was edited since, if any did.

    Args:
        records: its finished trials.
        fields: its configuration.
    """
    found = [(record.run_id, names.edited(record.code, fields)) for record in records]
    found = [(run_id, text) for run_id, text in found if text]
    if not found:
        return ""
    run_id, text = found[-1]
    return f"{count(len(found), 'trial')} ran other code, the last one {run_id}, {text}"


def is_rerun(record: RunRecord, original: RunRecord) -> bool:
    """Whether a run has the configuration of a trial, but another seed of each kind."""
    seeds = _seeds(record.config), _seeds(original.config)
    return repeats(record, original) and all(map(operator.ne, *seeds))


def repeats(record: RunRecord, original: RunRecord) -> bool:
    """Whether a run has the configuration of a trial, whatever its seeds."""
    held, wanted = record.config, original.config
    # Records of older versions lack fields.
    shared = (held.keys() & wanted.keys()).difference(_SEEDS)
    return all(held[name] == wanted[name] for name in shared)


def _seeds(config):
    seed, data_seed = map(config.get, _SEEDS)
    return seed, seed if data_seed is None else data_seed


def write_run(
    path: str | pathlib.Path, record: RunRecord, weights: Any, profile: str | None = None
) -> None:
    """Write a run directory for a trial, with its last weights as the checkpoint.

    Args:
        path: the directory.
        record, weights: the trial's.
        profile: profile of its study, if the record has none.
    """
    import numpy as np

    from trainer.storage import checkpoints

    run = RunDirectory(path)
    config = labelled(TrainConfig(**record.config).as_gin(), record.profile or profile)
    run.create(record, dict.fromkeys(DOCUMENTS, config))
    state = {"weights": weights, "step": np.int32(record.steps_done)}
    checkpoints.write(run.checkpoints, state, record.identity)


def _public(record):
    return dataclasses.asdict(record) | dict.fromkeys(PRIVATE)


def _free_name(path):
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    return aside
