"""The chaos free network, arXiv:1612.06212, section 1."""

import numpy as np

from twins.base import Twin, sigmoid, total


def cfn(w, x, states, gate_bias=1.0):
    (h,) = states
    theta = sigmoid(total(w["theta"], x, h) + gate_bias)
    eta = sigmoid(total(w["eta"], x, h))
    h = theta * np.tanh(h) + eta * np.tanh(x @ w["c"]["input"])
    return h, [h]


TWINS = {"cfn": Twin(cfn, {"gate_bias": 0.4})}
