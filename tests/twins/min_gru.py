"""minGRU and minLSTM, arXiv:2410.01201, appendix B, with z = σ(Linear(x))."""

from twins.base import Twin, of_input, sigmoid


def min_gru(w, x, states, gate_bias=1.0):
    (h,) = states
    z = 1 - sigmoid(of_input(w["u"], x) + gate_bias)
    h = (1 - z) * h + z * of_input(w["c"], x)
    return h, [h]


def min_lstm(w, x, states, gate_bias=1.0):
    (h,) = states
    f = sigmoid(of_input(w["f"], x) + gate_bias)
    i = sigmoid(of_input(w["i"], x))
    h = f / (f + i) * h + i / (f + i) * of_input(w["c"], x)
    return h, [h]


TWINS = {
    "min_gru": Twin(min_gru, {"gate_bias": -0.4}),
    "min_lstm": Twin(min_lstm, {"gate_bias": -0.4}),
}
