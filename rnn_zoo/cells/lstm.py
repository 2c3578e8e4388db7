"""Long short-term memory, eqs. (9) to (14)."""

import keras

from rnn_zoo.cells.base import AbstractRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class LSTMCell(AbstractRNNCell):
    """Long short-term memory with a forget gate (Hochreiter & Schmidhuber, 1997; section 1.4).

    The nonlinearity s applies to the candidate only, eq. (11). The output is always tanh, eq. (14),
    whereas `keras.layers.LSTM` uses its `activation` in both. States: h, then the memory c.
    """

    gates = ("i", "f", "c", "o")
    forget_gates = ("f",)
    state_names = ("h", "c")

    def step(self, ops, x, pre, states):
        h, c = states
        i = self.recurrent_activation(pre("i", h))  # (9)
        f = self.recurrent_activation(pre("f", h) + self.gate_bias["f"])  # (10)
        c_in = self.activation(pre("c", h))  # (11)
        c = f * c + i * c_in  # (12)
        o = self.recurrent_activation(pre("o", h))  # (13)
        h = o * ops.tanh(c)  # (14)
        return h, [h, c]
