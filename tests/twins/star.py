"""The stackable recurrent cell, arXiv:1911.11033, section 3."""

import numpy as np

from twins.base import Twin, of_input, sigmoid, total


def star(w, x, states, gate_bias=1.0):
    (h,) = states
    z = np.tanh(of_input(w["z"], x))
    k = sigmoid(total(w["k"], x, h) - gate_bias)
    h = np.tanh((1 - k) * h + k * z)
    return h, [h]


TWINS = {"star": Twin(star, {"gate_bias": 0.4})}
