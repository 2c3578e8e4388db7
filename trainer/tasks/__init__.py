"""The tasks of the paper, one file each."""

from trainer.tasks.arithmetic import Arithmetic
from trainer.tasks.base import Batch, Task
from trainer.tasks.capacity import Capacity
from trainer.tasks.memory import Memory
from trainer.tasks.parens import Parens
from trainer.tasks.rcf import RCF
from trainer.tasks.text8 import Text8

#: Task name -> class.
TASKS = {task.name: task for task in (Capacity, Memory, RCF, Text8, Parens, Arithmetic)}

__all__ = ["TASKS", "Batch", "Task"]
