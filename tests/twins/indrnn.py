"""IndRNN, arXiv:1803.04831, eq. (2)."""

import numpy as np

from twins.base import Twin, of_input


def indrnn(w, x, states):
    (h,) = states
    h = np.maximum(of_input(w["h"], x) + w["h"]["recurrent"] * h, 0)
    return h, [h]


TWINS = {"indrnn": Twin(indrnn)}
