"""minGRU and minLSTM, with their equations in the docstrings."""

import keras

from rnn_zoo.algebra import Gate
from rnn_zoo.cells.linear import LinearRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class MinGRUCell(LinearRNNCell):
    """minGRU: a GRU whose gate and candidate see the input alone (Feng et al., 2024).

        u  = σ(W^u x + b^u + b^fg)         (1)
        h' = u · h + (1 - u) · (W^c x + b^c)     (2)

    The update gate u keeps the old state; it is 1 - z of arXiv:2410.01201, appendix B. The original
    has no b^fg; `gate_bias=0` reproduces it. Its form in log space, whose candidate and state are
    positive, is another function.
    """

    gates = {"u": Gate(recurrent=None), "c": Gate(recurrent=None)}
    forget_gates = ("u",)

    def coefficients(self, ops, x, pre, delayed):
        u = self.recurrent_activation(pre("u") + self.gate_bias["u"])  # (1)
        return {"h": (u, (1 - u) * pre("c"))}  # (2)


@keras.saving.register_keras_serializable("rnn_zoo")
class MinLSTMCell(LinearRNNCell):
    """minLSTM: an LSTM whose gates see the input alone and sum to one (Feng et al., 2024).

        f  = σ(W^f x + b^f + b^fg)                       (1)
        i  = σ(W^i x + b^i)                              (2)
        h' = f / (f + i) · h + i / (f + i) · (W^c x + b^c)     (3)

    The original (arXiv:2410.01201, appendix B) has no b^fg; `gate_bias=0` reproduces it.
    """

    gates = {"f": Gate(recurrent=None), "i": Gate(recurrent=None), "c": Gate(recurrent=None)}
    forget_gates = ("f",)

    def coefficients(self, ops, x, pre, delayed):
        f = self.recurrent_activation(pre("f") + self.gate_bias["f"])  # (1)
        i = self.recurrent_activation(pre("i"))  # (2)
        return {"h": (f / (f + i), i / (f + i) * pre("c"))}  # (3)
