"""The LSTM with peepholes, with equations (1) to (6) in its docstring."""

import keras

from rnn_zoo.algebra import Vector
from rnn_zoo.cells.base import AbstractRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class PeepholeLSTMCell(AbstractRNNCell):
    """LSTM whose gates see the memory through learned vectors p (Gers et al., 2002).

        i    = σ(W^i x + U^i h + p^i · c + b^i)               (1)
        f    = σ(W^f x + U^f h + p^f · c + b^f + b^fg)        (2)
        c_in = s(W^c x + U^c h + b^c)                         (3)
        c'   = f · c + i · c_in                               (4)
        o    = σ(W^o x + U^o h + p^o · c' + b^o)              (5)
        h'   = o · c'                                         (6)

    The output gate sees the new memory, and the output has no nonlinearity, as secondary sources
    state of the paper (JMLR 3, 115-143); most libraries use o · tanh(c'). The paper has no b^fg;
    `gate_bias=0` reproduces it. Peepholes start at 0. States: h, then the memory c.
    """

    gates = ("i", "f", "c", "o")
    vectors = {"p_i": Vector(), "p_f": Vector(), "p_o": Vector()}
    forget_gates = ("f",)
    state_names = ("h", "c")

    def step(self, ops, x, pre, states):
        h, c = states
        i = self.recurrent_activation(pre("i", h) + self.p_i * c)  # (1)
        f = self.recurrent_activation(pre("f", h) + self.p_f * c + self.gate_bias["f"])  # (2)
        c_in = self.activation(pre("c", h))  # (3)
        c = f * c + i * c_in  # (4)
        o = self.recurrent_activation(pre("o", h) + self.p_o * c)  # (5)
        h = o * c  # (6)
        return h, [h, c]
