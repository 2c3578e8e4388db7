"""Results of a sweep's study, as its own files have them."""

import pathlib
from typing import Any, NamedTuple

from trainer.errors import UserError
from trainer.storage import json_files
from tuning.study import consistency, identity, log
from tuning.sweep.config import Spec

#: Files of a study that this module reads.
FILES = (
    *(name + suffix for name in (log.TRIALS, log.RERUNS) for suffix in ("", json_files.PACKED)),
    *("study.json", "oracle.json"),
)


class Results(NamedTuple):
    """Results of a study.

    Attributes:
        fields: the fields of the study's `State` that they determine once it is done.
        missing: number of trials and reruns that the sweep wants and that are not finished.
        foreign: which of the study's files is of another study, or "".
        damaged: which trials its log has lost, or lines that are damaged, or "".
    """

    fields: dict[str, Any]
    missing: int
    foreign: str
    damaged: str


def read(study: pathlib.Path, spec: Spec) -> Results:
    """Read the results of a study.

    Args:
        study: its directory, which need not exist.
        spec: its settings in the sweep.
    """
    config = vars(spec.config) if spec.is_known else {}
    found = consistency.read(study, config)
    records = found.records.values()
    best = next(iter(log.ranked(records)), None)
    # A trial that was the best before may have reruns too, and the user may have made others.
    reruns = log.read(study / log.RERUNS)[0].values()
    count = sum(best is not None and log.is_rerun(record, best) for record in reruns)
    count = min(spec.reruns, count)
    fields = {
        "trials": len(records) + count,
        "infeasible": sum(record.objective is None for record in records),
        "proposed": sum(record.origin == "search" for record in records),
        "best": best and best.objective,
    }
    missing = max(spec.study.num_trials - len(records), 0) + max(spec.reruns - count, 0)
    search = spec.study.to_json()
    foreign = _settings(study, config, search) or found.foreign
    return Results(fields, missing, foreign, found.damaged or found.lost)


def _settings(study, config, search):
    try:
        held = identity.read(study, identity.Facts) or {}
    except UserError:  # it is refused when the study runs
        return ""
    difference = consistency.difference(held.get("config", {}), config)
    difference = difference or consistency.search_difference(held.get("study", {}), search)
    return difference and f"{study / 'study.json'} is of another study, with {difference}"
