"""The gated recurrent unit, eqs. (5) to (8)."""

import keras

from rnn_zoo.cells.base import AbstractRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class GRUCell(AbstractRNNCell):
    """Gated recurrent unit (Cho et al., 2014; section 1.4).

    The reset gate r multiplies the state before the matrix product, eq. (7), like
    `reset_after=False` in `keras.layers.GRU`. The update gate u keeps the old state, eq. (8), and
    carries b^fg.
    """

    gates = ("r", "u", "c")
    forget_gates = ("u",)

    def step(self, ops, x, pre, states):
        (h,) = states
        r = self.recurrent_activation(pre("r", h))  # (5)
        u = self.recurrent_activation(pre("u", h) + self.gate_bias["u"])  # (6)
        c = self.activation(pre("c", r * h))  # (7)
        h = u * h + (1 - u) * c  # (8)
        return h, [h]
