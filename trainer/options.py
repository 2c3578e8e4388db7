"""Options of task, cell and optimizer, with the defaults of those that are not set."""

import contextlib
import functools
from collections.abc import Mapping
from typing import Any

from rnn_zoo.architectures import ARCHITECTURES
from trainer.config import OPTIONS, TrainConfig
from trainer.optimizers import OPTIMIZERS
from trainer.storage.differences import plain
from trainer.storage.records import RunRecord
from trainer.tasks import TASKS, Task


def default_options(fields: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the defaults of all options of a configuration's task, cell and optimizer.

    Args:
        fields: fields of a `TrainConfig`, as in a record; a name that is not registered has none.

    Returns:
        Field of options -> option -> default, in the form that JSON keeps.
    """
    arch = ARCHITECTURES.get(fields["arch"])
    optimizer = OPTIMIZERS.get(fields.get("optimizer", TrainConfig.optimizer))
    found = (
        dict(_of_task(TASKS.get(fields["task"], Task))),  # type: ignore[arg-type]  # a class can be a key
        _in_json(arch.options) if arch else {},
        _in_json(optimizer.options) if optimizer else {},
    )
    return dict(zip(OPTIONS, found, strict=True))


# Inspecting the constructor for each of a report's thousands of records would take seconds.
@functools.cache
def _of_task(task_class):
    return _in_json(task_class.default_options())


def _in_json(values):
    """Return the values after a round trip through JSON, without those that it cannot keep."""
    found = {}
    for name, value in values.items():
        with contextlib.suppress(TypeError, ValueError):
            found[name] = plain(value)
    return found


def completed(record: RunRecord) -> dict[str, Any]:
    """Return the hyperparameters of a record, with the defaults of those that were not set.

    Defaults of options are those in the record, or in older records those of the registered task,
    cell and optimizer.
    """
    found, facts = dict(record.hparams), ARCHITECTURES.get(record.arch)
    registered = default_options(record.hparams | {"task": record.task, "arch": record.arch})
    for field in OPTIONS:
        given = found.get(field, {})
        if isinstance(given, Mapping):  # a record's options may be anything
            values = {**record.defaults.get(field, registered[field]), **given}
            found[field] = {name: value for name, value in values.items() if value is not None}
    if facts and facts.uses_activation and found.get("activation") is None:
        found["activation"] = facts.activation
    if facts and facts.gates_with("matrix") and found.get("matrix_init") is None:
        found["matrix_init"] = facts.matrix_init
    return found
