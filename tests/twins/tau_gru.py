"""τ-GRU, arXiv:2212.00228, section 3, with a delay of three steps."""

import numpy as np

from twins.base import Twin, sigmoid, total


def tau_gru(w, x, states, gate_bias=1.0):
    h, one_before, two_before, three_before = states
    u = np.tanh(total(w["u"], x, h))
    z = np.tanh(total(w["z"], x, three_before))
    g = sigmoid(total(w["g"], x, h) - gate_bias)
    a = sigmoid(total(w["a"], x, h))
    new = (1 - g) * h + g * (u + a * z)
    return new, [new, h, one_before, two_before]


TWINS = {"tau_gru": Twin(tau_gru, {"gate_bias": 0.4}, 4)}
