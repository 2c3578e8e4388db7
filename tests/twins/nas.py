"""The cell of neural architecture search, arXiv:1611.01578, as its first author published it."""

import numpy as np

from twins.base import Twin, sigmoid, total


def relu(a):
    return np.maximum(a, 0)


def nas(w, x, states):
    m, c = states
    first = [
        sigmoid(total(w["a1"], x, m)),
        relu(total(w["a2"], x, m)),
        sigmoid(total(w["a3"], x, m)),
        relu((x @ w["x4"]["input"]) * (m @ w["h4"]["recurrent"] + w["h4"]["bias"])),
        np.tanh(total(w["a5"], x, m)),
        sigmoid(total(w["a6"], x, m)),
        np.tanh(total(w["a7"], x, m)),
        sigmoid(total(w["a8"], x, m)),
    ]
    second = [
        np.tanh(first[0] * first[1]),
        np.tanh(first[2] + first[3]),
        np.tanh(first[4] * first[5]),
        sigmoid(first[6] + first[7]),
    ]
    c = np.tanh(second[0] + c) * second[1]
    m = np.tanh(c * np.tanh(second[2] + second[3]))
    return m, [m, c]


TWINS = {"nas": Twin(nas, num_states=2)}
