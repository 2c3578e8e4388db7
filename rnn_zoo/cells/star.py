"""The stackable recurrent cell, with equations (1) to (3) in its docstring."""

import keras

from rnn_zoo.algebra import Gate
from rnn_zoo.cells.base import AbstractRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class STARCell(AbstractRNNCell):
    """Stackable recurrent cell, made for stacks of many layers (Turkoglu et al., 2019).

        z  = s(W^z x + b^z)                      (1)
        k  = σ(W^k x + U^k h + b^k - b^fg)       (2)
        h' = tanh((1 - k) · h + k · z)           (3)

    1 - k keeps the old state, so b^fg is subtracted in (2), which adds it to the pre-activation of
    1 - k. The original cell (arXiv:1911.11033) has no b^fg and uses s = tanh; `gate_bias=0`
    reproduces it.
    """

    gates = {"z": Gate(recurrent=None), "k": Gate()}
    forget_gates = ("k",)

    def step(self, ops, x, pre, states):
        (h,) = states
        z = self.activation(pre("z"))  # (1)
        k = self.recurrent_activation(pre("k", h) - self.gate_bias["k"])  # (2)
        h = ops.tanh((1 - k) * h + k * z)  # (3)
        return h, [h]
