"""Callbacks, which are called while runs train.

    base         `Callback`, the base class
    tensorboard  curves and HParams for TensorBoard, the default
    jsonl        a JSON-lines file
    wandb        Weights & Biases
    mlflow       MLflow

A callback is named by a key of `CALLBACKS`, or by MODULE.CLASS for a class of your own.
"""

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from trainer import names
from trainer.callbacks.base import Callback
from trainer.errors import UserError

#: Name -> (module, class).
CALLBACKS = {
    "tensorboard": ("trainer.callbacks.tensorboard", "TensorBoard"),
    "jsonl": ("trainer.callbacks.jsonl", "JsonLines"),
    "wandb": ("trainer.callbacks.wandb", "WandB"),
    "mlflow": ("trainer.callbacks.mlflow", "MLflow"),
}
#: Callbacks of a run if none are given.
DEFAULT = ("tensorboard",)
_METHODS = "on_start, on_measure, on_end"


class Callbacks(Callback):
    """Calls several callbacks in order.

    Args:
        callbacks: callbacks, or names of them.
        facts: returns entries to add to the `info` of a run, by `run_id`.

    Raises:
        UserError: one of them is not a callback, or its package is not installed.
    """

    def __init__(
        self,
        callbacks: Iterable[Callback | str],
        facts: Callable[[str], Mapping[str, Any]] = lambda _: {},
    ):
        self._all = [make(callback) for callback in callbacks]
        self._facts = facts

    def on_start(self, info: dict[str, Any]) -> None:
        info = {"run_dir": None, "study": None, "first_step": 0} | info
        self._call("on_start", {**info, **self._facts(info["run_id"])})

    def on_measure(self, row: dict[str, Any]) -> None:
        self._call("on_measure", row)

    def on_end(self, record: dict[str, Any]) -> None:
        self._call("on_end", record)

    def _call(self, name, facts):
        for callback in self._all:
            if isinstance(callback, Callbacks):  # it notes its own errors
                getattr(callback, name)(facts)
                continue
            try:
                getattr(callback, name)(facts)
            except UserError:
                raise
            except Exception as error:
                if service := getattr(callback, "service", None):
                    reason = str(error).strip().partition("\n")[0] or type(error).__name__
                    raise UserError(f"{service} failed ({name}): {reason}") from None
                cls = type(callback)
                place = f"{cls.__module__}.{cls.__qualname__}.{name}"
                error.add_note(f"{type(error).__name__} in the callback {place}: {error}")
                raise


def make(callback: Callback | str) -> Callback:
    """Return a callback, given itself or its name.

    Raises:
        UserError: there is no such callback, or its package is not installed.
    """
    if not isinstance(callback, str):
        if isinstance(callback, type) or not _has_methods(callback):
            raise UserError(f"a callback is an object with {_METHODS}, or a name, not {callback!r}")
        return callback
    if callback in CALLBACKS:
        module, name = CALLBACKS[callback]
        return getattr(importlib.import_module(module), name)()
    module, _, name = callback.rpartition(".")
    if module:
        try:
            names.load([module])
        except UserError as error:
            raise UserError(f"unknown callback {callback!r}: {error}") from None
    found = getattr(sys.modules.get(module), name, None)
    if not (isinstance(found, type) and _has_methods(found)):
        if module:
            raise UserError(
                f"unknown callback {callback!r}: {module} has no class {name!r} with {_METHODS}"
            )
        known = ", ".join(CALLBACKS)
        raise UserError(
            f"unknown callback {callback!r}; choose from {known}, or MODULE.CLASS of your own"
        )
    return found()


def _has_methods(value):
    return all(hasattr(value, name) for name in _METHODS.split(", "))
