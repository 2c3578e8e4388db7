"""The LSTM with working memory connections, with equations (1) to (6) in its docstring."""

import keras

from rnn_zoo.algebra import Gate
from rnn_zoo.cells.base import AbstractRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class WMCLSTMCell(AbstractRNNCell):
    """LSTM with working memory connections from the memory to the gates (Landi et al., 2021).

        i    = σ(W^i x + U^i h + tanh(V^i c) + b^i)               (1)
        f    = σ(W^f x + U^f h + tanh(V^f c) + b^f + b^fg)        (2)
        c_in = s(W^c x + U^c h + b^c)                             (3)
        c'   = f · c + i · c_in                                   (4)
        o    = σ(W^o x + U^o h + tanh(V^o c') + b^o)              (5)
        h'   = o · tanh(c')                                       (6)

    Unlike peepholes, V are matrices, and their products are bounded. The original
    (arXiv:2109.00020) has no b^fg; `gate_bias=0` reproduces it. The gates `vi`, `vf` and `vo` hold
    V. States: h, then the memory c.
    """

    gates = {
        "i": Gate(),
        "f": Gate(),
        "c": Gate(),
        "o": Gate(),
        "vi": Gate(input=False, bias=False),
        "vf": Gate(input=False, bias=False),
        "vo": Gate(input=False, bias=False),
    }
    forget_gates = ("f",)
    state_names = ("h", "c")

    def step(self, ops, x, pre, states):
        h, c = states
        i = self.recurrent_activation(pre("i", h) + ops.tanh(pre("vi", c)))  # (1)
        f = pre("f", h) + ops.tanh(pre("vf", c)) + self.gate_bias["f"]
        f = self.recurrent_activation(f)  # (2)
        c_in = self.activation(pre("c", h))  # (3)
        c = f * c + i * c_in  # (4)
        o = self.recurrent_activation(pre("o", h) + ops.tanh(pre("vo", c)))  # (5)
        h = o * ops.tanh(c)  # (6)
        return h, [h, c]
