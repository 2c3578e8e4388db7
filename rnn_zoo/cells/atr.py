"""The addition-subtraction twin-gated RNN, with equations (1) to (5) in its docstring."""

import keras

from rnn_zoo.algebra import Gate
from rnn_zoo.cells.base import AbstractRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class ATRCell(AbstractRNNCell):
    """Addition-subtraction twin-gated RNN: two gates of two matrices (Zhang et al., 2018).

        p  = W x                                    (1)
        q  = U h + b                                (2)
        i  = σ(p + q)                               (3)
        f  = σ(p - q + b^fg)                        (4)
        h' = i · p + f · h                          (5)

    The forget gate f keeps the old state and carries b^fg, under the name of q. The equations of
    the paper (arXiv:1810.12546) have no biases; its authors' code has that of (2). Without b^fg,
    `gate_bias=0`, the cell is the code's. There is no nonlinearity but the gates'.
    """

    gates = {"p": Gate(recurrent=None, bias=False), "q": Gate(input=False)}
    forget_gates = ("q",)

    def step(self, ops, x, pre, states):
        (h,) = states
        p, q = pre("p"), pre("q", h)  # (1), (2)
        i = self.recurrent_activation(p + q)  # (3)
        f = self.recurrent_activation(p - q + self.gate_bias["q"])  # (4)
        h = i * p + f * h  # (5)
        return h, [h]
