"""Numeric twin of the architectures: plain NumPy, written from the papers alone.

The tests compare the Keras cells, the unrolled layers and the parameter counts with this file,
so it imports nothing from `rnn_zoo` and prefers the obvious to the fast. Equation numbers are
those of Collins, Sohl-Dickstein & Sussillo (2017), section 1.4; the cells that are not of that
paper name their own. Vectors are rows: the paper's
W x is written x @ W here. Arithmetic keeps the precision of what it is given.

Legend: B batch, T time, I input, N units, O output. A weight dict maps each gate's name to its
`input` (I, N), `recurrent` (N, N) and `bias` (N,).
"""

import numpy as np

GATES = {
    "rnn": ("h",),
    "irnn": ("h",),
    "ugrnn": ("c", "g"),
    "gru": ("r", "u", "c"),
    "lstm": ("i", "f", "c", "o"),
    "+rnn": ("y", "h", "gy", "gh"),
    "mgu": ("f", "h"),
    "minimal_rnn": ("u",),
}
STATES = dict.fromkeys(GATES, 1) | {"lstm": 2}
ACTIVATIONS = {"tanh": np.tanh, "relu": lambda a: np.maximum(a, 0)}


def sigmoid(a):
    """1 / (1 + exp(-a)), by way of its logarithm so that no sign of `a` overflows."""
    return np.exp(-np.logaddexp(0, -a))


def affine(gate, x, h):
    """Sum one gate's two products and its bias."""
    return x @ gate["input"] + h @ gate["recurrent"] + gate["bias"]


def rnn_step(weights, x, states, activation="tanh", gate_bias=1.0):
    """Vanilla RNN; it has no gate, so `gate_bias` is accepted and not used."""
    s = ACTIVATIONS[activation]
    (h,) = states
    h = s(affine(weights["h"], x, h))  # (1)
    return h, [h]


def irnn_step(weights, x, states, activation="relu", gate_bias=1.0):
    """RNN whose nonlinearity is ReLU whatever `activation` says."""
    return rnn_step(weights, x, states, "relu", gate_bias)


def ugrnn_step(weights, x, states, activation="tanh", gate_bias=1.0):
    """Update gate RNN."""
    s, b_fg = ACTIVATIONS[activation], float(gate_bias)
    (h,) = states
    c = s(affine(weights["c"], x, h))  # (2)
    g = sigmoid(affine(weights["g"], x, h) + b_fg)  # (3)
    h = g * h + (1 - g) * c  # (4)
    return h, [h]


def gru_step(weights, x, states, activation="tanh", gate_bias=1.0):
    """Gated recurrent unit, resetting the state before its product."""
    s, b_fg = ACTIVATIONS[activation], float(gate_bias)
    (h,) = states
    r = sigmoid(affine(weights["r"], x, h))  # (5)
    u = sigmoid(affine(weights["u"], x, h) + b_fg)  # (6)
    c = s(affine(weights["c"], x, r * h))  # (7)
    h = u * h + (1 - u) * c  # (8)
    return h, [h]


def lstm_step(weights, x, states, activation="tanh", gate_bias=1.0):
    """Long short-term memory; its states are [h, c]."""
    s, b_fg = ACTIVATIONS[activation], float(gate_bias)
    h, c = states
    i = sigmoid(affine(weights["i"], x, h))  # (9)
    f = sigmoid(affine(weights["f"], x, h) + b_fg)  # (10)
    c_in = s(affine(weights["c"], x, h))  # (11)
    c = f * c + i * c_in  # (12)
    o = sigmoid(affine(weights["o"], x, h))  # (13)
    h = o * np.tanh(c)  # (14)
    return h, [h, c]


def plus_rnn_step(weights, x, states, activation="tanh", gate_bias=1.0, depth_activation="relu"):
    """Intersection RNN: x must be (B, N); `gate_bias` is one number or a pair (y, h)."""
    s1, s2 = ACTIVATIONS[depth_activation], ACTIVATIONS[activation]
    b_fg_y, b_fg_h = (float(b) for b in np.broadcast_to(gate_bias, (2,)))
    (h,) = states
    if x.shape != h.shape:  # (19) would broadcast a single input feature without complaint
        raise ValueError(f"+rnn input {x.shape} must match its state {h.shape}: use read_in")
    y_in = s1(affine(weights["y"], x, h))  # (15)
    h_in = s2(affine(weights["h"], x, h))  # (16)
    g_y = sigmoid(affine(weights["gy"], x, h) + b_fg_y)  # (17)
    g_h = sigmoid(affine(weights["gh"], x, h) + b_fg_h)  # (18)
    y = g_y * x + (1 - g_y) * y_in  # (19)
    h = g_h * h + (1 - g_h) * h_in  # (20)
    return y, [h]


