"""Hyperparameter search as in the paper: studies, sweeps and their report.

Names are imported on first use, so that invalid flags are reported without starting a backend.
"""

import importlib
from typing import Any

_HOMES = {
    "Study": "tuning.study.study",
    "StudyConfig": "tuning.config",
    "load": "tuning.loading",
}

__all__ = [*_HOMES]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tuning' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
