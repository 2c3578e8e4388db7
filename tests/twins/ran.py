"""The recurrent additive network, arXiv:1705.07393, section 2."""

import numpy as np

from twins.base import Twin, sigmoid, total


def ran(w, x, states, gate_bias=1.0):
    h, c = states
    content = x @ w["c"]["input"]
    i, f = sigmoid(total(w["i"], x, h)), sigmoid(total(w["f"], x, h) + gate_bias)
    c = i * content + f * c
    h = np.tanh(c)
    return h, [h, c]


TWINS = {"ran": Twin(ran, {"gate_bias": 0.4}, num_states=2)}
