"""The simple recurrent unit and GILR, with their equations in the docstrings."""

import keras

from rnn_zoo.algebra import Gate
from rnn_zoo.cells.linear import LinearRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class SRUCell(LinearRNNCell):
    """Simple recurrent unit: gates of the input, and a highway around them (Lei et al., 2017).

        f  = σ(W^f x + b^f + b^fg)                 (1)
        r  = σ(W^r x + b^r)                        (2)
        c' = f · c + (1 - f) · W^c x               (3)
        h  = r · s(c') + (1 - r) · x               (4)

    The state is c, the output h. Eq. (4) mixes in x, so an input that is not N wide is read in
    first. These are the equations of the first version of arXiv:1709.02755, whose recurrence is
    linear; in the last version the gates also see v · c, which no scan can run. The original has no
    b^fg and uses s = tanh; `gate_bias=0` reproduces it.
    """

    gates = {
        "f": Gate(recurrent=None),
        "r": Gate(recurrent=None),
        "c": Gate(recurrent=None, bias=False),
    }
    forget_gates = ("f",)
    state_names = ("c",)
    mixes_input = True

    def coefficients(self, ops, x, pre, delayed):
        f = self.recurrent_activation(pre("f") + self.gate_bias["f"])  # (1)
        return {"c": (f, (1 - f) * pre("c"))}  # (3)

    def output(self, ops, x, pre, states, delayed):
        r = self.recurrent_activation(pre("r"))  # (2)
        return r * self.activation(states["c"]) + (1 - r) * x  # (4)


@keras.saving.register_keras_serializable("rnn_zoo")
class GILRCell(LinearRNNCell):
    """Gated impulse linear recurrence (Martin & Cundy, 2018).

        g  = σ(W^g x + b^g + b^fg)             (1)
        i  = s(W^i x + b^i)                    (2)
        h' = g · h + (1 - g) · i               (3)

    The original (arXiv:1709.04057, section 3.1) has no b^fg and uses s = tanh; `gate_bias=0`
    reproduces it.
    """

    gates = {"g": Gate(recurrent=None), "i": Gate(recurrent=None)}
    forget_gates = ("g",)

    def coefficients(self, ops, x, pre, delayed):
        g = self.recurrent_activation(pre("g") + self.gate_bias["g"])  # (1)
        i = self.activation(pre("i"))  # (2)
        return {"h": (g, (1 - g) * i)}  # (3)
