"""The simple gated recurrent network, with equations (1) and (2) in its docstring."""

import keras

from rnn_zoo.algebra import Gate
from rnn_zoo.cells.base import AbstractRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class SGRNCell(AbstractRNNCell):
    """Simple gated recurrent network: gate and candidate share W (Zu et al., 2020).

        f  = σ(W x + U h + b + b^fg)                (1)
        h' = s((1 - f) · W x + f · h)               (2)

    The forget gate f keeps the old state and carries b^fg, under the name of h, the gate that holds
    U and b. The original cell (doi:10.1049/gtd2.12056) has no b^fg and s = tanh; `gate_bias=0`
    reproduces it.
    """

    gates = {"x": Gate(recurrent=None, bias=False), "h": Gate(input=False)}
    forget_gates = ("h",)
    has_candidate = False

    def step(self, ops, x, pre, states):
        (h,) = states
        of_x = pre("x")
        f = self.recurrent_activation(of_x + pre("h", h) + self.gate_bias["h"])  # (1)
        h = self.activation((1 - f) * of_x + f * h)  # (2)
        return h, [h]
