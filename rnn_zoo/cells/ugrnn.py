"""The update gate RNN, eqs. (2) to (4)."""

import keras

from rnn_zoo.cells.base import AbstractRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class UGRNNCell(AbstractRNNCell):
    """Update gate cell: one gate chooses between the old state and a candidate (section 1.4).

    c = s(W^ch h + W^cx x + b^c), g = σ(W^gh h + W^gx x + b^g + b^fg), h' = g · h + (1 - g) · c.
    """

    gates = ("c", "g")
    forget_gates = ("g",)

    def step(self, ops, x, pre, states):
        (h,) = states
        c = self.activation(pre("c", h))  # (2)
        g = self.recurrent_activation(pre("g", h) + self.gate_bias["g"])  # (3)
        h = g * h + (1 - g) * c  # (4)
        return h, [h]
