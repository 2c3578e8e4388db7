"""The multiplicative LSTM, arXiv:1609.07959, section 3, with a bias for each gate."""

import numpy as np

from twins.base import Twin, sigmoid, total


def multiplicative_lstm(w, x, states, gate_bias=1.0):
    h, c = states
    m = (x @ w["mx"]["input"]) * (h @ w["mh"]["recurrent"])
    h_hat = total(w["c"], x, m)
    i, o = sigmoid(total(w["i"], x, m)), sigmoid(total(w["o"], x, m))
    f = sigmoid(total(w["f"], x, m) + gate_bias)
    c = f * c + i * np.tanh(h_hat)
    h = np.tanh(c) * o
    return h, [h, c]


TWINS = {"multiplicative_lstm": Twin(multiplicative_lstm, {"gate_bias": 0.4}, num_states=2)}
