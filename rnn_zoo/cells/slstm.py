"""The scalar LSTM of xLSTM, with equations (1) to (9) in its docstring."""

import keras

from rnn_zoo.algebra import BlockDiagonal, Gate
from rnn_zoo.cells.base import AbstractRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class SLSTMCell(AbstractRNNCell):
    """sLSTM: exponential gates, a normalizer and heads (Beck et al., 2024).

        z  = s(W^z x + U^z h + b^z)                 (1)
        k  = W^i x + U^i h + b^i                    (2)
        l  = log σ(W^f x + U^f h + b^f + b^fg)      (3)
        o  = σ(W^o x + U^o h + b^o)                 (4)
        m' = max(l + m, k)                          (5)
        i  = exp(k - m'),  f = exp(l + m - m')      (6)
        c' = f · c + i · z                          (7)
        n' = f · |n| + i                            (8)
        h' = o · c' / n'                            (9)

    The stabilizer m keeps the exponentials of (6) at most 1 and cancels in (9). Each U has four
    blocks on its diagonal, one per head, so N must be a multiple of 4; a subclass that declares
    other `gates` has another number of heads.

    The forget gate is a sigmoid, as in the authors' code; the paper (arXiv:2405.04517) allows an
    exponential too. It carries b^fg; the original has none and s = tanh, which is `gate_bias=0`.
    The normalizer starts at 0 and is then positive; the absolute value in (8) keeps it positive for
    any learned initial value.
    """

    gates = {gate: Gate(recurrent=BlockDiagonal(4)) for gate in ("i", "f", "z", "o")}
    forget_gates = ("f",)
    state_names = ("h", "c", "n", "m")
    joint_states = ("c", "n", "m")

    def step(self, ops, x, pre, states):
        h, c, n, m = states
        z = self.activation(pre("z", h))  # (1)
        log_i = pre("i", h)  # (2)
        log_f = -ops.softplus(-(pre("f", h) + self.gate_bias["f"]))  # (3)
        o = ops.sigmoid(pre("o", h))  # (4)
        new_m = ops.maximum(log_f + m, log_i)  # (5)
        i, f = ops.exp(log_i - new_m), ops.exp(log_f + m - new_m)  # (6)
        c = f * c + i * z  # (7)
        n = f * ops.absolute(n) + i  # (8)
        h = o * c / n  # (9)
        return h, [h, c, n, new_m]
