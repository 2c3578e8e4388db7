"""Known deviations of other libraries from the papers.

Each deviation of torchrecurrent comes with the step that the library computes, in the form of the
twins, with b^fg = 0. Equality with that step shows that nothing else differs. Equation numbers are
those of the pages in docs/cells.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from twins.base import of_input, sigmoid, total


class Deviation(NamedTuple):
    """A deviation of one cell.

    Attributes:
        where: the equation, and the difference.
        step: the equations that the library computes.
    """

    where: str
    step: Callable


def lem_of_old_z(w, x, states, gate_bias=0.0, dt=1.0):
    y, z = states
    step_z, step_y = dt * sigmoid(total(w["dt_z"], x, y)), dt * sigmoid(total(w["dt_y"], x, y))
    new_y = (1 - step_y) * y + step_y * np.tanh(total(w["y"], x, z))
    z = (1 - step_z) * z + step_z * np.tanh(total(w["z"], x, y))
    return new_y, [new_y, z]


def nas_of_sums(w, x, states):
    h, c = states
    a = {k: total(w[f"a{k}"], x, h) for k in (1, 2, 3, 5, 6, 7, 8)}
    a[4] = x @ w["x4"]["input"] + h @ w["h4"]["recurrent"] + w["h4"]["bias"]
    p = np.tanh(sigmoid(a[1]) * np.maximum(a[2], 0))
    q = np.tanh(sigmoid(a[3]) + np.maximum(a[4], 0))
    u = np.tanh(np.tanh(a[5]) * sigmoid(a[6]))
    v = sigmoid(np.tanh(a[7]) + sigmoid(a[8]))
    c = np.tanh(p + c) * q
    h = np.tanh(c * np.tanh(u + v))
    return h, [h, c]


def peephole_of_tanh(w, x, states, gate_bias=0.0):
    h, c = states
    i = sigmoid(total(w["i"], x, h) + w["p_i"] * c)
    f = sigmoid(total(w["f"], x, h) + w["p_f"] * c)
    c = f * c + i * np.tanh(total(w["c"], x, h))
    h = sigmoid(total(w["o"], x, h) + w["p_o"] * c) * np.tanh(c)
    return h, [h, c]


def scrn_of_outputs(w, x, states, alpha=0.95):
    y, s = states
    s = (1 - alpha) * (x @ w["b"]["input"]) + alpha * s
    h = sigmoid(s @ w["p"]["recurrent"] + total(w["h"], x, y))
    y = np.tanh(h @ w["u"]["recurrent"] + s @ w["v"]["recurrent"])
    return y, [y, s]


def fast_grnn_of_tanh(w, x, states, gate_bias=0.0):
    (h,) = states
    shared = x @ w["z"]["input"] + h @ w["z"]["recurrent"]
    z = np.tanh(shared + w["b_z"])
    scale = sigmoid(w["zeta"]) * (1 - z) + sigmoid(w["nu"])
    h = scale * np.tanh(shared + w["b_c"]) + z * h
    return h, [h]


def flat_sigmoid(a):
    return np.clip(a / 6 + 0.5, 0, 1)


def flat_sgu(w, x, states, gate_bias=0.0):
    (h,) = states
    m = np.tanh((of_input(w["x"], x) * h) @ w["g"]["recurrent"])
    z = flat_sigmoid(total(w["z"], x, h))
    h = (1 - z) * h + z * np.log1p(np.exp(m * h))
    return h, [h]


def flat_dsgu(w, x, states, gate_bias=0.0):
    (h,) = states
    m = np.tanh((of_input(w["x"], x) * h) @ w["g"]["recurrent"])
    z = flat_sigmoid(total(w["z"], x, h))
    h = (1 - z) * h + z * sigmoid((m * h) @ w["o"]["recurrent"])
    return h, [h]


_HARD_SIGMOID = "eq. (4): the hard sigmoid has slope 1/6 in place of 1/5"
#: Deviations of torchrecurrent, confirmed by runs.
TORCHRECURRENT = {
    "lem": Deviation("eq. (4): the old z in place of the new one", lem_of_old_z),
    "nas": Deviation("a4: a sum in place of a product", nas_of_sums),
    "peephole_lstm": Deviation("eq. (6): o tanh(c) in place of o c", peephole_of_tanh),
    "scrn": Deviation(
        "eq. (2): the last output in place of h; eq. (3): a tanh more", scrn_of_outputs
    ),
    "fast_grnn": Deviation("eq. (1): a tanh by default in place of σ", fast_grnn_of_tanh),
    "sgu": Deviation(_HARD_SIGMOID, flat_sgu),
    "dsgu": Deviation(_HARD_SIGMOID, flat_dsgu),
}

_MATRIX = "more general: a matrix before x in the {}"
_BIAS = "more general: a bias in {}"
#: Code that is not run -> architecture -> verdict from reading the source.
READ = {
    "RecurrentLayers.jl 0.3.4": {
        "+rnn": "deviates: eq. (19): 1 - g^h in place of 1 - g^y",
        "antisymmetric_rnn": "equal",
        "atr": _BIAS.format("p"),
        "brc": _BIAS.format("the candidate"),
        "cfn": _BIAS.format("the candidate"),
        "cornn": "equal",
        "fast_grnn": "deviates: eq. (1): a tanh by default in place of σ",
        "fast_rnn": "equal",
        "gated_antisymmetric_rnn": "equal",
        "janet": "equal",
        "lem": "deviates: eq. (4): the old z in place of the new one",
        "li_gru": "deviates: eq. (2): a tanh in place of the ReLU",
        "light_ru": _BIAS.format("the candidate"),
        "lstm_1997": "equal",
        "mclstm": "deviates: eqs. (1) to (3), (5) and (6) have no nonlinearities",
        "mgu": "deviates: eq. (3): f and 1 - f exchanged",
        "minimal_rnn": "deviates: eq. (2): the last z in place of the new one",
        "miru1": "deviates: eq. (1): a tanh by default in place of σ",
        "miru2": "equal",
        "multiplicative_lstm": "equal",
        "mut1": _MATRIX.format("candidate"),
        "mut2": _MATRIX.format("reset gate"),
        "mut3": "equal",
        "nas": "deviates: a4: a sum in place of a product",
        "nbrc": "deviates: eqs. (1) and (2): the gates do not see the state",
        "peephole_lstm": "deviates: eq. (5): the old c in place of the new one; "
        "eq. (6): o tanh(c) in place of o c",
        "ran": _BIAS.format("the content"),
        "rhn": "equal",
        "scrn": "deviates: eq. (2): the last output in place of h; eq. (3): a tanh more",
        "sgrn": _BIAS.format("the candidate"),
        "star": "equal",
        "t_gru": _BIAS.format("z"),
        "t_lstm": _BIAS.format("z"),
        "t_rnn": "deviates: eq. (1): a tanh by default in place of σ",
        "ugrnn": "equal",
        "unicornn": "deviates: eq. (1): a matrix by default in place of the vector u",
        "wmclstm": "equal",
    },
    "the authors' code": dict.fromkeys(
        (
            "atr",
            "brc",
            "cornn",
            "fast_grnn",
            "fast_rnn",
            "indrnn",
            "lem",
            "nas",
            "nbrc",
            "ran",
            "rhn",
            "slstm",
            "unicornn",
        ),
        "equal",
    ),
}
