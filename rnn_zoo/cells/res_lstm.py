"""The residual LSTM, with equations (1) to (7) in its docstring."""

import keras

from rnn_zoo.algebra import Gate, Vector
from rnn_zoo.cells.base import AbstractRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class ResLSTMCell(AbstractRNNCell):
    """Residual LSTM: its output gate also lets the layer's input through (Kim et al., 2017).

        i    = σ(W^i x + U^i h + p^i · c + b^i)               (1)
        f    = σ(W^f x + U^f h + p^f · c + b^f + b^fg)        (2)
        c_in = s(W^c x + U^c h + b^c)                         (3)
        c'   = f · c + i · c_in                               (4)
        o    = σ(W^o x + U^o h + p^o · c' + b^o)              (5)
        m    = U^m tanh(c')                                   (6)
        h'   = o · (m + x)                                    (7)

    The original (arXiv:1701.03360) has no b^fg; `gate_bias=0` reproduces it. It uses x in (7) where
    it is N wide, and a projection of x elsewhere. Here a linear read-in then projects x for all
    equations. Peepholes start at 0. States: h, then the memory c.
    """

    gates = {
        "i": Gate(),
        "f": Gate(),
        "c": Gate(),
        "o": Gate(),
        "m": Gate(input=False, bias=False),
    }
    vectors = {"p_i": Vector(), "p_f": Vector(), "p_o": Vector()}
    forget_gates = ("f",)
    state_names = ("h", "c")
    mixes_input = True

    def step(self, ops, x, pre, states):
        h, c = states
        i = self.recurrent_activation(pre("i", h) + self.p_i * c)  # (1)
        f = self.recurrent_activation(pre("f", h) + self.p_f * c + self.gate_bias["f"])  # (2)
        c_in = self.activation(pre("c", h))  # (3)
        c = f * c + i * c_in  # (4)
        o = self.recurrent_activation(pre("o", h) + self.p_o * c)  # (5)
        m = pre("m", ops.tanh(c))  # (6)
        h = o * (m + x)  # (7)
        return h, [h, c]
