"""The light recurrent unit, with equations (1) to (3) in its docstring."""

import keras

from rnn_zoo.algebra import Gate
from rnn_zoo.cells.base import AbstractRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class LightRUCell(AbstractRNNCell):
    """Light recurrent unit: one gate, and a candidate of the input alone (Ye et al., 2024).

        c  = s(W^c x)                            (1)
        f  = σ(W^f x + U^f h + b^f - b^fg)       (2)
        h' = (1 - f) · h + f · c                 (3)

    1 - f keeps the old state, so b^fg is subtracted in (2), which adds it to the pre-activation of
    1 - f. The original cell (doi:10.3390/electronics13163204) has no b^fg and uses s = tanh;
    `gate_bias=0` reproduces it.
    """

    gates = {"c": Gate(recurrent=None, bias=False), "f": Gate()}
    forget_gates = ("f",)

    def step(self, ops, x, pre, states):
        (h,) = states
        c = self.activation(pre("c"))  # (1)
        f = self.recurrent_activation(pre("f", h) - self.gate_bias["f"])  # (2)
        h = (1 - f) * h + f * c  # (3)
        return h, [h]
