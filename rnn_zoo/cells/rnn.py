"""The vanilla RNN and the IRNN, eq. (1)."""

from collections.abc import Callable
from typing import Any

import keras

from rnn_zoo.cells.base import AbstractRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class RNNCell(AbstractRNNCell):
    """Vanilla recurrent cell: h_t = s(W^h h_{t-1} + W^x x_t + b^h), eq. (1) of section 1.4.

    Its only "gate", h, is the candidate itself, so b^fg has no effect.
    """

    gates = ("h",)

    def step(self, ops, x, pre, states):
        (h,) = states
        h = self.activation(pre("h", h))  # (1)
        return h, [h]


@keras.saving.register_keras_serializable("rnn_zoo")
class IRNNCell(RNNCell):
    """RNN cell that starts as an integrator: W^h = identity, b^h = 0, s = ReLU (Le et al., 2015).

    The equation is that of `RNNCell`. As in appendix A, other bias initializers can be chosen.
    """

    def __init__(
        self,
        units: int,
        activation: str | Callable = "relu",
        matrix_init: str = "identity",
        **kwargs: Any,
    ):
        super().__init__(units, activation=activation, matrix_init=matrix_init, **kwargs)
