"""The gated recurrent unit with delayed feedback, with equations (1) to (5) in its docstring."""

import keras

from rnn_zoo.cells.base import AbstractRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class TauGRUCell(AbstractRNNCell):
    """τ-GRU: gated feedback of the state of τ steps before (Erichson et al., 2025).

        u  = s(W^u x + U^u h + b^u)                 (1)
        z  = s(W^z x + U^z h_τ + b^z)               (2)
        g  = σ(W^g x + U^g h + b^g - b^fg)          (3)
        a  = σ(W^a x + U^a h + b^a)                 (4)
        h' = (1 - g) · h + g · (u + a · z)          (5)

    h_τ is the state τ steps before h. 1 - g keeps the old state, so b^fg is subtracted in (3). The
    original cell (arXiv:2212.00228) has no b^fg and s = tanh; `gate_bias=0` reproduces it.

    The states are h and the τ states before it, here three; a subclass with other `state_names` has
    another delay. All their initial values are learned.
    """

    gates = ("u", "z", "g", "a")
    forget_gates = ("g",)
    state_names = ("h", "h1", "h2", "h3")

    def step(self, ops, x, pre, states):
        h, delayed = states[0], states[-1]
        u = self.activation(pre("u", h))  # (1)
        z = self.activation(pre("z", delayed))  # (2)
        g = self.recurrent_activation(pre("g", h) - self.gate_bias["g"])  # (3)
        a = self.recurrent_activation(pre("a", h))  # (4)
        new = (1 - g) * h + g * (u + a * z)  # (5)
        return new, [new, *states[:-1]]
