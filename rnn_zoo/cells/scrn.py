"""The structurally constrained recurrent network, with equations (1) to (3) in its docstring."""

from typing import Any

import keras

from rnn_zoo.algebra import Gate
from rnn_zoo.cells.base import AbstractRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class SCRNCell(AbstractRNNCell):
    """Structurally constrained RNN: fast units h, slow context s (Mikolov et al., 2015).

        s' = (1 - α) B x + α s                      (1)
        h' = σ(P s' + A x + R h + b)                (2)
        y  = U h' + V s'                            (3)

    The output is y. In the original (arXiv:1412.7753) it is a softmax of (3); here that is left to
    the readout. The original has no biases; one in (1) or (3) would be redundant with
    those of (2) and the readout.

    Args:
        units: N, of h, s and y alike.
        alpha: α, which sets how slowly the context changes; 0.95 in the original.
        **kwargs: other arguments of `AbstractRNNCell`.
    """

    gates = {
        "b": Gate(recurrent=None, bias=False),
        "h": Gate(),
        "p": Gate(input=False, bias=False),
        "u": Gate(input=False, bias=False),
        "v": Gate(input=False, bias=False),
    }
    state_names = ("h", "s")
    lane_options = ("alpha",)

    def __init__(self, units: int, alpha: float = 0.95, **kwargs: Any):
        super().__init__(units, **kwargs)
        self.alpha = alpha

    def step(self, ops, x, pre, states):
        h, s = states
        s = (1 - self.alpha) * pre("b") + self.alpha * s  # (1)
        h = ops.sigmoid(pre("p", s) + pre("h", h))  # (2)
        y = pre("u", h) + pre("v", s)  # (3)
        return y, [h, s]
