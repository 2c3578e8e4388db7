"""The LSTM with a memory controller, with equations (1) to (8) in its docstring."""

import keras

from rnn_zoo.cells.base import AbstractRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class MCLSTMCell(AbstractRNNCell):
    """LSTM that feeds back a memory control vector v, not its output (Ben-Ari, 2017).

        i    = σ(W^i x + U^i v + b^i)               (1)
        f    = σ(W^f x + U^f v + b^f + b^fg)        (2)
        c_in = s(W^c x + U^c v + b^c)               (3)
        c'   = f · c + i · c_in                     (4)
        o    = σ(W^o x + U^o v + b^o)               (5)
        m    = σ(W^m x + U^m v + b^m)               (6)
        y    = o · tanh(c')                         (7)
        v'   = m · tanh(c')                         (8)

    The output y is not a state. From Ben-Ari & Shwartz-Ziv, "Sequence modeling using a memory
    controller extension for LSTM" (NIPS 2017 Time Series Workshop), where s = tanh and there is no
    b^fg; `gate_bias=0` reproduces it. States: v, then the memory c.
    """

    gates = ("i", "f", "c", "o", "m")
    forget_gates = ("f",)
    state_names = ("v", "c")

    def step(self, ops, x, pre, states):
        v, c = states
        i = self.recurrent_activation(pre("i", v))  # (1)
        f = self.recurrent_activation(pre("f", v) + self.gate_bias["f"])  # (2)
        c_in = self.activation(pre("c", v))  # (3)
        c = f * c + i * c_in  # (4)
        o = self.recurrent_activation(pre("o", v))  # (5)
        m = self.recurrent_activation(pre("m", v))  # (6)
        squashed = ops.tanh(c)
        return o * squashed, [m * squashed, c]  # (7), (8)
