"""Results of a sweep's study, as its own files have them."""

import pathlib
from typing import Any

from trainer.errors import UserError
from tuning.study import consistency, identity, log
from tuning.sweep.config import Spec

#: Files of a study that this module reads.
FILES = ("trials.jsonl", log.RERUNS, "study.json", "oracle.json")


def read(study: pathlib.Path, spec: Spec) -> tuple[dict[str, Any], str]:
    """Reads the results of a study.

    Args:
        study: its directory, which need not exist.
        spec: its settings in the sweep.

    Returns:
        (the fields of its `State` that they determine once it is done; which of its files is of
        another study, or "").
    """
    config = vars(spec.config) if spec.is_known else {}
    found = consistency.read(study, config)
    records = found.records.values()
    best = next(iter(log.ranked(records)), None)
    fields = {
        "trials": len(records) + len(log.read(study / log.RERUNS)[0]),
        "infeasible": sum(record.objective is None for record in records),
        "proposed": sum(record.origin == "search" for record in records),
        "best": best and best.objective,
    }
    return fields, _settings(study, config) or found.foreign


def _settings(study, config):
    try:
        held = identity.read(study, identity.Facts) or {}
    except UserError:  # it is refused when the study runs
        return ""
    difference = consistency.difference(held.get("config", {}), config)
    return difference and f"{study / 'study.json'} is of another study, with {difference}"
