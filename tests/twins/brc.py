"""BRC and nBRC, doi:10.1371/journal.pone.0252676, with the biases of the authors' code."""

import numpy as np

from twins.base import Twin, of_input, sigmoid, total


def brc(w, x, states, gate_bias=1.0):
    (h,) = states
    a = 1 + np.tanh(of_input(w["a"], x) + w["a"]["recurrent"] * h)
    c = sigmoid(of_input(w["c"], x) + w["c"]["recurrent"] * h + gate_bias)
    h = c * h + (1 - c) * np.tanh(x @ w["h"]["input"] + a * h)
    return h, [h]


def nbrc(w, x, states, gate_bias=1.0):
    (h,) = states
    a = 1 + np.tanh(total(w["a"], x, h))
    c = sigmoid(total(w["c"], x, h) + gate_bias)
    h = c * h + (1 - c) * np.tanh(x @ w["h"]["input"] + a * h)
    return h, [h]


TWINS = {"brc": Twin(brc, {"gate_bias": 0.4}), "nbrc": Twin(nbrc, {"gate_bias": 0.4})}
