"""Lengths beyond training: the multiples of a task's length at which a model is measured."""

from collections.abc import Mapping
from typing import Any

from trainer.errors import UserError
from trainer.tasks.base import Task

#: Largest multiple, which bounds the time and the memory that one sample takes.
MOST = 1024


def checked(task: type[Task], multiples: Any) -> tuple[int, ...]:
    """Return the multiples as a tuple.

    Args:
        task: class of the task.
        multiples: value of `TrainConfig.eval_lengths`.

    Raises:
        UserError: they are not increasing whole numbers, or the length of the task is fixed.
    """
    is_list = isinstance(multiples, (list, tuple))
    found = tuple(multiples) if is_list else ()
    are_whole = all(type(each) is int and 1 <= each <= MOST for each in found)
    if not is_list or not are_whole or list(found) != sorted(set(found)):
        raise UserError(
            f"eval_lengths must be a tuple of increasing whole numbers from 1 to {MOST}, such as "
            f"(1, 2, 4), or () for none, got {multiples!r}"
        )
    if found and task.length_option is None:
        raise UserError(
            f"eval_lengths is {multiples!r}, but the length of the task {task.name} is fixed; "
            "omit it, or set it to ()"
        )
    return found


def options_at(task: type[Task], options: Mapping[str, Any], multiple: int) -> dict[str, Any]:
    """Return the options of a task that is `multiple` times as long.

    Args:
        task: class of the task.
        options: arguments of its constructor.
        multiple: 1, or a factor for its `length_option`.
    """
    name = task.length_option
    if name is None or multiple == 1:
        return dict(options)
    length = options.get(name, task.default_options()[name])
    return {**options, name: multiple * length}
