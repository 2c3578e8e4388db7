"""MiRU1 and MiRU2, arXiv:2503.06175."""

import numpy as np

from twins.base import Twin, sigmoid, total


def miru1(w, x, states, update_coefficient=0.5):
    (h,) = states
    r = sigmoid(total(w["r"], x, h))
    candidate = np.tanh(total(w["c"], x, r * h))
    h = update_coefficient * h + (1 - update_coefficient) * candidate
    return h, [h]


def miru2(w, x, states, update_coefficient=0.5, reset_coefficient=0.5):
    (h,) = states
    candidate = np.tanh(total(w["c"], x, reset_coefficient * h))
    h = update_coefficient * h + (1 - update_coefficient) * candidate
    return h, [h]


TWINS = {
    "miru1": Twin(miru1, {"update_coefficient": 0.7}),
    "miru2": Twin(miru2, {"update_coefficient": 0.7, "reset_coefficient": 0.8}),
}
