"""The matrix LSTM of xLSTM, with equations (1) to (10) in its docstring."""

import keras
import numpy as np

from rnn_zoo.algebra import Gate, MatrixState, PerHead, ZeroState
from rnn_zoo.cells.heads import Heads
from rnn_zoo.cells.linear import ChunkedRNNCell

_HEADS = 4


@keras.saving.register_keras_serializable("rnn_zoo")
class MLSTMCell(ChunkedRNNCell):
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
    denominator is max(abs(n · q), 1) without it. The output h is not a state.

    The forget gate is a sigmoid, as in the authors' code; the paper (arXiv:2405.04517) allows an
    exponential too. It carries b^fg; the original has none, which is `gate_bias=0`. C and m start
    from zero, as there; n starts from a learned state.

    Within a chunk of steps, C' q is a weighted sum of the v of the steps before, and no C is
    computed (appendix A.3 of the paper).
    """

    gates = {gate: Gate(recurrent=None) for gate in ("q", "k", "v", "o")} | {
        gate: Gate(input=PerHead(_HEADS), recurrent=None) for gate in ("i", "f")
    }
    forget_gates = ("f",)
    state_names = joint_states = ("n", "m", "C")
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

    def chunk(self, ops, pre, states):
        size = self.units // _HEADS

        def by_head(state, *sizes):
            return ops.reshape(state, (*ops.shape(state)[:-1], _HEADS, *sizes))

        def by_step(array):
            """Return (..., B, K, L, D) of an array (L, ..., B, N)."""
            array = by_head(array, size)
            return ops.moveaxis(array, 0, len(array.shape) - 2)

        def turned(array):
            return ops.swapaxes(array, -1, -2)

        n, m, memory = by_head(states[0], 1, size), by_head(states[1], size), states[2]
        m, memory = m[..., :1], by_head(memory, size, size)
        q, v = by_step(pre("q")), by_step(pre("v"))  # (1)
        k = by_step(pre("k")) / size**0.5  # (2)
        o = ops.sigmoid(pre("o"))  # (3)
        log_i = by_step(pre("i"))[..., 0]  # (4)
        log_f = -ops.softplus(-by_step(pre("f") + self.gate_bias["f"])[..., 0])  # (5)
        since = ops.cumsum(log_f, -1)
        # Of the memory at step t, step s <= t has the share exp(a_s + l_s+1 + ... + l_t).
        log_shares = since[..., None] - since[..., None, :] + log_i[..., None, :]
        length = log_f.shape[-1]
        log_shares = ops.where(np.tri(length, dtype=bool), log_shares, -np.inf)
        new_m = ops.maximum(since + m, ops.max(log_shares, -1))  # (6)
        shares = ops.exp(log_shares - new_m[..., None])  # (7)
        kept = ops.exp(since + m - new_m)[..., None]
        products, kept_q = shares * (q @ turned(k)), kept * q
        # One product instead of two, because JAX 0.10.2 gets products with constants wrong on a
        # CPU, such as that with a memory of zeros.
        factors = (products, kept_q), (turned(v), memory)
        left, right = (ops.concatenate(each, -1) for each in factors)
        read = left @ turned(right)  # (8)
        total = ops.sum(products, -1, keepdims=True) + ops.sum(kept_q * n, -1, keepdims=True)  # (9)
        scale = ops.maximum(ops.absolute(total), ops.exp(-new_m)[..., None])
        h = o * ops.reshape(ops.moveaxis(read / scale, -2, 0), ops.shape(o))  # (10)
        # The states after the chunk.
        kept, shared_k = kept[..., -1:, :], shares[..., -1, :, None] * k
        n = kept * n + ops.sum(shared_k, -2, keepdims=True)
        memory = kept * memory + turned(v) @ shared_k
        m = ops.broadcast_to(new_m[..., -1:], ops.shape(by_head(states[1], size)))
        new = zip((n, m, memory), states, strict=True)
        return h, [ops.reshape(each, ops.shape(state)) for each, state in new]
