"""The quasi-recurrent network, with equations (1) to (5) in its docstring."""

import keras

from rnn_zoo.algebra import Gate
from rnn_zoo.cells.linear import LinearRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class QRNNCell(LinearRNNCell):
    """Quasi-recurrent network: convolutions of width two and fo-pooling (Bradbury et al., 2017).

        z  = s(W^z x + V^z x_{t-1} + b^z)                  (1)
        f  = σ(W^f x + V^f x_{t-1} + b^f + b^fg)           (2)
        o  = σ(W^o x + V^o x_{t-1} + b^o)                  (3)
        c' = f · c + (1 - f) · z                           (4)
        h  = o · c'                                        (5)

    States: c, then V^z x, V^f x and V^o x for the next step, so that the learned initial states
    stand for the input before the first, which is zero in the original. The output h is not a
    state. The gates z1, f1 and o1 are V. The original (arXiv:1611.01576) has no biases and no b^fg,
    and s = tanh; `gate_bias=0, use_bias=False` reproduces it.
    """

    gates = {gate: Gate(recurrent=None) for gate in ("z", "f", "o")} | {
        gate: Gate(recurrent=None, bias=False) for gate in ("z1", "f1", "o1")
    }
    forget_gates = ("f",)
    state_names = ("c", "z1", "f1", "o1")
    delays = {"z1": "z1", "f1": "f1", "o1": "o1"}

    def coefficients(self, ops, x, pre, delayed):
        z = self.activation(pre("z") + delayed["z1"])  # (1)
        f = self.recurrent_activation(pre("f") + delayed["f1"] + self.gate_bias["f"])  # (2)
        return {"c": (f, (1 - f) * z)}  # (4)

    def output(self, ops, x, pre, states, delayed):
        o = self.recurrent_activation(pre("o") + delayed["o1"])  # (3)
        return o * states["c"]  # (5)
