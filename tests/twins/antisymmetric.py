"""The antisymmetric RNN and its gated form, arXiv:1902.09689, sections 3 and 4.

The matrix that a twin gets is already W - W^T.
"""

import numpy as np

from twins.base import Twin, of_input, sigmoid


def diffused(gate, gamma):
    """The transpose of W - W^T - γ I, as rows are multiplied from the left."""
    antisymmetric = gate["recurrent"]
    np.testing.assert_array_equal(antisymmetric, -antisymmetric.T)
    return antisymmetric - gamma * np.eye(len(antisymmetric))


def antisymmetric_rnn(w, x, states, epsilon=0.1, gamma=0.01):
    (h,) = states
    h = h + epsilon * np.tanh(h @ diffused(w["h"], gamma) + of_input(w["h"], x))
    return h, [h]


def gated_antisymmetric_rnn(w, x, states, epsilon=0.1, gamma=0.01):
    (h,) = states
    recurrent = h @ diffused(w["q"], gamma)
    z = sigmoid(recurrent + of_input(w["z"], x))
    h = h + epsilon * z * np.tanh(recurrent + of_input(w["h"], x))
    return h, [h]


OPTIONS = {"epsilon": 0.3, "gamma": 0.2}
TWINS = {
    "antisymmetric_rnn": Twin(antisymmetric_rnn, OPTIONS),
    "gated_antisymmetric_rnn": Twin(gated_antisymmetric_rnn, OPTIONS),
}
