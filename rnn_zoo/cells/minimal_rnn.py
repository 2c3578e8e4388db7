"""The MinimalRNN, with equations (1) to (3) in its docstring."""

import keras

from rnn_zoo.cells.base import AbstractRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class MinimalRNNCell(AbstractRNNCell):
    """MinimalRNN: one gate between the old state and a map of the input alone (Chen, 2017).

        z  = s(W^x x + b^z)                         (1)
        u  = σ(U^h h + U^z z + b^u + b^fg)          (2)
        h' = u · h + (1 - u) · z                    (3)

    The update gate u keeps the old state and carries b^fg. The original cell (arXiv:1711.06788) has
    no b^fg and uses s = tanh; `gate_bias=0` reproduces it.

    W^x and b^z are the read-in, which the cell has at every depth and for inputs of any size. The
    gate's `input` and `recurrent` matrices are U^z, of shape (N, N), and U^h.
    """

    gates = ("u",)
    forget_gates = ("u",)
    mixes_input = True
    always_reads_in = True

    def after_read_in(self, ops, x):
        return self.activation(x)  # (1)

    def step(self, ops, x, pre, states):
        (h,), z = states, x
        u = self.recurrent_activation(pre("u", h) + self.gate_bias["u"])  # (2)
        h = u * h + (1 - u) * z  # (3)
        return h, [h]
