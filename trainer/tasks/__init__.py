"""The tasks, one file each."""

from trainer.tasks.base import Batch, Task
from trainer.tasks.parens import Parens
from trainer.tasks.text8 import Text8

#: Task name -> class.
TASKS = {task.name: task for task in (Text8, Parens)}

__all__ = ["TASKS", "Batch", "Task"]
