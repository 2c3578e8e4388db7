"""Trains one recurrent network on one of the paper's tasks.

Names are imported on first use, so that invalid flags are reported without starting a backend.
"""

import importlib
from typing import Any

_HOMES = {
    "Callback": "trainer.callbacks",
    "TrainConfig": "trainer.config",
    "RunRecord": "trainer.storage.records",
    "UserError": "trainer.errors",
    "evaluate": "trainer.evaluation",
    "train": "trainer.loop",
}

__all__ = [*_HOMES, "tasks"]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name == "tasks":
        return importlib.import_module("trainer.tasks")
    if name not in _HOMES:
        raise AttributeError(f"module 'trainer' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
