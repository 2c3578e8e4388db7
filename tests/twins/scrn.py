"""SCRN, arXiv:1412.7753, section 3.2, with one bias, and without the softmax of the output."""

from twins.base import Twin, sigmoid


def scrn(w, x, states, alpha=0.95):
    h, s = states
    s = (1 - alpha) * (x @ w["b"]["input"]) + alpha * s
    h = sigmoid(
        s @ w["p"]["recurrent"] + x @ w["h"]["input"] + h @ w["h"]["recurrent"] + w["h"]["bias"]
    )
    y = h @ w["u"]["recurrent"] + s @ w["v"]["recurrent"]
    return y, [h, s]


TWINS = {"scrn": Twin(scrn, {"alpha": 0.7}, 2)}
