"""The light GRU, with equations (1) to (3) in its docstring."""

from collections.abc import Callable
from typing import Any

import keras

from rnn_zoo.cells.base import AbstractRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class LiGRUCell(AbstractRNNCell):
    """Light GRU, without a reset gate and with a ReLU candidate (Ravanelli et al., 2018).

        z  = σ(W^z x + U^z h + b^z + b^fg)       (1)
        c  = s(W^c x + U^c h + b^c)              (2)
        h' = z · h + (1 - z) · c                 (3)

    The original cell (arXiv:1803.10225) applies batch normalization to W x. It is left out here: a
    step sees one time step and must not mix samples. The update gate z keeps the old state and
    carries b^fg; `gate_bias=0` reproduces the rest of the original, where s = ReLU.

    Args:
        units: N.
        activation: the nonlinearity s of the candidate.
        **kwargs: other arguments of `AbstractRNNCell`.
    """

    gates = ("z", "c")
    forget_gates = ("z",)

    def __init__(self, units: int, activation: str | Callable = "relu", **kwargs: Any):
        super().__init__(units, activation=activation, **kwargs)

    def step(self, ops, x, pre, states):
        (h,) = states
        z = self.recurrent_activation(pre("z", h) + self.gate_bias["z"])  # (1)
        c = self.activation(pre("c", h))  # (2)
        h = z * h + (1 - z) * c  # (3)
        return h, [h]
