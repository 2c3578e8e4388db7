"""The recurrent additive network, with equations (1) to (4) in its docstring."""

import keras

from rnn_zoo.algebra import Gate
from rnn_zoo.cells.base import AbstractRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class RANCell(AbstractRNNCell):
    """Recurrent additive network: its memory is a weighted sum of inputs (Lee et al., 2017).

        i  = σ(W^i x + U^i h + b^i)              (1)
        f  = σ(W^f x + U^f h + b^f + b^fg)       (2)
        c' = i · (W^c x) + f · c                 (3)
        h' = s(c')                               (4)

    The candidate W^c x is linear. The original (arXiv:1705.07393) has no b^fg; `gate_bias=0`
    reproduces it, with s = tanh or `activation="linear"`. States: h, then the memory c.
    """

    gates = {"i": Gate(), "f": Gate(), "c": Gate(recurrent=None, bias=False)}
    forget_gates = ("f",)
    has_candidate = False
    state_names = ("h", "c")

    def step(self, ops, x, pre, states):
        h, c = states
        i = self.recurrent_activation(pre("i", h))  # (1)
        f = self.recurrent_activation(pre("f", h) + self.gate_bias["f"])  # (2)
        c = i * pre("c") + f * c  # (3)
        h = self.activation(c)  # (4)
        return h, [h, c]
