"""sLSTM, arXiv:2405.04517, eqs. (8) to (17), with a sigmoid forget gate.

A negative normalizer, which the paper's start at zero cannot reach, counts as positive.
"""

import numpy as np

from twins.base import Twin, sigmoid, total


def slstm(w, x, states, gate_bias=1.0):
    h, c, n, m = states
    z = np.tanh(total(w["z"], x, h))
    i_tilde = total(w["i"], x, h)
    f = sigmoid(total(w["f"], x, h) + gate_bias)
    o = sigmoid(total(w["o"], x, h))
    m_new = np.maximum(np.log(f) + m, i_tilde)
    i_stable = np.exp(i_tilde - m_new)
    f_stable = np.exp(np.log(f) + m - m_new)
    c = f_stable * c + i_stable * z
    n = f_stable * np.abs(n) + i_stable
    h = o * (c / n)
    return h, [h, c, n, m_new]


TWINS = {"slstm": Twin(slstm, {"gate_bias": 0.4}, 4)}
