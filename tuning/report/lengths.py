"""Measurements at multiples of the trained length, from the column `lengths` of `trials.read`."""

import json
import math
from typing import Any

import pandas as pd


def rows(trials: pd.DataFrame) -> pd.DataFrame:
    """A row per trial and length, with the additional columns `multiple`, `ratio` and `accuracy`.

    The ratio is the loss divided by the chance loss of the length. Both numbers are NaN if the loss
    is not finite, and the accuracy if the task has none.
    """
    found = trials.assign(length=trials.lengths.map(json.loads)).explode("length")
    found = found.dropna(subset="length").reset_index(drop=True)
    numbers = pd.DataFrame(map(_numbers, found.length), columns=["multiple", "ratio", "accuracy"])
    return found.drop(columns="length").join(numbers)


def have_accuracy(found: pd.DataFrame) -> bool:
    """Whether all finite measurements of `rows` have an accuracy."""
    return bool(found.accuracy[found.ratio.notna()].notna().all())


def _numbers(length: dict[str, Any]) -> tuple[int, float, float]:
    metrics = length["metrics"] or {}
    loss, accuracy = (metrics.get(name) for name in ("loss", "accuracy"))
    ratio = loss / length["chance_loss"] if loss is not None and length["chance_loss"] else math.nan
    return length["multiple"], ratio, accuracy if isinstance(accuracy, (int, float)) else math.nan
