"""FastRNN and FastGRNN, arXiv:1901.02358, section 3, with sigmoids of the learned numbers."""

import numpy as np

from twins.base import Twin, sigmoid, total


def fast_rnn(w, x, states):
    (h,) = states
    alpha, beta = sigmoid(w["alpha"]), sigmoid(w["beta"])
    candidate = np.tanh(total(w["h"], x, h))
    h = alpha * candidate + beta * h
    return h, [h]


def fast_grnn(w, x, states, gate_bias=1.0):
    (h,) = states
    zeta, nu = sigmoid(w["zeta"]), sigmoid(w["nu"])
    shared = x @ w["z"]["input"] + h @ w["z"]["recurrent"]
    z = sigmoid(shared + w["b_z"] + gate_bias)
    candidate = np.tanh(shared + w["b_c"])
    h = (zeta * (1 - z) + nu) * candidate + z * h
    return h, [h]


TWINS = {"fast_rnn": Twin(fast_rnn), "fast_grnn": Twin(fast_grnn, {"gate_bias": 0.4})}
