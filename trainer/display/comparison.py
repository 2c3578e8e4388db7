"""Comparison of runs: the settings that differ, and the results side by side."""

import os
from collections.abc import Sequence
from typing import NamedTuple

from trainer.config import TrainConfig, without_effect
from trainer.display.progress import Display
from trainer.options import completed
from trainer.storage.differences import flat, plain
from trainer.storage.records import RunRecord

#: Settings of a record; its hyperparameters are settings too.
_SETTINGS = "task arch depth units max_params num_params seed backend device".split()
#: Settings of its configuration.
_OF_CONFIG = (
    *("data_seed", "eval_samples", "eval_lengths", "preset", "init_from", "precision"),
    "weights_sha256",
)
#: Results of a record -> their format.
_RESULTS = {
    "status": "",
    "steps_done": ",",
    "train_loss": ".4f",
    "valid_loss": ".4f",
    "eval_loss": ".4f",
    "chance_loss": ".4f",
    "seconds": ",.1f",
    "steps_per_second": ",.1f",
}


class Run(NamedTuple):
    """A run to compare.

    Attributes:
        name: its column.
        record: its record.
        measurements: lines of its `metrics.jsonl`.
    """

    name: str
    record: RunRecord
    measurements: Sequence[dict]


def names(paths: Sequence[str]) -> list[str]:
    """Return the last parts of paths, as many as tell all of them apart.

    Example: names(["a/x", "b/x"]) is ["a/x", "b/x"], and names(["a/x", "a/y"]) is ["x", "y"].
    """
    parts = [os.path.abspath(path).split(os.sep) for path in paths]
    for count in range(1, max(map(len, parts)) + 1):
        short = [os.sep.join(each[-count:]) for each in parts]
        if len(set(short)) == len(set(map(tuple, parts))):
            break
    return short


def show_comparison(display: Display, runs: Sequence[Run]) -> None:
    """Print the settings in which runs differ, and their results."""
    columns = [run.name for run in runs]
    differing = differences([run.record for run in runs])
    if differing:
        rows = [(name, *map(_cell, values)) for name, values in differing.items()]
        display.table(("setting", *columns), rows)
    else:
        display.say("the runs have equal settings")
    results = [
        (name, *(_cell(getattr(run.record, name), form) for run in runs))
        for name, form in _RESULTS.items()
    ]
    metrics = [flat(run.record.metrics.get("eval", {})) for run in runs]
    others = {name: None for each in metrics for name in each if name != "loss"}
    results += [
        (f"eval {name}", *(_cell(each.get(name), ".4f") for each in metrics))
        for name in others
        if any(isinstance(each.get(name), float) for each in metrics)
    ]
    display.table(("result", *columns), results + _at_lengths(runs))


def _at_lengths(runs):
    """Rows of the losses beyond the trained length."""
    losses = [
        {each["multiple"]: (each["metrics"] or {}).get("loss") for each in run.record.lengths}
        for run in runs
    ]
    multiples = sorted({multiple for each in losses for multiple in each} - {1})
    return [
        (f"eval loss at {n} × the length", *(_cell(each.get(n), ".4f") for each in losses))
        for n in multiples
    ]


def differences(records: Sequence[RunRecord]) -> dict[str, list]:
    """Return the settings that are not equal in all records, without those that have no effect.

    Returns:
        Name -> value in each record; None where a record does not have it.
    """
    settings = [_settings(record) for record in records]
    every = {name: [each.get(name) for each in settings] for each in settings for name in each}
    return {name: values for name, values in every.items() if any(v != values[0] for v in values)}


def _settings(record):
    hparams = {"train_steps": record.train_steps} | completed(record)
    defaults = plain({name: getattr(TrainConfig, name) for name in _OF_CONFIG})
    others = {name: record.config.get(name, value) for name, value in defaults.items()}
    idle = without_effect({"arch": record.arch} | hparams)
    active = {name: value for name, value in hparams.items() if name not in idle}
    own = {name: getattr(record, name) for name in _SETTINGS}
    code = {f"code of {home}": version for home, version in record.code.items()}
    return own | others | flat(active) | flat({"data": record.data}) | code


def _cell(value, form=None):
    if value is None:
        return "-"
    if form is None:
        form = ".4g" if isinstance(value, float) else ""
    return format(value, form) if isinstance(value, (int, float)) else str(value)
