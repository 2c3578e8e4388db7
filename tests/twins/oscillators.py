"""coRNN, arXiv:2010.00951, eq. (3), and UnICORNN, arXiv:2103.05487, eq. (5)."""

import numpy as np

from twins.base import Twin, of_input, sigmoid, total


def cornn(w, x, states, dt=0.042, gamma=2.7, epsilon=4.7):
    y, z = states
    forcing = np.tanh(total(w["y"], x, y) + z @ w["z"]["recurrent"])
    z = z + dt * (forcing - gamma * y - epsilon * z)
    y = y + dt * z
    return y, [y, z]


def unicornn(w, x, states, dt=0.19, alpha=30.65):
    y, z = states
    forcing = np.tanh(w["y"]["recurrent"] * y + of_input(w["y"], x))
    z = z - dt * sigmoid(w["c"]) * (forcing + alpha * y)
    y = y + dt * sigmoid(w["c"]) * z
    return y, [y, z]


TWINS = {
    "cornn": Twin(cornn, {"dt": 0.3, "gamma": 0.9, "epsilon": 0.7}, 2),
    "unicornn": Twin(unicornn, {"dt": 0.4, "alpha": 0.8}, 2),
}
