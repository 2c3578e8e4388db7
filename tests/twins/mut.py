"""MUT1, MUT2 and MUT3, Jozefowicz et al. 2015, section 3.6, with inputs as wide as the state."""

import numpy as np

from twins.base import Twin, of_input, sigmoid, total


def mut1(w, x, states, gate_bias=1.0):
    (h,) = states
    z = sigmoid(of_input(w["z"], x) - gate_bias)
    r = sigmoid(total(w["r"], x, h))
    candidate = np.tanh((r * h) @ w["c"]["recurrent"] + np.tanh(x) + w["c"]["bias"])
    h = candidate * z + h * (1 - z)
    return h, [h]


def mut2(w, x, states, gate_bias=1.0):
    (h,) = states
    z = sigmoid(total(w["z"], x, h) - gate_bias)
    r = sigmoid(x + h @ w["r"]["recurrent"] + w["r"]["bias"])
    candidate = np.tanh(total(w["c"], x, r * h))
    h = candidate * z + h * (1 - z)
    return h, [h]


def mut3(w, x, states, gate_bias=1.0):
    (h,) = states
    z = sigmoid(total(w["z"], x, np.tanh(h)) - gate_bias)
    r = sigmoid(total(w["r"], x, h))
    candidate = np.tanh(total(w["c"], x, r * h))
    h = candidate * z + h * (1 - z)
    return h, [h]


TWINS = {
    "mut1": Twin(mut1, {"gate_bias": 0.4}, features=None),
    "mut2": Twin(mut2, {"gate_bias": 0.4}, features=None),
    "mut3": Twin(mut3, {"gate_bias": 0.4}),
}
