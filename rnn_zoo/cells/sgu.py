"""The simple gated unit and its deep form, with the equations in their docstrings."""

import keras

from rnn_zoo.algebra import Gate
from rnn_zoo.cells.base import AbstractRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class SGUCell(AbstractRNNCell):
    """Simple gated unit: the input multiplies the state (Gao & Glowacka, 2016).

        g  = W^x x + b^x                            (1)
        m  = s(U^g (g · h))                         (2)
        o  = softplus(m · h)                        (3)
        z  = clip(0.2 (W^z x + U^z h + b^z - b^fg) + 0.5, 0, 1)     (4)
        h' = (1 - z) · h + z · o                    (5)

    (4) is a hard sigmoid. 1 - z keeps the old state, so b^fg is subtracted in it. The original cell
    (arXiv:1604.02910) has no b^fg and s = tanh; `gate_bias=0` reproduces it.
    """

    gates = {
        "x": Gate(recurrent=None),
        "g": Gate(input=False, bias=False),
        "z": Gate(),
    }
    forget_gates = ("z",)
    has_candidate = False

    def step(self, ops, x, pre, states):
        (h,) = states
        m = self.activation(pre("g", pre("x") * h))  # (1), (2)
        o = self.candidate(ops, pre, m * h)  # (3)
        z = ops.clip(0.2 * (pre("z", h) - self.gate_bias["z"]) + 0.5, 0.0, 1.0)  # (4)
        h = (1 - z) * h + z * o  # (5)
        return h, [h]

    def candidate(self, ops, pre, gated):
        """Return o, from m · h."""
        return ops.softplus(gated)


@keras.saving.register_keras_serializable("rnn_zoo")
class DSGUCell(SGUCell):
    """Deep simple gated unit: another matrix before the output (Gao & Glowacka, 2016).

        o  = σ(U^o (m · h))                         (3)

    in place of (3) of `SGUCell`, whose other equations it has. o is then between 0 and 1, which
    keeps the state there.
    """

    gates = {**SGUCell.gates, "o": Gate(input=False, bias=False)}

    def candidate(self, ops, pre, gated):
        return ops.sigmoid(pre("o", gated))  # (3)
