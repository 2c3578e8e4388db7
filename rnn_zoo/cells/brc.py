"""The bistable recurrent cells BRC and nBRC, with their equations in the docstrings."""

import keras

from rnn_zoo.algebra import Diagonal, Gate
from rnn_zoo.cells.base import AbstractRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class BRCCell(AbstractRNNCell):
    """Bistable recurrent cell, whose units see only themselves (Vecoven et al., 2021).

        a  = 1 + tanh(W^a x + u^a · h + b^a)            (1)
        c  = σ(W^c x + u^c · h + b^c + b^fg)            (2)
        h' = c · h + (1 - c) · s(W^h x + a · h)         (3)

    A unit with a > 1 has two stable states, which it can keep for ever. The gate c keeps the old
    state and carries b^fg. The original (doi:10.1371/journal.pone.0252676) has no b^fg and uses
    s = tanh; `gate_bias=0` reproduces it. Biases, and u that start at 1, are those of its authors'
    code.
    """

    gates = {
        "a": Gate(recurrent=Diagonal(1.0)),
        "c": Gate(recurrent=Diagonal(1.0)),
        "h": Gate(recurrent=None, bias=False),
    }
    forget_gates = ("c",)

    def step(self, ops, x, pre, states):
        (h,) = states
        a = 1 + ops.tanh(pre("a", h))  # (1)
        c = self.recurrent_activation(pre("c", h) + self.gate_bias["c"])  # (2)
        h = c * h + (1 - c) * self.activation(pre("h") + a * h)  # (3)
        return h, [h]


@keras.saving.register_keras_serializable("rnn_zoo")
class NBRCCell(BRCCell):
    """Neuromodulated bistable recurrent cell (Vecoven et al., 2021).

    The equations are those of `BRCCell`, with matrices U^a and U^c in place of the vectors u, so
    that all units modulate each other.
    """

    gates = {"a": Gate(), "c": Gate(), "h": Gate(recurrent=None, bias=False)}
