"""The matrix LSTM of xLSTM, with equations (1) to (10) in its docstring."""

import keras

from rnn_zoo.algebra import Gate, MatrixState, PerHead, ZeroState
from rnn_zoo.cells.base import AbstractRNNCell
from rnn_zoo.cells.heads import Heads

_HEADS = 4


@keras.saving.register_keras_serializable("rnn_zoo")
class MLSTMCell(AbstractRNNCell):
    """mLSTM: an associative memory, a matrix per head (Beck et al., 2024).

        q, v = W^q x + b^q, W^v x + b^v                  (1)
        k    = (W^k x + b^k) / √D                        (2)
        o    = σ(W^o x + b^o)                            (3)
        a    = w^i x + b^i                               (4)
        l    = log σ(w^f x + b^f + b^fg)                 (5)
        m'   = max(l + m, a)                             (6)
        i    = exp(a - m'),  f = exp(l + m - m')         (7)
        C'   = f C + i v k^T                             (8)
        n'   = f n + i k                                 (9)
        h    = o · C' q / max(abs(n' · q), exp(-m'))     (10)

    There are four heads of D = N/4 units, so N must be a multiple of 4; i, f and m are one number
    per head. The stabilizer m keeps the exponentials of (7) at most 1 and cancels in (10), whose
    denominator is max(abs(n · q), 1) without it. The output h is no state.

    The forget gate is a sigmoid, as in the authors' code; the paper (arXiv:2405.04517) allows an
    exponential too. It carries b^fg; the original has none, which is `gate_bias=0`. C and m start
    from zero, as there; n starts from a learned state.
    """

    gates = {gate: Gate(recurrent=None) for gate in ("q", "k", "v", "o")} | {
        gate: Gate(input=PerHead(_HEADS), recurrent=None) for gate in ("i", "f")
    }
    forget_gates = ("f",)
    state_names = ("n", "m", "C")
    zero_states = {"m": ZeroState(), "C": MatrixState(_HEADS)}

    def step(self, ops, x, pre, states):
        n, m, memory = states
        heads = Heads(ops, _HEADS, pre.axis)
        q, v = pre("q"), pre("v")  # (1)
        k = pre("k") / (self.units // _HEADS) ** 0.5  # (2)
        o = ops.sigmoid(pre("o"))  # (3)
        log_i = pre("i")  # (4)
        log_f = -ops.softplus(-(pre("f") + self.gate_bias["f"]))  # (5)
        new_m = ops.maximum(log_f + m, log_i)  # (6)
        i, f = ops.exp(log_i - new_m), ops.exp(log_f + m - new_m)  # (7)
        memory = heads.outer(f, ops.ones_like(k)) * memory + heads.outer(i * v, k)  # (8)
        n = f * n + i * k  # (9)
        scale = ops.maximum(ops.absolute(heads.dot(n, q)), ops.exp(-new_m))
        h = o * heads.times(memory, q) / scale  # (10)
        return h, [n, new_m, memory]
