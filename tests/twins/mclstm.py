"""The LSTM with a memory controller, Ben-Ari & Shwartz-Ziv 2017."""

import numpy as np

from twins.base import Twin, sigmoid, total


def mclstm(w, x, states, gate_bias=1.0):
    v, c = states
    f = sigmoid(total(w["f"], x, v) + gate_bias)
    i, o, m = (sigmoid(total(w[gate], x, v)) for gate in "iom")
    n = np.tanh(total(w["c"], x, v))
    c = f * c + i * n
    h = o * np.tanh(c)
    v = m * np.tanh(c)
    return h, [v, c]


TWINS = {"mclstm": Twin(mclstm, {"gate_bias": 0.4}, num_states=2)}
