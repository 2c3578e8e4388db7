"""Samples and answers as text: defaults, and helpers for tasks with their own rendering."""

from typing import Any

import numpy as np

from trainer import lazy_ops as ops


def example(batch: Any, index: int) -> str:
    """Default of `Task.example`: inputs and targets as numbers."""
    inputs, targets = (ops.convert_to_numpy(part[index]) for part in batch[:2])
    return f"inputs\n{numbers(inputs)}\ntargets\n{numbers(targets)}"


def answer(task: Any, batch: Any, index: int, outputs: Any) -> str:
    """Default of `Task.answer`: inputs, and targets and outputs at the scored steps, as numbers."""
    given, true = scored_sample(task, batch, index, outputs)
    parts = {"inputs": batch.inputs[index], "true": true, "outputs": given}
    return "\n".join(f"{n}\n{numbers(ops.convert_to_numpy(part))}" for n, part in parts.items())


def scored_sample(task: Any, batch: Any, index: int, outputs: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return outputs (T', O) and targets (T', ...) of one sample at the scored steps."""
    given, true = (ops.convert_to_numpy(part[index]) for part in task.scored(outputs, batch))
    return given, true


def numbers(array: np.ndarray) -> str:
    """Format an array to two decimals; long ones are abbreviated."""
    return np.array2string(np.asarray(array), precision=2, threshold=100)


def verdict(is_right: bool) -> str:
    """Return "right" or "wrong"."""
    return "right" if is_right else "wrong"
