"""Settings of a task, which must be equal for losses to be compared."""

from typing import Any

from trainer.options import completed, default_options
from trainer.storage.records import RunRecord
from trainer.tasks import TASKS, Task

#: Value in a `setting` of an option that the search chose.
SEARCHED = "searched"
#: Key in a `setting` of the hash of text8's corpus, which is not an option.
CORPUS = "sha256"

#: Task -> option -> default.
Defaults = dict[str, dict[str, Any]]


def changed(record: RunRecord, known: Defaults | None = None) -> dict[str, Any]:
    """Return the options of a record's task that are not the defaults, by name.

    Options in which runs can differ and still be compared are left out.

    Args:
        record: the record.
        known: defaults of tasks that are not registered; the first record with defaults adds them.
    """
    known = {} if known is None else known
    if record.task in TASKS:
        defaults = default_options({"task": record.task, "arch": record.arch})["task_options"]
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
    """Return the setting of a task, which must be equal for losses to be compared.

    It has the options of `changed`, `SEARCHED` for those that the search chose, and the `CORPUS`.

    Args:
        record, known: as for `changed`.
    """
    pooled = TASKS.get(record.task, Task).pooled_options
    options = [
        name.partition(".")[2] for name in record.searched if name.startswith("task_options.")
    ]
    searched = {name: SEARCHED for name in options if name not in pooled}
    corpus = {name: value for name, value in record.data.items() if name == CORPUS}
    return changed(record, known) | searched | corpus
