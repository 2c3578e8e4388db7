"""The LSTM with peepholes, Gers et al. 2002, JMLR 3, section 3: the output is y_out * s_c."""

import numpy as np

from twins.base import Twin, sigmoid, total


def peephole_lstm(w, x, states, gate_bias=1.0):
    y, s = states
    y_in = sigmoid(total(w["i"], x, y) + w["p_i"] * s)
    y_phi = sigmoid(total(w["f"], x, y) + w["p_f"] * s + gate_bias)
    s = y_phi * s + y_in * np.tanh(total(w["c"], x, y))
    y_out = sigmoid(total(w["o"], x, y) + w["p_o"] * s)
    y = y_out * s
    return y, [y, s]


TWINS = {"peephole_lstm": Twin(peephole_lstm, {"gate_bias": 0.4}, num_states=2)}
