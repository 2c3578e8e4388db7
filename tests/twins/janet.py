"""JANET, arXiv:1804.04849, section 3."""

import numpy as np

from twins.base import Twin, sigmoid, total


def janet(w, x, states, gate_bias=1.0, beta=1.0):
    (c,) = states
    s = total(w["f"], x, c) + gate_bias
    candidate = np.tanh(total(w["c"], x, c))
    c = sigmoid(s) * c + (1 - sigmoid(s - beta)) * candidate
    return c, [c]


TWINS = {"janet": Twin(janet, {"gate_bias": 0.4, "beta": 0.7})}
