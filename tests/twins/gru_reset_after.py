"""The GRU as in PyTorch's documentation of torch.nn.GRU, with one bias in r and z."""

import numpy as np

from twins.base import Twin, of_input, sigmoid, total


def gru(w, x, states, gate_bias=1.0):
    (h,) = states
    r = sigmoid(total(w["r"], x, h))
    z = sigmoid(total(w["u"], x, h) + gate_bias)
    n = np.tanh(of_input(w["c"], x) + r * (h @ w["p"]["recurrent"] + w["p"]["bias"]))
    h = (1 - z) * n + z * h
    return h, [h]


TWINS = {"gru_reset_after": Twin(gru, {"gate_bias": -0.3})}
