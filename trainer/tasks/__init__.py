"""The tasks, one file each, and the registration of others."""

import inspect
from typing import Any

from rnn_zoo import names as rules
from trainer import names
from trainer.tasks.adding import Adding
from trainer.tasks.arithmetic import Arithmetic
from trainer.tasks.base import Batch, Coded, Task, WeightedBatch, cross_entropy, hits
from trainer.tasks.capacity import Capacity
from trainer.tasks.copy_memory import Copy
from trainer.tasks.digits import Digits
from trainer.tasks.dyck import Dyck
from trainer.tasks.flip_flop import FlipFlop
from trainer.tasks.memory import Memory
from trainer.tasks.mnist import MNIST
from trainer.tasks.modular_arithmetic import ModularArithmetic
from trainer.tasks.noisy_recall import NoisyRecall
from trainer.tasks.parens import Parens
from trainer.tasks.parity import Parity
from trainer.tasks.rcf import RCF
from trainer.tasks.recall import Recall
from trainer.tasks.s5 import S5
from trainer.tasks.selective_copy import SelectiveCopy
from trainer.tasks.series import Series
from trainer.tasks.text8 import Text8

_PAPER = (Capacity, Memory, RCF, Text8, Parens, Arithmetic)
#: Names of the paper's tasks.
PAPER_TASKS: tuple[str, ...] = tuple(task.name for task in _PAPER)
_LONG_MEMORY = (Adding, Copy, SelectiveCopy, Recall, NoisyRecall)
_STATE_TRACKING = (Parity, ModularArithmetic, Dyck, FlipFlop, S5)
_SEQUENCES = (Digits, MNIST, Series)
#: Task name -> class, those of the paper first.
TASKS: dict[str, type[Task]] = {
    task.name: task for task in (*_PAPER, *_LONG_MEMORY, *_STATE_TRACKING, *_SEQUENCES)
}
#: Attributes of a task that hold names of its options.
_OF_OPTIONS = ("ranges", "lane_options", "pooled_options")

__all__ = [
    "PAPER_TASKS",
    "TASKS",
    "Batch",
    "Coded",
    "Task",
    "WeightedBatch",
    "canonical_name",
    "cross_entropy",
    "hits",
    "register",
]


def register(name: str, task_class: type[Task], summary: str = "") -> type[Task]:
    """Add a task to `TASKS`, in this process.

    Commands, configurations and sweeps then accept its name. Commands find a *dotted* name by
    importing its module: `--task=my_tasks.matches` imports `my_tasks`, which must be on Python's
    path and register the name. In Python, import the module yourself.

    Args:
        name: letters, digits and underscores, preceded by the name of a module and a dot if
            importing that module registers the task.
        task_class: a subclass of `Task` with `draw` and `step_losses`.
        summary: one-line description; by default the first line of the class's docstring.

    Returns:
        The class, whose `name` and `summary` are set.

    Raises:
        TypeError: `task_class` is not a subclass of `Task`.
        ValueError: the name is taken or malformed, the class lacks something, or an argument of its
            constructor has no default. A class with the module and name of the registered one
            replaces it, which helps in notebooks.
    """
    if not (isinstance(task_class, type) and issubclass(task_class, Task)):
        raise TypeError(f"a task must be a subclass of Task, got {task_class!r}")
    rules.check("task", name, task_class, TASKS.get(name))
    _check_class(task_class)
    task_class.name = name
    task_class.summary = summary or (task_class.__doc__ or name).strip().split("\n")[0]
    TASKS[name] = task_class
    return task_class


def _check_class(task_class):
    for what in ("draw", "step_losses"):
        if inspect.getattr_static(task_class, what) is inspect.getattr_static(Task, what):
            raise ValueError(f"{task_class.__name__} must define {what}; see trainer.tasks.Task")
    if task_class.target_time_axis >= 0:
        raise ValueError(
            f"{task_class.__name__}.target_time_axis is {task_class.target_time_axis}, but it is "
            "counted from the end, as axes of lanes come first: -1 is the last axis of the targets"
        )
    if task_class.predicts_next and not task_class.vocabulary:
        raise ValueError(
            f"{task_class.__name__} sets predicts_next, so it needs a vocabulary: the symbol of "
            "each input"
        )
    options = task_class.default_options()
    for name, default in options.items():
        if default is inspect.Parameter.empty:
            raise ValueError(f"{task_class.__name__}: the argument {name} needs a default")
    fields = {name: getattr(task_class, name) for name in _OF_OPTIONS}
    if task_class.length_option is not None:
        fields["length_option"] = [task_class.length_option]
    for field, given in fields.items():
        for name in given:
            if name not in options:
                raise ValueError(
                    f"{task_class.__name__}.{field} has {name!r}, which is not an argument of the "
                    f"constructor; it has {', '.join(options) or 'none'}"
                )
    if task_class.length_option in task_class.lane_options:
        raise ValueError(
            f"{task_class.__name__}.lane_options has {task_class.length_option!r}, the "
            "length_option, but the lanes of a program have one length; omit one of the two"
        )


def canonical_name(task: Any) -> str:
    """Return the name of a registered task.

    Raises:
        UserError: the name is unknown.
    """
    return names.find("task", task, TASKS, "trainer.tasks.register")
