"""The chaos free network, with equations (1) to (3) in its docstring."""

import keras

from rnn_zoo.algebra import Gate
from rnn_zoo.cells.base import AbstractRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class CFNCell(AbstractRNNCell):
    """Chaos free network, whose state fades without an input (Laurent & von Brecht, 2016).

        θ  = σ(W^θ x + U^θ h + b^θ + b^fg)       (1)
        η  = σ(W^η x + U^η h + b^η)              (2)
        h' = θ · tanh(h) + η · s(W^c x)          (3)

    The state meets matrices only within the gates, and W^c x has no bias, so the state decays to 0
    where x = 0. θ keeps the old state and carries b^fg. The original cell (arXiv:1612.06212) has no
    b^fg and uses s = tanh; `gate_bias=0` reproduces it.
    """

    gates = {"theta": Gate(), "eta": Gate(), "c": Gate(recurrent=None, bias=False)}
    forget_gates = ("theta",)

    def step(self, ops, x, pre, states):
        (h,) = states
        theta = self.recurrent_activation(pre("theta", h) + self.gate_bias["theta"])  # (1)
        eta = self.recurrent_activation(pre("eta", h))  # (2)
        h = theta * ops.tanh(h) + eta * self.activation(pre("c"))  # (3)
        return h, [h]
