"""Arrays with gates side by side, as in Keras and PyTorch, and checks common to both.

Legend: I input, N units, G gates.
"""

from typing import Any

import keras
import numpy as np

from rnn_zoo import layers

Array = np.ndarray

#: Gate order of both libraries' arrays; each gate has N columns.
GATES: dict[type[layers.CellLayer], tuple[str, ...]] = {
    layers.RNN: ("h",),
    layers.IRNN: ("h",),
    layers.GRU: ("u", "r", "c"),
    layers.LSTM: ("i", "f", "c", "o"),
}


def by_gate(
    gates: tuple[str, ...], kernel: Array, recurrent: Array, bias: Array | None
) -> dict[str, dict[str, Array]]:
    """Split arrays (I, G N), (N, G N) and (G N,) or None into the form of `gate_weights`."""
    parts = {"input": kernel, "recurrent": recurrent}
    parts |= {} if bias is None else {"bias": bias}
    split = {part: np.split(array, len(gates), axis=-1) for part, array in parts.items()}
    return {gate: {part: split[part][i] for part in parts} for i, gate in enumerate(gates)}


def filled(
    layer: layers.CellLayer,
    kernel: Array,
    recurrent: Array,
    bias: Array | None = None,
    batch_size: int | None = None,
) -> layers.CellLayer:
    """Build a layer of rnn_zoo and set its weights from arrays (I, G N), (N, G N) and (G N,)."""
    layer.build((batch_size, None, len(kernel)))
    layer.cell.set_gate_weights(by_gate(GATES[type(layer)], kernel, recurrent, bias))
    return layer


def joined(layer: layers.CellLayer) -> tuple[Array, Array, Array]:
    """Return a layer's arrays (I, G N), (N, G N) and (G N,) in float64, b^fg added to the bias."""
    cell, gates = layer.cell, GATES[type(layer)]
    weights = cell.gate_weights()
    none = np.zeros(cell.units)
    kernel, recurrent, bias = (
        np.concatenate([weights[gate].get(part, none).astype("float64") for gate in gates], axis=-1)
        for part in ("input", "recurrent", "bias")
    )
    added = [cell.gate_bias.get(gate, 0.0) for gate in gates]
    return kernel, recurrent, bias + np.repeat(added, cell.units)


def check_ours(layer: layers.CellLayer, theirs: str, drop_initial_state: bool) -> None:
    """Refuse a layer of rnn_zoo without an equivalent in the other library.

    Args:
        layer: layer of a class in `GATES`.
        theirs: name of the equivalent, for the message.
        drop_initial_state: whether to drop a learned initial state that is not zero.

    Raises:
        ValueError: a learned initial state that is not zero and not to be dropped, an LSTM with an
            activation other than tanh, or a layer without weights.
    """
    check_activation(layer, layer.cell.activation)
    check_built(layer)
    if not drop_initial_state and any(np.any(state) for state in layer.cell.initial_state):
        raise ValueError(
            f"{who(layer)} starts from a learned state, but {theirs} from zero; pass "
            "drop_initial_state=True, and give cell.initial_state to its calls"
        )


def check_activation(layer: Any, activation: Any) -> None:
    """Refuse an LSTM of rnn_zoo or Keras whose activation is not tanh."""
    is_lstm = isinstance(layer, (keras.layers.LSTM, layers.LSTM))
    if is_lstm and activation is not keras.activations.tanh:
        raise ValueError(
            f"{who(layer)} has activation {name(activation)}, which keras.layers.LSTM applies to "
            "the output too and rnn_zoo.layers.LSTM, eq. (14), does not; train one with tanh"
        )


def check_built(layer: Any) -> None:
    if not layer.built:
        raise ValueError(
            f"{who(layer)} has no weights yet: call it, or build((None, None, I)), first"
        )


def who(layer: Any) -> str:
    return f"{type(layer).__name__} {layer.name!r}"


def name(function: Any) -> str:
    return getattr(function, "__name__", str(function))
