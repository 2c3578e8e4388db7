"""Conversion between points of a keras-tuner search space and vectors for a Gaussian process.

A number is one feature: its quantile in its own distribution, so a log-uniform range maps evenly to
[0, 1]. An unordered choice is one-hot. A hyperparameter whose condition does not hold is inactive;
its features are constant, at the middle of their range, so they do not distinguish points.

Legend: d features, C candidates.
"""

from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.hyperparameters import Choice, Fixed

#: Largest quantile: keras-tuner's distributions are defined only below 1.
BELOW_ONE = 1 - 1e-9


class Features:
    """Features of a search space.

    Args:
        hyperparameters: the space, which may have conditions.

    Attributes:
        size: d.
        num_free: number of hyperparameters that have more than one value.
        choices: column indices of each unordered choice.
    """

    def __init__(self, hyperparameters: keras_tuner.HyperParameters):
        self._columns: list[tuple[Any, np.ndarray]] = []
        self.size = 0
        for hp in hyperparameters.space:
            width = _width(hp)
            self._columns.append((hp, np.arange(self.size, self.size + width)))
            self.size += width
        self.num_free = sum(len(columns) > 0 for _, columns in self._columns)
        self.choices = [columns for _, columns in self._columns if len(columns) > 1]

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Draw points (count, d), each hyperparameter from its own distribution."""
        vectors = rng.random((count, self.size))
        for columns in self.choices:
            vectors[:, columns] = np.eye(len(columns))[rng.integers(len(columns), size=count)]
        return self.settle(vectors)

    def encode(self, values: dict[str, Any]) -> np.ndarray:
        """Return the vector (d,) of a dict from name to value."""
        vector = np.empty(self.size)
        for hp, columns in self._columns:
            if hp.name not in values or not _is_active(hp, values):
                vector[columns] = _middle(columns)
            elif len(columns) > 1:
                vector[columns] = [value == values[hp.name] for value in hp.values]
            elif len(columns):
                vector[columns] = hp.value_to_prob(values[hp.name])
        return np.clip(vector, 0.0, 1.0)

    def decode(self, vector: np.ndarray) -> dict[str, Any]:
        """Return a dict from name to value for a vector (d,), without inactive names."""
        values: dict[str, Any] = {}
        for hp, columns in self._columns:
            if _is_active(hp, values):
                values[hp.name] = _value(hp, vector[columns])
        return values

    def settle(self, vectors: np.ndarray) -> np.ndarray:
        """Return the vectors (C, d) with inactive features centred and active choices one-hot."""
        vectors = vectors.copy()
        chosen: dict[str, list] = {}
        parents = {condition.name for hp, _ in self._columns for condition in hp.conditions}
        for hp, columns in self._columns:
            active = np.ones(len(vectors), bool)
            for condition in hp.conditions:
                allowed = {*condition.values}
                active &= [value in allowed for value in chosen[condition.name]]
            if not active.all():
                vectors[np.ix_(~active, columns)] = _middle(columns)
            if len(columns) > 1 and hp.conditions:
                chosen_columns = vectors[:, columns].argmax(1)
                vectors[np.ix_(active, columns)] = np.eye(len(columns))[chosen_columns[active]]
            if hp.name in parents:
                values = chosen.setdefault(hp.name, [None] * len(vectors))
                for row in np.flatnonzero(active):
                    values[row] = _value(hp, vectors[row, columns])
        return vectors

    def free(self, vector: np.ndarray) -> np.ndarray:
        """Return a mask (d,) of the features that can move continuously: the active numbers."""
        values, free = self.decode(vector), np.zeros(self.size, bool)
        for hp, columns in self._columns:
            free[columns] = len(columns) == 1 and _is_active(hp, values)
        return free


def _width(hp):
    if isinstance(hp, Fixed) or getattr(hp, "min_value", 0) == getattr(hp, "max_value", 1):
        return 0
    if isinstance(hp, Choice):
        return 0 if len(hp.values) == 1 else 1 if hp.ordered else len(hp.values)
    return 1


def _value(hp, features):
    if not len(features):
        return hp.default
    if len(features) > 1:
        return hp.values[int(np.argmax(features))]
    return hp.prob_to_value(float(np.clip(features[0], 0, BELOW_ONE)))


def _middle(columns):
    return 1 / len(columns) if len(columns) > 1 else 0.5


def _is_active(hp, values):
    return all(condition.is_active(values) for condition in hp.conditions)
