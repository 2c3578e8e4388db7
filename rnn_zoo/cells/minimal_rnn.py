"""The MinimalRNN, equations (1) to (3) of its docstring."""

import keras

from rnn_zoo.cells.base import AbstractRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class MinimalRNNCell(AbstractRNNCell):
    """MinimalRNN: one gate between the old state and a map of the input alone (Chen, 2017).

        z  = s(W^x x + b^z)                         (1)
        u  = σ(U^h h + U^z z + b^u + b^fg)          (2)
        h' = u · h + (1 - u) · z                    (3)

    The update gate u keeps the old state and carries b^fg. arXiv:1711.06788 has no b^fg
    and s = tanh; `gate_bias=0` gives its cell.

    W^x and b^z are the cell's read-in, which it has at every depth and for inputs of any size; U^z,
    of shape (N, N), and U^h are the gate's `input` and `recurrent` matrices.
    """

    gates = ("u",)
    forget_gates = ("u",)
    mixes_input = True
    always_reads_in = True

    def after_read_in(self, ops, x):
        return self.activation(x)  # (1)

    def step(self, ops, x, pre, states):
        (h,), z = states, x
        u = ops.sigmoid(pre("u", h) + self.gate_bias["u"])  # (2)
        h = u * h + (1 - u) * z  # (3)
        return h, [h]
