"""Finished trials of a study, compared with the study's settings and with its search.

A log that was copied from another study, or that has lost lines, is read without error.
"""

import pathlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, NotRequired, TypedDict

from rnn_zoo.json_types import FileName
from trainer.display.words import count
from trainer.errors import UserError
from trainer.storage import json_files
from trainer.storage.differences import flat
from trainer.storage.records import SHARED, RunRecord
from tuning.search.hyperparameter import short_names
from tuning.study import identity, log

#: What to do with a log that has trials of another study.
WAY_OUT = "restore its own trials.jsonl and oracle.json, or start a new study in another directory"
#: Fields that all trials of a study share, besides those of `SHARED` and options of the task.
_SETTINGS = ("seed", "data_seed", "eval_samples", "precision")
#: Location of a task's data, which may move.
_PATH = "task_options.path"


class _Search(TypedDict):
    """Part of a file of `log.ENDED`: the trials that have ended, and the values of all by id."""

    end_order: list[FileName]
    values: NotRequired[dict[FileName, dict[str, Any]]]


class Trials(NamedTuple):
    """Finished trials of a study, and what is wrong with its log, each in a sentence or "".

    Attributes:
        records: undamaged records by id.
        damaged: the first damaged line.
        foreign: the first record of another study.
        lost: how many trials are missing that the search knows to have ended.
    """

    records: dict[str, RunRecord]
    damaged: str
    foreign: str
    lost: str

    @property
    def problems(self) -> list[str]:
        """All sentences."""
        return [text for text in (self.damaged, self.foreign, self.lost) if text]


def read(study: str | pathlib.Path, config: Mapping[str, Any] | None) -> Trials:
    """Read the trials.jsonl of a study, to which another process may be appending.

    Args:
        study: directory of the study.
        config: its configuration, `identity.ConfigFacts`; None if it is not known.

    Raises:
        OSError: the log cannot be read.
    """
    return _read(pathlib.Path(study, log.TRIALS), config)


def read_log(path: pathlib.Path) -> Trials:
    """Read a log of reruns or of given hyperparameters, as `read` does."""
    return _read(path, None)


def _read(path, config):
    search = _search(path)
    records, damaged = log.read(path)
    ended, values = search["end_order"], search.get("values", {})
    lost = set(ended) - records.keys()
    return Trials(
        records,
        json_files.summary(log.file_of(path), damaged) if damaged else "",
        foreign(
            path,
            records.values(),
            config or {},
            {n: values[n] for n in ended if n in values},
            _search_of(path.parent) if path.name == log.TRIALS else {},
        ),
        f"{path} lacks {count(len(lost), 'trial')} that had ended" if lost else "",
    )


def _search(path):
    """Return what is known of a log's trials. It is written before the log."""
    try:
        return json_files.read(path.with_name(log.ENDED[path.name]), _Search)
    except (OSError, json_files.Damaged):  # a study can do without it
        return {"end_order": []}


def foreign(
    path: pathlib.Path,
    records: Iterable[RunRecord],
    config: Mapping[str, Any],
    tried: Mapping[str, Mapping[str, Any]],
    search: Mapping[str, Any],
) -> str:
    """Say how many records of a log are of another study; "" if none is.

    Args:
        path: the log, for the message.
        records: what it holds.
        config: configuration of the study, as far as it is known.
        tried: the values of the trials that the search knows to have ended, by id.
        search: fields of the `StudyConfig` in the study's study.json.
    """
    found = [
        text
        for each in records
        if (
            text := _difference(each, config)
            or _other_id(each, path.name)
            or _other_values(each, tried)
            or _other_origin(each, search.get("algorithm"))
            or _other_range(each, search.get("ranges", {}))
        )
    ]
    if not found:
        return ""
    return f"{path} has {count(len(found), 'trial')} of another study, the first is {found[0]}"


def difference(held: Mapping[str, Any], wanted: Mapping[str, Any]) -> str | None:
    """Return the first setting in which two configurations of studies differ, or None."""
    return _first(held, wanted, SHARED.values())


def search_difference(held: Mapping[str, Any], wanted: Mapping[str, Any]) -> str | None:
    """Return the first setting in which two searches differ, or None.

    A range that only one of them has is no difference: studies of earlier versions lack some.

    Args:
        held, wanted: fields of a `StudyConfig` as in JSON.
    """
    text = _first(held, wanted, ("algorithm", "early_stopping"))
    own, others = (short_names(search.get("ranges", {})) for search in (held, wanted))
    return text or _first(own, others, own)


def _first(held, wanted, names):
    for name in names:
        if name in held and name in wanted and held[name] != wanted[name]:
            return f"{name} {held[name]}, not {wanted[name]}"
    return None


def _difference(record, config):
    held = {
        name: getattr(record, field)
        for field, name in SHARED.items()
        if name not in record.searched
    }
    text = difference(held, config) or _other_setting(record, config)
    return text and f"{record.run_id} with {text}"


def _other_setting(record, config):
    """Return the first setting in which a record differs, if its study did not tune it."""
    defaults = flat({"task_options": record.defaults.get("task_options", {})})
    own, wanted = defaults | flat(record.config), defaults | flat(config)
    names = set(_SETTINGS)
    # Records of earlier versions do not say what was searched, and a log may have no study.json.
    if record.searched and "task_options" in config:
        names |= {name for name in own if name.startswith("task_options.")}
    return _first(own, wanted, sorted(names - {*record.searched, *record.held, _PATH}))


def _other_id(record, name):
    if name == log.TRIALS and not (record.run_id.isascii() and record.run_id.isdecimal()):
        return f"{record.run_id}, which is not the number of a trial"
    return None


def _other_values(record, tried):
    wanted = tried.get(record.run_id, {})
    values = flat(record.config) if wanted else {}
    for name, value in wanted.items():
        if values.get(name, value) != value:
            return f"{record.run_id} with {name} {values[name]}, not {value} as in its search"
    return None


def _other_origin(record, algorithm):
    if record.origin == "search" and algorithm == "random":
        return f"{record.run_id}, which a model proposed, in a random search"
    return None


def _other_range(record, ranges):
    """Say which hyperparameter a study fixes, and the record's study searched or fixed otherwise.

    Nothing sets the inactive hyperparameters of a trial, of which `momentum_logit` may be one.
    """
    for name, wanted in ranges.items():
        if not isinstance(wanted, (str, int, float)):
            continue
        if name in record.searched:
            return f"{record.run_id} with {name} searched, not {wanted}"
        value = record.config.get(name, wanted)
        if name in record.held and name != "momentum_logit" and value != wanted:
            return f"{record.run_id} with {name} {value}, not {wanted}"
    return None


def _search_of(study):
    try:
        facts = identity.read(study, identity.Facts) or {}
    except (OSError, UserError):  # which other functions report
        return {}
    return facts.get("study", {})
