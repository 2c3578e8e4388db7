"""The antisymmetric RNN and its gated form, with the equations in their docstrings."""

from typing import Any

import keras

from rnn_zoo.algebra import Antisymmetric, Gate
from rnn_zoo.cells.base import AbstractRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class AntisymmetricRNNCell(AbstractRNNCell):
    """Antisymmetric RNN: Euler steps of a stable differential equation (Chang et al., 2019).

        h' = h + ε s(W x + (U - U^T - γ I) h + b)   (1)

    Without γ the eigenvalues of the recurrent matrix are imaginary, so that the states of the
    equation neither grow nor fade. γ, the diffusion, keeps the Euler steps stable. The original
    (arXiv:1902.09689) tunes ε and γ.

    Args:
        units: N.
        epsilon: ε, the step size.
        gamma: γ, the strength of the diffusion.
        **kwargs: other arguments of `AbstractRNNCell`.
    """

    gates = {"h": Gate(recurrent=Antisymmetric())}
    lane_options = ("epsilon", "gamma")

    def __init__(self, units: int, epsilon: float = 0.1, gamma: float = 0.01, **kwargs: Any):
        super().__init__(units, **kwargs)
        self.epsilon = epsilon
        self.gamma = gamma

    def step(self, ops, x, pre, states):
        (h,) = states
        h = h + self.epsilon * self.activation(pre("h", h) - self.gamma * h)  # (1)
        return h, [h]


@keras.saving.register_keras_serializable("rnn_zoo")
class GatedAntisymmetricRNNCell(AntisymmetricRNNCell):
    """Antisymmetric RNN with an input gate, which shares U (Chang et al., 2019).

        q  = (U - U^T - γ I) h                      (1)
        z  = σ(W^z x + q + b^z)                     (2)
        h' = h + ε z · s(W^h x + q + b^h)           (3)

    The old state is always kept, so no gate carries b^fg. The arguments are those of
    `AntisymmetricRNNCell`.
    """

    gates = {
        "q": Gate(input=False, recurrent=Antisymmetric(), bias=False),
        "z": Gate(recurrent=None),
        "h": Gate(recurrent=None),
    }

    def step(self, ops, x, pre, states):
        (h,) = states
        q = pre("q", h) - self.gamma * h  # (1)
        z = self.recurrent_activation(pre("z") + q)  # (2)
        h = h + self.epsilon * z * self.activation(pre("h") + q)  # (3)
        return h, [h]
