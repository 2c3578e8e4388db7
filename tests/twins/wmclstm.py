"""The LSTM with working memory connections, arXiv:2109.00020, section 3."""

import numpy as np

from twins.base import Twin, sigmoid, total


def wmclstm(w, x, states, gate_bias=1.0):
    h, c = states
    i = sigmoid(total(w["i"], x, h) + np.tanh(c @ w["vi"]["recurrent"]))
    f = sigmoid(total(w["f"], x, h) + np.tanh(c @ w["vf"]["recurrent"]) + gate_bias)
    g = np.tanh(total(w["c"], x, h))
    c = f * c + i * g
    o = sigmoid(total(w["o"], x, h) + np.tanh(c @ w["vo"]["recurrent"]))
    h = o * np.tanh(c)
    return h, [h, c]


TWINS = {"wmclstm": Twin(wmclstm, {"gate_bias": 0.4}, num_states=2)}
