"""The mutated units MUT1, MUT2 and MUT3, with their equations in the docstrings."""

import keras

from rnn_zoo.algebra import Gate
from rnn_zoo.cells.base import AbstractRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class MUT1Cell(AbstractRNNCell):
    """MUT1, a GRU that an evolutionary search changed (Jozefowicz et al., 2015).

        z  = σ(W^z x + b^z - b^fg)                       (1)
        r  = σ(W^r x + U^r h + b^r)                      (2)
        c  = s(U^c (r · h) + tanh(x) + b^c)              (3)
        h' = z · c + (1 - z) · h                         (4)

    From "An empirical exploration of recurrent network architectures" (ICML 2015). 1 - z keeps the
    old state, so b^fg is subtracted in (1), which adds it to the pre-activation of 1 - z. The
    original has no b^fg and uses s = tanh; `gate_bias=0` reproduces it. Equation (3) uses x itself.
    An input that is not N wide is read in by a linear layer first.
    """

    gates = {"z": Gate(recurrent=None), "r": Gate(), "c": Gate(input=False)}
    forget_gates = ("z",)
    mixes_input = True

    def step(self, ops, x, pre, states):
        (h,) = states
        z = self.recurrent_activation(pre("z") - self.gate_bias["z"])  # (1)
        r = self.recurrent_activation(pre("r", h))  # (2)
        c = self.activation(pre("c", r * h) + ops.tanh(x))  # (3)
        h = z * c + (1 - z) * h  # (4)
        return h, [h]


@keras.saving.register_keras_serializable("rnn_zoo")
class MUT2Cell(AbstractRNNCell):
    """MUT2, a GRU whose reset gate reads the input unweighted (Jozefowicz et al., 2015).

        z  = σ(W^z x + U^z h + b^z - b^fg)               (1)
        r  = σ(x + U^r h + b^r)                          (2)
        c  = s(W^c x + U^c (r · h) + b^c)                (3)
        h' = z · c + (1 - z) · h                         (4)

    The sign of b^fg, `gate_bias=0` and inputs that are not N wide are as in `MUT1Cell`.
    """

    gates = {"z": Gate(), "r": Gate(input=False), "c": Gate()}
    forget_gates = ("z",)
    mixes_input = True

    def step(self, ops, x, pre, states):
        (h,) = states
        z = self.recurrent_activation(pre("z", h) - self.gate_bias["z"])  # (1)
        r = self.recurrent_activation(pre("r", h) + x)  # (2)
        c = self.activation(pre("c", r * h))  # (3)
        h = z * c + (1 - z) * h  # (4)
        return h, [h]


@keras.saving.register_keras_serializable("rnn_zoo")
class MUT3Cell(AbstractRNNCell):
    """MUT3, a GRU whose update gate sees a squashed state (Jozefowicz et al., 2015).

        z  = σ(W^z x + U^z tanh(h) + b^z - b^fg)         (1)
        r  = σ(W^r x + U^r h + b^r)                      (2)
        c  = s(W^c x + U^c (r · h) + b^c)                (3)
        h' = z · c + (1 - z) · h                         (4)

    The sign of b^fg and `gate_bias=0` are as in `MUT1Cell`.
    """

    gates = ("z", "r", "c")
    forget_gates = ("z",)

    def step(self, ops, x, pre, states):
        (h,) = states
        z = self.recurrent_activation(pre("z", ops.tanh(h)) - self.gate_bias["z"])  # (1)
        r = self.recurrent_activation(pre("r", h))  # (2)
        c = self.activation(pre("c", r * h))  # (3)
        h = z * c + (1 - z) * h  # (4)
        return h, [h]
