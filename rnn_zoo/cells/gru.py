"""The gated recurrent unit, eqs. (5) to (8), and its form that resets after the product."""

import keras

from rnn_zoo.algebra import Gate
from rnn_zoo.cells.base import AbstractRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class GRUCell(AbstractRNNCell):
    """Gated recurrent unit (Cho et al., 2014; section 1.4).

    The reset gate r multiplies the state before the matrix product, eq. (7), like
    `reset_after=False` in `keras.layers.GRU`. The update gate u keeps the old state, eq. (8), and
    carries b^fg.
    """

    gates = ("r", "u", "c")
    forget_gates = ("u",)

    def step(self, ops, x, pre, states):
        (h,) = states
        r = self.recurrent_activation(pre("r", h))  # (5)
        u = self.recurrent_activation(pre("u", h) + self.gate_bias["u"])  # (6)
        c = self.activation(pre("c", r * h))  # (7)
        h = u * h + (1 - u) * c  # (8)
        return h, [h]


@keras.saving.register_keras_serializable("rnn_zoo")
class GRUResetAfterCell(AbstractRNNCell):
    """Gated recurrent unit whose reset gate multiplies the product with the state.

        r  = σ(W^r x + U^r h + b^r)                    (1)
        u  = σ(W^u x + U^u h + b^u + b^fg)             (2)
        c  = s(W^c x + b^c + r · (U^c h + b^p))        (3)
        h' = u · h + (1 - u) · c                       (4)

    The equations of `keras.layers.GRU(reset_after=True)`, its default, of `torch.nn.GRU` and of
    cuDNN, which have no b^fg; `gate_bias=0` reproduces them. The gate c is W^c x + b^c, the gate p
    is U^c h + b^p. Their two biases of r and of u are one here.
    """

    gates = {"r": Gate(), "u": Gate(), "c": Gate(recurrent=None), "p": Gate(input=False)}
    forget_gates = ("u",)

    def step(self, ops, x, pre, states):
        (h,) = states
        r = self.recurrent_activation(pre("r", h))  # (1)
        u = self.recurrent_activation(pre("u", h) + self.gate_bias["u"])  # (2)
        c = self.activation(pre("c") + r * pre("p", h))  # (3)
        h = u * h + (1 - u) * c  # (4)
        return h, [h]
