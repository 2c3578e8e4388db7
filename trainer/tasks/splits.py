"""Splits of stored data, ranges of positions, and windows drawn from them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from trainer import counter_rng
from trainer import lazy_ops as ops
from trainer.tasks.base import SPLITS

Tensor = Any
#: Split -> (start, stop) of its positions.
Ranges = Mapping[str, tuple[int, int]]


def bounds(ranges: Ranges, split: Any) -> tuple[Any, Any]:
    """Return the start and the stop of a split, given by its name or number."""
    if isinstance(split, str):
        return ranges[split]
    table = np.array([ranges[name] for name in SPLITS], "int32")
    start, stop = (ops.take(each, ops.cast(split, "int32")) for each in table.T)
    return start, stop


def windows(
    ranges: Ranges, split: Any, seed: Any, step: Any, batch_size: int, length: int
) -> Tensor:
    """Draw the positions of windows within a split, each window with equal probability.

    Args:
        ranges: the splits.
        split: name or number of the split.
        seed, step: as for `Task.draw`.
        batch_size: B.
        length: number of positions of a window.

    Returns:
        (..., B, length) int32.
    """
    start, stop = bounds(ranges, split)
    words = counter_rng.bits(seed, split, step, (batch_size, 2))
    first = start + counter_rng.below_large(words, stop - start - length + 1)
    return first[..., None] + ops.arange(length, dtype="int32")