def mgu_step(weights, x, states, activation="tanh", gate_bias=1.0):
    """Minimal gated unit (Zhou et al. 2016): 1 - f keeps the old state, and has the gate bias."""
    s, b_fg = ACTIVATIONS[activation], float(gate_bias)
    (h,) = states
    keep = sigmoid(b_fg - affine(weights["f"], x, h))
    f = 1 - keep
    candidate = s(affine(weights["h"], x, f * h))
    h = keep * h + f * candidate
    return h, [h]


def minimal_rnn_step(weights, x, states, activation="tanh", gate_bias=1.0):
    """MinimalRNN (Chen 2017); `weights` has one more entry, z, which has no recurrent matrix."""
    s, b_fg = ACTIVATIONS[activation], float(gate_bias)
    (h,) = states
    z = s(x @ weights["z"]["input"] + weights["z"]["bias"])
    u = sigmoid(affine(weights["u"], z, h) + b_fg)
    h = u * h + (1 - u) * z
    return h, [h]


STEPS = {
    "rnn": rnn_step,
    "irnn": irnn_step,
    "ugrnn": ugrnn_step,
    "gru": gru_step,
    "lstm": lstm_step,
    "+rnn": plus_rnn_step,
    "mgu": mgu_step,
    "minimal_rnn": minimal_rnn_step,
}


def read_in(x, kernel, bias):
    """Projects x (..., I) to the +RNN's N units, linearly."""
    return x @ kernel + bias


def unroll(arch, weights, inputs, states, mask=None, go_backwards=False, **options):
    """Run a cell over inputs (B, T, I); return outputs (B, T, N) and the final states.

    Where mask (B, T) is False the states stay and the previous output is repeated (zeros if
    there is none). Backwards, the outputs come in the order in which they were computed.
    `options` go to the step.
    """
    time_steps = range(inputs.shape[1])
    output, outputs = np.zeros_like(states[0]), []
    for t in reversed(time_steps) if go_backwards else time_steps:
        new_output, new_states = STEPS[arch](weights, inputs[:, t], states, **options)
        if mask is not None:
            keep = np.asarray(mask, bool)[:, t, None]
            new_output = np.where(keep, new_output, output)
            pairs = zip(new_states, states, strict=True)
            new_states = [np.where(keep, new, old) for new, old in pairs]
        output, states = new_output, new_states
        outputs.append(output)
    return np.stack(outputs, axis=1), list(states)


def stack(arch, layers, readout, inputs, **options):
    """Run layers over inputs (B, T, I), each reading the last one's outputs; return (B, T, O).

    A layer is a dict of `weights`, `initial` (one (N,) vector a state) and, where it has one,
    `read_in` (kernel, bias); `options` (activation, gate_bias, ...) are shared by all layers.
    """
    sequence = inputs
    for layer in layers:
        if layer.get("read_in") is not None:
            sequence = read_in(sequence, **layer["read_in"])
        batch = len(sequence)
        states = [np.broadcast_to(s, (batch, len(s))) for s in layer["initial"]]
        sequence, _ = unroll(arch, layer["weights"], sequence, states, **options)
    return sequence @ readout["kernel"] + readout["bias"]


def _make_weights(arch, input_dim, units, make):
    if arch != "minimal_rnn":
        return _make_gates(arch, input_dim, units, make)
    z = {"input": make((input_dim, units)), "bias": make((units,))}
    return {"z": z} | _make_gates(arch, units, units, make)  # its gate sees z, not the input


def _make_gates(arch, input_dim, units, make):
    return {
        gate: {
            "input": make((input_dim, units)),
            "recurrent": make((units, units)),
            "bias": make((units,)),
        }
        for gate in GATES[arch]
    }


def random_weights(arch, input_dim, units, rng):
    """Draw matrices of variance 1/rows and unit-variance biases from `rng`, a Generator."""

    def draw(shape):
        return rng.normal(scale=shape[0] ** -0.5 if len(shape) == 2 else 1.0, size=shape)

    return _make_weights(arch, input_dim, units, draw)


def random_states(arch, batch, units, rng):
    """Draw a standard normal (B, N) array for each of the cell's states."""
    return [rng.normal(size=(batch, units)) for _ in range(STATES[arch])]


def count_params(arch, depth, units, input_dim, output_dim):
    """Count a network's weights by building every array; b^fg is not one of them."""
    arrays, features = [], input_dim
    if arch == "+rnn" and input_dim != units:  # its first layer's read-in
        arrays += [np.zeros((input_dim, units)), np.zeros(units)]
        features = units
    for _ in range(depth):
        for gate in _make_weights(arch, features, units, np.zeros).values():
            arrays += gate.values()
        arrays += [np.zeros(units) for _ in range(STATES[arch])]  # learned initial states
        features = units
    arrays += [np.zeros((units, output_dim)), np.zeros(output_dim)]  # readout
    return sum(array.size for array in arrays)
