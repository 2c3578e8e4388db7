"""FastRNN and FastGRNN, with the equations in their docstrings."""

import keras

from rnn_zoo.algebra import Gate, Scalar, Vector
from rnn_zoo.cells.base import AbstractRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class FastRNNCell(AbstractRNNCell):
    """FastRNN: an RNN with a weighted residual connection (Kusupati et al., 2018).

        c  = s(W x + U h + b)                       (1)
        h' = σ(α) c + σ(β) h                        (2)

    α and β are learned numbers, -3 and 3 at first as in the authors' code. The sigmoid keeps both
    weights between 0 and 1 (arXiv:1901.02358).
    """

    gates = ("h",)
    vectors = {"alpha": Scalar(-3.0), "beta": Scalar(3.0)}

    def step(self, ops, x, pre, states):
        (h,) = states
        c = self.activation(pre("h", h))  # (1)
        h = ops.sigmoid(self.alpha) * c + ops.sigmoid(self.beta) * h  # (2)
        return h, [h]


@keras.saving.register_keras_serializable("rnn_zoo")
class FastGRNNCell(AbstractRNNCell):
    """FastGRNN: a gate that shares its matrices with the candidate (Kusupati et al., 2018).

        z  = σ(W x + U h + b^z + b^fg)              (1)
        c  = s(W x + U h + b^c)                     (2)
        h' = (σ(ζ) (1 - z) + σ(ν)) · c + z · h      (3)

    ζ and ν are learned numbers, 1 and -4 at first as in the authors' code. The gate z keeps the old
    state and carries b^fg. The original cell (arXiv:1901.02358) has no b^fg; `gate_bias=0`
    reproduces it. Its authors start b^z and b^c at 1, this cell at 0.

    The original may also factor its matrices. A subclass with
    `gates = {"z": Gate(recurrent=LowRank(4), bias=False)}` has a U of rank N/4.
    """

    gates = {"z": Gate(bias=False)}
    vectors = {"b_z": Vector(), "b_c": Vector(), "zeta": Scalar(1.0), "nu": Scalar(-4.0)}
    forget_gates = ("z",)

    def step(self, ops, x, pre, states):
        (h,) = states
        shared = pre("z", h)
        z = self.recurrent_activation(shared + self.b_z + self.gate_bias["z"])  # (1)
        c = self.activation(shared + self.b_c)  # (2)
        h = (ops.sigmoid(self.zeta) * (1 - z) + ops.sigmoid(self.nu)) * c + z * h  # (3)
        return h, [h]
