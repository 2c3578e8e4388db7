"""Trains one recurrent network on one task.

Names are imported on first use, so that invalid flags are reported without starting a backend.
"""

import importlib
import sys
from typing import Any

_HOMES = {
    "Callback": "trainer.callbacks",
    "TrainConfig": "trainer.config",
    "RunRecord": "trainer.storage.records",
    "UserError": "trainer.errors",
    "evaluate": "trainer.evaluation",
    "train": "trainer.loop",
}

_NEED_BACKEND = ("trainer.evaluation", "trainer.loop")

__all__ = [*_HOMES, "tasks"]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name == "tasks":
        return importlib.import_module("trainer.tasks")
    if name not in _HOMES:
        raise AttributeError(f"module 'trainer' has no attribute {name!r}")
    if _HOMES[name] in _NEED_BACKEND and "keras" not in sys.modules:
        from trainer.cli.main import start_backend

        start_backend(is_lean=False)
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
