"""The minion recurrent units MiRU1 and MiRU2, with their equations in the docstrings."""

from typing import Any

import keras

from rnn_zoo.cells.base import AbstractRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class MiRU1Cell(AbstractRNNCell):
    """Minion recurrent unit, a GRU with a number as its update gate (Zyarah & Kudithipudi, 2025).

        r  = σ(W^r x + U^r h + b^r)              (1)
        c  = s(W^c x + U^c (r · h) + b^c)        (2)
        h' = λ h + (1 - λ) c                     (3)

    λ is a hyperparameter (arXiv:2503.06175). No gate carries b^fg.

    Args:
        units: N.
        update_coefficient: λ, the share of the old state that a step keeps, from 0 to 1.
        **kwargs: other arguments of `AbstractRNNCell`.
    """

    gates = ("r", "c")
    lane_options = ("update_coefficient",)

    def __init__(self, units: int, update_coefficient: float = 0.5, **kwargs: Any):
        super().__init__(units, **kwargs)
        self.update_coefficient = update_coefficient

    def step(self, ops, x, pre, states):
        (h,) = states
        r = self.recurrent_activation(pre("r", h))  # (1)
        c = self.activation(pre("c", r * h))  # (2)
        h = self.update_coefficient * h + (1 - self.update_coefficient) * c  # (3)
        return h, [h]


@keras.saving.register_keras_serializable("rnn_zoo")
class MiRU2Cell(AbstractRNNCell):
    """Minion recurrent unit with numbers as both of its gates (Zyarah & Kudithipudi, 2025).

        c  = s(W^c x + U^c (θ h) + b^c)          (1)
        h' = λ h + (1 - λ) c                     (2)

    λ and θ are hyperparameters (arXiv:2503.06175). No gate carries b^fg.

    Args:
        units: N.
        update_coefficient: λ, the share of the old state that a step keeps, from 0 to 1.
        reset_coefficient: θ, the factor of the old state in the candidate.
        **kwargs: other arguments of `AbstractRNNCell`.
    """

    gates = ("c",)
    lane_options = ("update_coefficient", "reset_coefficient")

    def __init__(
        self,
        units: int,
        update_coefficient: float = 0.5,
        reset_coefficient: float = 0.5,
        **kwargs: Any,
    ):
        super().__init__(units, **kwargs)
        self.update_coefficient = update_coefficient
        self.reset_coefficient = reset_coefficient

    def step(self, ops, x, pre, states):
        (h,) = states
        c = self.activation(pre("c", self.reset_coefficient * h))  # (1)
        h = self.update_coefficient * h + (1 - self.update_coefficient) * c  # (2)
        return h, [h]
