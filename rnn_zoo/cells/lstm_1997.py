"""The LSTM of 1997, with equations (1) to (5) in its docstring."""

import keras

from rnn_zoo.cells.base import AbstractRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class LSTM1997Cell(AbstractRNNCell):
    """Long short-term memory as first published, without a forget gate (1997).

        i    = σ(W^i x + U^i h + b^i)        (1)
        c_in = s(W^c x + U^c h + b^c)        (2)
        c'   = c + i · c_in                  (3)
        o    = σ(W^o x + U^o h + b^o)        (4)
        h'   = o · tanh(c')                  (5)

    Hochreiter & Schmidhuber (doi:10.1162/neco.1997.9.8.1735) leave the nonlinearities open and use
    4 σ(a) - 2 for s and 2 σ(c) - 1 in (5). These are 2 tanh(a / 2) and tanh(c / 2): the same
    cell, with c and the weights of (2) twice as large.

    The memory never fades, so no gate carries b^fg. States: h, then the memory c.
    """

    gates = ("i", "c", "o")
    state_names = ("h", "c")

    def step(self, ops, x, pre, states):
        h, c = states
        i = self.recurrent_activation(pre("i", h))  # (1)
        c_in = self.activation(pre("c", h))  # (2)
        c = c + i * c_in  # (3)
        o = self.recurrent_activation(pre("o", h))  # (4)
        h = o * ops.tanh(c)  # (5)
        return h, [h, c]
