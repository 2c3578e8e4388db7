"""The recurrent highway network, arXiv:1607.03474, eqs. (6) to (9), with c = 1 - t."""

import numpy as np

from twins.base import Twin, sigmoid, total


def recurrent_only(gate, s):
    return s @ gate["recurrent"] + gate["bias"]


def rhn(w, x, states, gate_bias=1.0):
    (s,) = states
    h, t = np.tanh(total(w["h1"], x, s)), sigmoid(total(w["t1"], x, s) - gate_bias)
    s = h * t + s * (1 - t)
    h = np.tanh(recurrent_only(w["h2"], s))
    t = sigmoid(recurrent_only(w["t2"], s) - gate_bias)
    s = h * t + s * (1 - t)
    h = np.tanh(recurrent_only(w["h3"], s))
    t = sigmoid(recurrent_only(w["t3"], s) - gate_bias)
    s = h * t + s * (1 - t)
    return s, [s]


TWINS = {"rhn": Twin(rhn, {"gate_bias": 0.4})}
