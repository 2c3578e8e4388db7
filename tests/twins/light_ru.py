"""The light recurrent unit, doi:10.3390/electronics13163204."""

import numpy as np

from twins.base import Twin, sigmoid, total


def light_ru(w, x, states, gate_bias=1.0):
    (h,) = states
    candidate = np.tanh(x @ w["c"]["input"])
    f = sigmoid(total(w["f"], x, h) - gate_bias)
    h = (1 - f) * h + f * candidate
    return h, [h]


TWINS = {"light_ru": Twin(light_ru, {"gate_bias": 0.4})}
