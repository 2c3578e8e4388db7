"""What Keras and PyTorch have in common: gates side by side in an array, and what both refuse.

Legend: I input, N units, G gates.
"""

import keras
import numpy as np

from rnn_zoo import layers

#: Gates of both libraries' arrays, from the first N columns to the last.
GATES = {
    layers.RNN: ("h",),
    layers.IRNN: ("h",),
    layers.GRU: ("u", "r", "c"),
    layers.LSTM: ("i", "f", "c", "o"),
}


def by_gate(gates, kernel, recurrent, bias):
    """Split arrays (I, G N), (N, G N) and (G N,) into the form of `gate_weights`."""
    parts = {"input": kernel, "recurrent": recurrent, "bias": bias}
    split = {part: np.split(array, len(gates), axis=-1) for part, array in parts.items()}
    return {gate: {part: split[part][i] for part in parts} for i, gate in enumerate(gates)}


def filled(layer, kernel, recurrent, bias):
    """Build a layer of rnn_zoo and set its weights from arrays (I, G N), (N, G N) and (G N,)."""
    layer.build((None, None, len(kernel)))
    layer.cell.set_gate_weights(by_gate(GATES[type(layer)], kernel, recurrent, bias))
    return layer


def joined(layer):
    """Arrays (I, G N), (N, G N) and (G N,) in float64 of a layer of ours, with b^fg in the bias."""
    cell, gates = layer.cell, GATES[type(layer)]
    weights = cell.gate_weights()
    kernel, recurrent, bias = (
        np.concatenate([weights[gate][part].astype("float64") for gate in gates], axis=-1)
        for part in ("input", "recurrent", "bias")
    )
    added = [cell.gate_bias.get(gate, 0.0) for gate in gates]
    return kernel, recurrent, bias + np.repeat(added, cell.units)


def check_ours(layer, theirs, drop_initial_state):
    """Refuses a layer of ours that another library's cannot equal.

    Args:
        layer: one of those in `GATES`.
        theirs: the other, in words.
        drop_initial_state: whether a learned initial state that is not zero may be lost.

    Raises:
        ValueError: see above.
    """
    check_activation(layer, layer.cell.activation)
    check_built(layer)
    if not drop_initial_state and any(np.any(state) for state in layer.cell.initial_state):
        raise ValueError(
            f"{who(layer)} starts from a learned state, and {theirs} from zero; pass "
            "drop_initial_state=True, and cell.initial_state as the initial state of its calls"
        )


def check_activation(layer, activation):
    """Refuses an LSTM, ours or Keras's, whose nonlinearity is not tanh."""
    is_lstm = isinstance(layer, (keras.layers.LSTM, layers.LSTM))
    if is_lstm and activation is not keras.activations.tanh:
        raise ValueError(
            f"{who(layer)} has activation {name(activation)}, which keras.layers.LSTM applies to "
            "the output too and rnn_zoo.layers.LSTM, eq. (14), does not; train one of tanh"
        )


def check_built(layer):
    if not layer.built:
        raise ValueError(
            f"{who(layer)} has no weights yet: call it, or build((None, None, I)), first"
        )


def who(layer):
    return f"{type(layer).__name__} {layer.name!r}"


def name(function):
    return getattr(function, "__name__", str(function))
