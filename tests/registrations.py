"""Leaves the architectures as they were, whatever has been registered meanwhile."""

import contextlib
import sys

import rnn_zoo
from rnn_zoo.layers import LAYERS


@contextlib.contextmanager
def restored():
    tables = (rnn_zoo.ARCHITECTURES, rnn_zoo.CELLS, LAYERS)
    before = [dict(table) for table in tables]
    try:
        yield
    finally:
        sys.modules.pop("own_cells", None)
        for table, entries in zip(tables, before, strict=True):
            table.clear()
            table.update(entries)
