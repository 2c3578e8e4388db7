"""Cells of linear recurrences, each from its own paper."""

import numpy as np

from twins.base import Twin, of_input, sigmoid


def t_rnn(w, x, states, gate_bias=1.0):
    """arXiv:1602.02218, section 4.1."""
    (h,) = states
    z = x @ w["z"]["input"]
    f = sigmoid(of_input(w["f"], x) + gate_bias)
    h = f * h + (1 - f) * z
    return h, [h]


def of_window(w, gate, x, before, bias=0.0):
    """W x_t + V x_{t-1} + b, and V x_t for the next step."""
    return x @ w[gate]["input"] + before + bias, x @ w[f"{gate}1"]["input"]


def t_gru(w, x, states, gate_bias=1.0):
    """Section 4.2."""
    h, z1, f1, o1 = states
    z, z1 = of_window(w, "z", x, z1)
    f, f1 = of_window(w, "f", x, f1, w["f"]["bias"] + gate_bias)
    o, o1 = of_window(w, "o", x, o1, w["o"]["bias"])
    h = sigmoid(f) * h + z * np.tanh(o)
    return h, [h, z1, f1, o1]


def t_lstm(w, x, states, gate_bias=1.0):
    c, z1, f1, o1 = states
    z, z1 = of_window(w, "z", x, z1)
    f, f1 = of_window(w, "f", x, f1, w["f"]["bias"] + gate_bias)
    o, o1 = of_window(w, "o", x, o1, w["o"]["bias"])
    c = sigmoid(f) * c + (1 - sigmoid(f)) * z
    return c * np.tanh(o), [c, z1, f1, o1]


def qrnn(w, x, states, gate_bias=1.0):
    """arXiv:1611.01576, eqs. (1), (2) and fo-pooling, with biases."""
    c, z1, f1, o1 = states
    z, z1 = of_window(w, "z", x, z1, w["z"]["bias"])
    f, f1 = of_window(w, "f", x, f1, w["f"]["bias"] + gate_bias)
    o, o1 = of_window(w, "o", x, o1, w["o"]["bias"])
    c = sigmoid(f) * c + (1 - sigmoid(f)) * np.tanh(z)
    return sigmoid(o) * c, [c, z1, f1, o1]


def sru(w, x, states, gate_bias=1.0):
    """arXiv:1709.02755, first version, eqs. (3) to (7)."""
    (c,) = states
    f = sigmoid(of_input(w["f"], x) + gate_bias)
    r = sigmoid(of_input(w["r"], x))
    c = f * c + (1 - f) * (x @ w["c"]["input"])
    return r * np.tanh(c) + (1 - r) * x, [c]


def gilr(w, x, states, gate_bias=1.0):
    """arXiv:1709.04057, section 3.1."""
    (h,) = states
    g = sigmoid(of_input(w["g"], x) + gate_bias)
    h = g * h + (1 - g) * np.tanh(of_input(w["i"], x))
    return h, [h]


def lru(w, x, states):
    """arXiv:2303.06349, appendix A, in complex numbers."""
    h = states[0] + 1j * states[1]
    eigenvalues = np.exp(-np.exp(w["nu"]) + 1j * np.exp(w["theta"]))
    b = w["re"]["input"] + 1j * w["im"]["input"]
    c = w["y"]["recurrent"] - 1j * w["yi"]["recurrent"]
    h = eigenvalues * h + np.exp(w["gamma"]) * (x @ b)
    return np.real(h @ c) + x @ w["y"]["input"], [h.real, h.imag]


TWINS = {
    "t_rnn": Twin(t_rnn, {"gate_bias": 0.3}),
    "t_gru": Twin(t_gru, {"gate_bias": 0.3}, num_states=4),
    "t_lstm": Twin(t_lstm, {"gate_bias": 0.3}, num_states=4),
    "qrnn": Twin(qrnn, {"gate_bias": 0.3}, num_states=4),
    "sru": Twin(sru, {"gate_bias": 0.3}, features=None),
    "gilr": Twin(gilr, {"gate_bias": 0.3}),
    "lru": Twin(lru, num_states=2),
}
