"""LEM, arXiv:2110.04744, eq. (3)."""

import numpy as np

from twins.base import Twin, sigmoid, total


def lem(w, x, states, gate_bias=1.0, dt=1.0):
    y, z = states
    step_z = dt * sigmoid(total(w["dt_z"], x, y) - gate_bias)
    step_y = dt * sigmoid(total(w["dt_y"], x, y) - gate_bias)
    z = (1 - step_z) * z + step_z * np.tanh(total(w["z"], x, y))
    y = (1 - step_y) * y + step_y * np.tanh(total(w["y"], x, z))
    return y, [y, z]


TWINS = {"lem": Twin(lem, {"gate_bias": 0.4, "dt": 0.6}, 2)}
