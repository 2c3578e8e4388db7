"""mLSTM, arXiv:2405.04517, eqs. (19) to (27), head by head, without and with its stabilizer.

The states are those of the stabilized form: n and C times exp(-m).
"""

import numpy as np

from twins.base import Twin, of_input, sigmoid

HEADS = 4


def mlstm(w, x, states, gate_bias=1.0):
    n, m, memory = states
    samples, units = n.shape
    size = units // HEADS
    outputs, after = np.zeros_like(n), [np.zeros_like(each) for each in states]
    for b in range(samples):
        for head in range(HEADS):
            rows = slice(head * size, (head + 1) * size)
            q, k, v = (of_input(w[gate], x[b])[rows] for gate in "qkv")
            o = sigmoid(of_input(w["o"], x[b])[rows])
            # Exponential input gate and sigmoid forget gate; the true memory is C exp(m).
            i = np.exp(of_input(w["i"], x[b])[head])
            f = sigmoid(of_input(w["f"], x[b])[head] + gate_bias)
            k = k / np.sqrt(size)
            scale = np.exp(m[b, rows])
            block = memory[b].reshape(HEADS, size, size)[head] * scale[:, None]
            true_n = f * scale * n[b, rows] + i * k
            true_memory = f * block + i * np.outer(v, k)
            outputs[b, rows] = o * (true_memory @ q) / max(abs(true_n @ q), 1)
            new_m = np.maximum(np.log(f) + m[b, rows], np.log(i))
            after[0][b, rows] = true_n * np.exp(-new_m)
            after[1][b, rows] = new_m
            blocks = after[2][b].reshape(HEADS, size, size)
            blocks[head] = true_memory * np.exp(-new_m)[:, None]
    return outputs, after


def valid(states):
    """Make m equal within each head."""
    n, m, memory = states
    size = m.shape[-1] // HEADS
    return [n, np.repeat(m[..., ::size], size, axis=-1), memory]


TWINS = {"mlstm": Twin(mlstm, {"gate_bias": 0.3}, num_states=3, units=8, valid=valid)}
