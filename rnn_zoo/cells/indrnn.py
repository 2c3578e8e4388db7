"""The independently recurrent network, with equation (1) in its docstring."""

from collections.abc import Callable
from typing import Any

import keras

from rnn_zoo.algebra import Diagonal, Gate, Uniform
from rnn_zoo.cells.base import AbstractRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class IndRNNCell(AbstractRNNCell):
    """Independently recurrent cell: each unit sees its own state only (Li et al., 2018).

        h' = s(W x + u · h + b)                     (1)

    u is a vector, so that units mix between layers only. The initial values of u are those of the
    original (arXiv:1803.04831), uniform between 0 and 1, times `recurrent_scale`. The original
    keeps u between -2^(1/T) and 2^(1/T) on sequences of length T; here u is not clipped.

    Args:
        units: N.
        activation: s, ReLU as in the original.
        **kwargs: other arguments of `AbstractRNNCell`.
    """

    gates = {"h": Gate(recurrent=Diagonal(Uniform(0.0, 1.0)))}

    def __init__(self, units: int, activation: str | Callable = "relu", **kwargs: Any):
        super().__init__(units, activation=activation, **kwargs)

    def step(self, ops, x, pre, states):
        (h,) = states
        h = self.activation(pre("h", h))  # (1)
        return h, [h]
