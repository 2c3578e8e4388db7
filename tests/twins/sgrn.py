"""SGRN, doi:10.1049/gtd2.12056."""

import numpy as np

from twins.base import Twin, sigmoid


def sgrn(w, x, states, gate_bias=1.0):
    (h,) = states
    f = sigmoid(x @ w["x"]["input"] + h @ w["h"]["recurrent"] + w["h"]["bias"] + gate_bias)
    i = 1 - f
    h = np.tanh(i * (x @ w["x"]["input"]) + f * h)
    return h, [h]


TWINS = {"sgrn": Twin(sgrn, {"gate_bias": 0.4})}
