"""Points of a keras-tuner search space as vectors for a Gaussian process, and back.

A number is one feature, its quantile in its own law: a log-uniform range becomes [0, 1] evenly. An
unordered choice is one feature a value, one of them 1. What does not count where another
hyperparameter has its value lies in the middle, so that it cannot tell two points apart.

Legend: d features, C candidates.
"""

import numpy as np
from keras_tuner.engine.hyperparameters import Choice, Fixed

#: The largest quantile: keras-tuner's laws are defined below 1 only.
BELOW_ONE = 1 - 1e-9


class Features:
    """The features of a search space.

    Args:
        hyperparameters: a `keras_tuner.HyperParameters`, whose conditions are understood.

    Attributes:
        size: d.
        choices: list of arrays, the columns of each unordered choice.
    """

    def __init__(self, hyperparameters):
        self._columns, self.size = [], 0
        for hp in hyperparameters.space:
            width = _width(hp)
            self._columns.append((hp, np.arange(self.size, self.size + width)))
            self.size += width
        #: Numbers and choices of more than one value.
        self.num_free = sum(len(columns) > 0 for _, columns in self._columns)
        self.choices = [columns for _, columns in self._columns if len(columns) > 1]

    def draw(self, rng, count):
        """Points by the hyperparameters' own laws, (count, d).

        Args:
            rng: a `numpy.random.Generator`.
        """
        vectors = rng.random((count, self.size))
        for columns in self.choices:
            vectors[:, columns] = np.eye(len(columns))[rng.integers(len(columns), size=count)]
        return self.settle(vectors)

    def encode(self, values):
        """The vector (d,) of a dict from name to value."""
        vector = np.empty(self.size)
        for hp, columns in self._columns:
            if hp.name not in values or not _is_active(hp, values):
                vector[columns] = _middle(columns)
            elif len(columns) > 1:
                vector[columns] = [value == values[hp.name] for value in hp.values]
            elif len(columns):
                vector[columns] = hp.value_to_prob(values[hp.name])
        return np.clip(vector, 0.0, 1.0)

    def decode(self, vector):
        """The dict from name to value at a vector (d,), of what counts there."""
        values = {}
        for hp, columns in self._columns:
            if _is_active(hp, values):
                values[hp.name] = _value(hp, vector[columns])
        return values

    def settle(self, vectors):
        """The vectors (C, d) with what does not count in the middle, what counts chosen."""
        vectors, chosen = vectors.copy(), {}
        parents = {condition.name for hp, _ in self._columns for condition in hp.conditions}
        for hp, columns in self._columns:
            counts = np.ones(len(vectors), bool)
            for condition in hp.conditions:
                allowed = {*condition.values}
                counts &= [value in allowed for value in chosen[condition.name]]
            if not counts.all():
                vectors[np.ix_(~counts, columns)] = _middle(columns)
            if len(columns) > 1 and hp.conditions:
                chosen_columns = vectors[:, columns].argmax(1)
                vectors[np.ix_(counts, columns)] = np.eye(len(columns))[chosen_columns[counts]]
            if hp.name in parents:
                values = chosen.setdefault(hp.name, [None] * len(vectors))
                for row in np.flatnonzero(counts):
                    values[row] = _value(hp, vectors[row, columns])
        return vectors

    def free(self, vector):
        """Which features (d,) of a point may move a little: numbers that count there."""
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
