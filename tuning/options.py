"""Options of task, cell and optimizer, in one form for comparisons: those not set have defaults."""

from typing import Any

from rnn_zoo.architectures import ARCHITECTURES
from trainer.config import OPTIONS, default_options
from trainer.storage.records import RunRecord
from trainer.tasks import TASKS, Task

#: Value in a `setting` of an option that the search chose.
SEARCHED = "searched"
#: Key in a `setting` of the hash of text8's corpus, which is no option.
CORPUS = "sha256"

#: Task -> option -> default.
Defaults = dict[str, dict[str, Any]]


def completed(record: RunRecord) -> dict[str, Any]:
    """Returns the hyperparameters of a record, with the defaults of those that were not set.

    Defaults of options are those in the record, or in older records those of the registered task,
    cell and optimizer.
    """
    found, facts = dict(record.hparams), ARCHITECTURES.get(record.arch)
    registered = _registered(record)
    for field in OPTIONS:
        values = {**record.defaults.get(field, registered[field]), **found.get(field, {})}
        found[field] = {name: value for name, value in values.items() if value is not None}
    if facts and facts.uses_activation and found.get("activation") is None:
        found["activation"] = facts.activation
    if facts and facts.gates_with("matrix") and found.get("matrix_init") is None:
        found["matrix_init"] = facts.matrix_init
    return found


def changed(record: RunRecord, known: Defaults | None = None) -> dict[str, Any]:
    """Returns the options of a record's task that are not the defaults, by name.

    Options in which runs can differ and still be compared are left out.

    Args:
        record: the record.
        known: defaults of tasks that are not registered; the first record with defaults adds them.
    """
    known = {} if known is None else known
    if record.task in TASKS:
        defaults = _registered(record)["task_options"]
    elif "task_options" in record.defaults:
        defaults = known.setdefault(record.task, record.defaults["task_options"])
    else:
        defaults = known.get(record.task, {})
    pooled = TASKS.get(record.task, Task).pooled_options
    return {
        name: value
        for name, value in sorted(completed(record)["task_options"].items())
        if name not in pooled and value != defaults.get(name)
    }


def setting(record: RunRecord, known: Defaults | None = None) -> dict[str, Any]:
    """Returns the setting of a task, which must be equal for losses to be compared.

    It has the options of `changed`, `SEARCHED` for those that the search chose, and the `CORPUS`.

    Args:
        record, known: as for `changed`.
    """
    pooled = TASKS.get(record.task, Task).pooled_options
    options = [name.partition(".")[2] for name in record.searched if name.startswith("task_")]
    searched = {name: SEARCHED for name in options if name not in pooled}
    corpus = {name: value for name, value in record.data.items() if name == CORPUS}
    return changed(record, known) | searched | corpus


def _registered(record):
    fields = {"task": record.task, "arch": record.arch}
    optimizer = record.hparams.get("optimizer")
    return default_options(fields | ({"optimizer": optimizer} if optimizer else {}))
