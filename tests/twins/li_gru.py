"""The light GRU without its batch normalization, arXiv:1803.10225, section III."""

import numpy as np

from twins.base import Twin, sigmoid, total


def li_gru(w, x, states, gate_bias=1.0):
    (h,) = states
    z = sigmoid(total(w["z"], x, h) + gate_bias)
    candidate = np.maximum(total(w["c"], x, h), 0)
    h = z * h + (1 - z) * candidate
    return h, [h]


TWINS = {"li_gru": Twin(li_gru, {"gate_bias": 0.4})}
