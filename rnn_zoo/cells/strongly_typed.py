"""The strongly typed T-RNN, T-GRU and T-LSTM, with their equations in the docstrings."""

import keras

from rnn_zoo.algebra import Gate
from rnn_zoo.cells.linear import LinearRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class TRNNCell(LinearRNNCell):
    """T-RNN, an RNN that adds no vectors of different types (Balduzzi & Ghifary, 2016).

        f  = σ(W^f x + b^f + b^fg)         (1)
        h' = f · h + (1 - f) · W^z x       (2)

    The original (arXiv:1602.02218, section 4.1) has no b^fg; `gate_bias=0` reproduces it.
    """

    gates = {"z": Gate(recurrent=None, bias=False), "f": Gate(recurrent=None)}
    forget_gates = ("f",)

    def coefficients(self, ops, x, pre, delayed):
        f = self.recurrent_activation(pre("f") + self.gate_bias["f"])  # (1)
        return {"h": (f, (1 - f) * pre("z"))}  # (2)


class _WindowCell(LinearRNNCell):
    """Base class: gates of two inputs, W x_t + V x_{t-1} + b, where a state keeps V x_{t-1}."""

    gates = {
        "z": Gate(recurrent=None, bias=False),
        "f": Gate(recurrent=None),
        "o": Gate(recurrent=None),
        "z1": Gate(recurrent=None, bias=False),
        "f1": Gate(recurrent=None, bias=False),
        "o1": Gate(recurrent=None, bias=False),
    }
    forget_gates = ("f",)
    state_names = ("h", "z1", "f1", "o1")
    delays = {"z1": "z1", "f1": "f1", "o1": "o1"}

    def gate_f(self, pre, delayed):
        return self.recurrent_activation(pre("f") + delayed["f1"] + self.gate_bias["f"])

    def gate_o(self, pre, delayed):
        return self.activation(pre("o") + delayed["o1"])


@keras.saving.register_keras_serializable("rnn_zoo")
class TGRUCell(_WindowCell):
    """T-GRU, whose gates see the last two inputs and no state (Balduzzi & Ghifary, 2016).

        z  = W^z x + V^z x_{t-1}                       (1)
        f  = σ(W^f x + V^f x_{t-1} + b^f + b^fg)       (2)
        o  = s(W^o x + V^o x_{t-1} + b^o)              (3)
        h' = f · h + z · o                             (4)

    States: h, then V^z x, V^f x and V^o x for the next step, so that the learned initial states
    stand for the input before the first. The gates z1, f1 and o1 are V. The original
    (arXiv:1602.02218, section 4.2) has no b^fg and uses s = tanh; `gate_bias=0` reproduces it.
    """

    def coefficients(self, ops, x, pre, delayed):
        z = pre("z") + delayed["z1"]  # (1)
        f, o = self.gate_f(pre, delayed), self.gate_o(pre, delayed)  # (2), (3)
        return {"h": (f, z * o)}  # (4)


@keras.saving.register_keras_serializable("rnn_zoo")
class TLSTMCell(_WindowCell):
    """T-LSTM, whose gates see the last two inputs and no state (Balduzzi & Ghifary, 2016).

        z  = W^z x + V^z x_{t-1}                       (1)
        f  = σ(W^f x + V^f x_{t-1} + b^f + b^fg)       (2)
        o  = s(W^o x + V^o x_{t-1} + b^o)              (3)
        c' = f · c + (1 - f) · z                       (4)
        h  = o · c'                                    (5)

    States: c, then V^z x, V^f x and V^o x for the next step; the output h is none. Otherwise as
    `TGRUCell`.
    """

    state_names = ("c", "z1", "f1", "o1")

    def coefficients(self, ops, x, pre, delayed):
        z = pre("z") + delayed["z1"]  # (1)
        f = self.gate_f(pre, delayed)  # (2)
        return {"c": (f, (1 - f) * z)}  # (4)

    def output(self, ops, x, pre, states, delayed):
        return self.gate_o(pre, delayed) * states["c"]  # (3), (5)
