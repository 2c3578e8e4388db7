"""The residual LSTM, arXiv:1701.03360, section 3, with inputs of the width of the output."""

import numpy as np

from twins.base import Twin, sigmoid, total


def res_lstm(w, x, states, gate_bias=1.0):
    h, c = states
    i = sigmoid(total(w["i"], x, h) + w["p_i"] * c)
    f = sigmoid(total(w["f"], x, h) + w["p_f"] * c + gate_bias)
    c = f * c + i * np.tanh(total(w["c"], x, h))
    o = sigmoid(total(w["o"], x, h) + w["p_o"] * c)
    r = np.tanh(c)
    m = r @ w["m"]["recurrent"]
    h = o * (m + x)
    return h, [h, c]


TWINS = {"res_lstm": Twin(res_lstm, {"gate_bias": 0.4}, num_states=2, features=None)}
