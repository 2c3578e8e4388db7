"""The minimal gated unit, with equations (1) to (3) in its docstring."""

import keras

from rnn_zoo.cells.base import AbstractRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class MGUCell(AbstractRNNCell):
    """Minimal gated unit: one gate both resets the state and replaces it (Zhou et al., 2016).

        f    = σ(W^f x + U^f h + b^f - b^fg)       (1)
        h_in = s(W^h x + U^h (f · h) + b^h)        (2)
        h'   = (1 - f) · h + f · h_in              (3)

    The gate is oriented as in arXiv:1603.09420, opposite to the GRU's u: 1 - f keeps the old state.
    So b^fg is subtracted in (1), which adds it to the pre-activation of 1 - f. The original cell
    has no b^fg and uses s = tanh; `gate_bias=0` reproduces it.
    """

    gates = ("f", "h")
    forget_gates = ("f",)

    def step(self, ops, x, pre, states):
        (h,) = states
        f = self.recurrent_activation(pre("f", h) - self.gate_bias["f"])  # (1)
        h_in = self.activation(pre("h", f * h))  # (2)
        h = (1 - f) * h + f * h_in  # (3)
        return h, [h]
