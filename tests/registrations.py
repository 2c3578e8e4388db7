"""Leaves architectures, tasks and optimizers as they were, whatever a test registers."""

import contextlib
import sys

import rnn_zoo
from rnn_zoo.layers import LAYERS
from trainer.optimizers import OPTIMIZERS
from trainer.tasks import TASKS

#: Modules of the tests that register something when they are imported.
MODULES = ("my_lab", "own_cells", "own_tasks")


@contextlib.contextmanager
def restored():
    tables = (rnn_zoo.ARCHITECTURES, rnn_zoo.CELLS, LAYERS, TASKS, OPTIMIZERS)
    before = [dict(table) for table in tables]
    try:
        yield
    finally:
        for module in MODULES:
            sys.modules.pop(module, None)
        for table, entries in zip(tables, before, strict=True):
            table.clear()
            table.update(entries)
