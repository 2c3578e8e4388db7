"""What the twins share."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Twin(NamedTuple):
    """A twin and a case of it.

    Attributes:
        step: `step(w, x, states, **options)`.
        options: arguments of the cell and of `step` alike, other than the defaults.
        num_states: number of states.
        features: I, or None for N.
        units: N.
        valid: function of states that makes them possible ones.
    """

    step: Callable
    options: dict[str, Any] = {}
    num_states: int = 1
    features: int | None = 3
    units: int = 4
    valid: Callable = list


def sigmoid(a):
    return np.exp(-np.logaddexp(0, -a))


def total(gate, x, a):
    """W x + U a + b."""
    return x @ gate["input"] + a @ gate["recurrent"] + gate["bias"]


def of_input(gate, x):
    """W x + b."""
    return x @ gate["input"] + gate["bias"]


def by_gate(cell, weights):
    """Return weights in the structure of `cell.weight_tensors()` as the twins take them."""
    found = {gate: {} for gate in cell.gates}
    for part in ("input", "recurrent", "bias"):
        for gate, array in weights[part].items():
            found[gate][part] = array
    for gate, its in cell.gates.items():
        if its.matrix:
            found[gate]["recurrent"] = np.asarray(its.matrix.dense(np, found[gate]["recurrent"]))
    return found | weights["vectors"] | {"read_in": weights["read_in"]}
