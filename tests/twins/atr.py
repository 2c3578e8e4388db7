"""ATR, arXiv:1810.12546, section 3, with the forget gate and the bias of its authors' code."""

from twins.base import Twin, sigmoid


def atr(w, x, states, gate_bias=1.0):
    (h,) = states
    p = x @ w["p"]["input"]
    q = h @ w["q"]["recurrent"] + w["q"]["bias"]
    i = sigmoid(p + q)
    f = sigmoid(p - q + gate_bias)
    h = i * p + f * h
    return h, [h]


TWINS = {"atr": Twin(atr, {"gate_bias": 0.4})}
