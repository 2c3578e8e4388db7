"""JANET, with equations (1) to (3) in its docstring."""

from typing import Any

import keras

from rnn_zoo.cells.base import AbstractRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class JANETCell(AbstractRNNCell):
    """JANET, an LSTM with only the forget gate (van der Westhuizen & Lasenby, 2018).

        z  = W^f x + U^f h + b^f + b^fg                (1)
        c  = s(W^c x + U^c h + b^c)                    (2)
        h' = σ(z) · h + (1 - σ(z - β)) · c             (3)

    With β > 0 the cell writes more than it forgets. The original cell (arXiv:1804.04849) has no
    b^fg and uses s = tanh; `gate_bias=0` reproduces it.

    Args:
        units: N.
        beta: β, 1 in the original.
        **kwargs: other arguments of `AbstractRNNCell`.
    """

    gates = ("f", "c")
    forget_gates = ("f",)
    lane_options = ("beta",)

    def __init__(self, units: int, beta: float = 1.0, **kwargs: Any):
        super().__init__(units, **kwargs)
        self.beta = beta

    def step(self, ops, x, pre, states):
        (h,) = states
        z = pre("f", h) + self.gate_bias["f"]  # (1)
        c = self.activation(pre("c", h))  # (2)
        f, i = ops.sigmoid(z), 1 - ops.sigmoid(z - self.beta)
        h = f * h + i * c  # (3)
        return h, [h]
