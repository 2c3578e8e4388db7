"""Consistency of a study's log with the study's settings and with its search.

A log that was copied from another study, or that has lost lines, is read without error.
"""

import pathlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypedDict

from rnn_zoo.json_types import FileName
from trainer.display.words import count
from trainer.storage import json_files
from trainer.storage.records import RunRecord

#: What to do with a log that has trials of another study.
WAY_OUT = "restore its own trials.jsonl, or start a new study in another directory"
#: Field of a record -> that of the configuration of its study.
_SHARED = {"task": "task", "arch": "arch", "depth": "depth", "max_params": "num_params"}


class _Ended(TypedDict):
    """Part of oracle.json: the trials whose results the search knows."""

    end_order: list[FileName]


def ended(study: pathlib.Path) -> list[str]:
    """Returns the ids of the trials that the search knows to have ended.

    Read it before the log: a running study writes the log first.
    """
    try:
        return json_files.read(study / "oracle.json", _Ended)["end_order"]
    except (OSError, json_files.Damaged):  # a study can do without it
        return []


def problems(
    log: pathlib.Path,
    records: Iterable[RunRecord],
    config: Mapping[str, Any] | None,
    known: Collection[str] = (),
) -> list[str]:
    """Describes the disagreements of a log in a line each.

    Args:
        log: the file, for messages.
        records: what it holds.
        config: configuration of the study, `identity.ConfigFacts`; None if it is not known.
        known: ids from `ended`.
    """
    records, found = list(records), []
    differences = [text for record in records if (text := _difference(record, config or {}))]
    if differences:
        number = count(len(differences), "trial")
        found.append(f"{log} has {number} of another study, the first is {differences[0]}")
    if lost := set(known) - {record.run_id for record in records}:
        found.append(f"{log} lacks {count(len(lost), 'trial')} that had ended")
    return found


def difference(held: Mapping[str, Any], wanted: Mapping[str, Any]) -> str | None:
    """Returns the first setting in which two configurations of studies differ, or None."""
    for name in _SHARED.values():
        if name in held and name in wanted and held[name] != wanted[name]:
            return f"{name} {held[name]}, not {wanted[name]}"
    return None


def _difference(record, config):
    held = {
        name: getattr(record, field)
        for field, name in _SHARED.items()
        if name not in record.searched
    }
    text = difference(held, config)
    return text and f"{record.run_id} with {text}"
