"""The vanilla RNN and the IRNN, eq. (1)."""

import keras

from rnn_zoo.cells.base import AbstractRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class RNNCell(AbstractRNNCell):
    """Vanilla recurrent cell: h_t = s(W^h h_{t-1} + W^x x_t + b^h), eq. (1) of section 1.4.

    Its only gate, "h", is the candidate itself; there is no gate for b^fg to act on.
    """

    gates = ("h",)

    def step(self, ops, x, pre, states):
        (h,) = states
        h = self.activation(pre("h", h))  # (1)
        return h, [h]


@keras.saving.register_keras_serializable("rnn_zoo")
class IRNNCell(RNNCell):
    """RNN cell that starts as an integrator: W^h = identity, b^h = 0, s = ReLU (Le et al., 2015).

    The equation is `RNNCell`'s. Appendix A lets the bias laws of the others apply when asked for.
    """

    def __init__(self, units, activation="relu", matrix_init="identity", **kwargs):
        super().__init__(units, activation=activation, matrix_init=matrix_init, **kwargs)
