"""The multiplicative LSTM, with equations (1) to (7) in its docstring."""

import keras

from rnn_zoo.algebra import Gate
from rnn_zoo.cells.base import AbstractRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class MultiplicativeLSTMCell(AbstractRNNCell):
    """LSTM whose recurrent matrices depend on the input (Krause et al., 2016).

        m    = (W^m x) · (U^m h)                      (1)
        i    = σ(W^i x + U^i m + b^i)                 (2)
        f    = σ(W^f x + U^f m + b^f + b^fg)          (3)
        c_in = s(W^c x + U^c m + b^c)                 (4)
        c'   = f · c + i · c_in                       (5)
        o    = σ(W^o x + U^o m + b^o)                 (6)
        h'   = o · tanh(c')                           (7)

    The intermediate state m takes the place of h in an LSTM. The equations are said to be those of
    the last version of arXiv:1609.07959. They have no biases; `use_bias=False` and `gate_bias=0`
    reproduce them. Earlier versions are said to have h' = tanh(o · c').

    The gates `mx` and `mh` are the factors of (1). States: h, then the memory c.
    """

    gates = {
        "mx": Gate(recurrent=None, bias=False),
        "mh": Gate(input=False, bias=False),
        "i": Gate(),
        "f": Gate(),
        "c": Gate(),
        "o": Gate(),
    }
    forget_gates = ("f",)
    state_names = ("h", "c")

    def step(self, ops, x, pre, states):
        h, c = states
        m = pre("mx") * pre("mh", h)  # (1)
        i = self.recurrent_activation(pre("i", m))  # (2)
        f = self.recurrent_activation(pre("f", m) + self.gate_bias["f"])  # (3)
        c_in = self.activation(pre("c", m))  # (4)
        c = f * c + i * c_in  # (5)
        o = self.recurrent_activation(pre("o", m))  # (6)
        h = o * ops.tanh(c)  # (7)
        return h, [h, c]
