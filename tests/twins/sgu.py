"""SGU and DSGU, arXiv:1604.02910, section 3."""

import numpy as np

from twins.base import Twin, of_input, sigmoid, total


def hard_sigmoid(a):
    return np.clip(0.2 * a + 0.5, 0, 1)


def sgu(w, x, states, gate_bias=1.0):
    (h,) = states
    x_g = of_input(w["x"], x)
    z_g = np.tanh((x_g * h) @ w["g"]["recurrent"])
    z_out = np.log1p(np.exp(z_g * h))
    z_t = hard_sigmoid(total(w["z"], x, h) - gate_bias)
    h = (1 - z_t) * h + z_t * z_out
    return h, [h]


def dsgu(w, x, states, gate_bias=1.0):
    (h,) = states
    x_g = of_input(w["x"], x)
    z_g = np.tanh((x_g * h) @ w["g"]["recurrent"])
    z_out = sigmoid((z_g * h) @ w["o"]["recurrent"])
    z_t = hard_sigmoid(total(w["z"], x, h) - gate_bias)
    h = (1 - z_t) * h + z_t * z_out
    return h, [h]


TWINS = {"sgu": Twin(sgu, {"gate_bias": 0.4}), "dsgu": Twin(dsgu, {"gate_bias": 0.4})}
