"""Arrays with gates side by side, as in Keras and PyTorch, and checks common to both.

Legend: I input, N units, G gates.
"""

from collections.abc import Iterable
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
    layers.GRUResetAfter: ("u", "r", "c"),
    layers.LSTM: ("i", "f", "c", "o"),
}
#: Options that layers of neither library have and that act in inference too.
LACKING = ("layer_norm", "zoneout", "return_state_sequences")
#: Options that they lack and that act in training alone.
LACKING_IN_TRAINING = ("truncate", "initial_noise", "candidate_dropout")


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
    recurrent_bias: Array | None = None,
    batch_size: int | None = None,
) -> layers.CellLayer:
    """Build a layer of rnn_zoo and set its weights.

    Args:
        layer: layer of a class in `GATES`, not built.
        kernel: (I, G N).
        recurrent: (N, G N).
        bias: (G N), or None if the layer has none.
        recurrent_bias: (G N) of the recurrent products, if they have a bias of their own.
        batch_size: B of a stateful layer.
    """
    layer.build((batch_size, None, len(kernel)))
    gates = GATES[type(layer)]
    if bias is None:
        weights = by_gate(gates, kernel, recurrent, None)
    else:
        second = np.zeros_like(bias) if recurrent_bias is None else recurrent_bias
        weights = by_gate(gates, kernel, recurrent, bias + second)
    if isinstance(layer, layers.GRUResetAfter):
        weights["p"] = {"recurrent": weights["c"].pop("recurrent")}
        if bias is not None:
            weights["c"]["bias"], weights["p"]["bias"] = (
                np.split(each, 3)[2] for each in (bias, second)
            )
    layer.cell.set_gate_weights(weights)
    return layer


def joined(layer: layers.CellLayer) -> tuple[Array, Array, Array, Array]:
    """Return a layer's arrays in float64, b^fg added to the bias.

    Returns:
        (kernel (I, G N), recurrent (N, G N), bias (G N), bias of the recurrent products (G N)); the
        last is zero but for the gate p of a `GRUResetAfter`.
    """
    cell, gates = layer.cell, GATES[type(layer)]
    weights, none = cell.gate_weights(), np.zeros(cell.units)
    kernel, recurrent, bias, recurrent_bias = (
        np.concatenate([weights[of].get(part, none).astype("float64") for of in row], axis=-1)
        for row, part in (
            (gates, "input"),
            (_recurrent_gates(layer), "recurrent"),
            (gates, "bias"),
            (_recurrent_gates(layer), "bias"),
        )
    )
    added = [cell.gate_bias.get(gate, 0.0) for gate in gates]
    apart = [gate != of for gate, of in zip(gates, _recurrent_gates(layer), strict=True)]
    return (
        kernel,
        recurrent,
        bias + np.repeat(added, cell.units),
        recurrent_bias * np.repeat(apart, cell.units),
    )


def _recurrent_gates(layer):
    """Return the gates of the recurrent products, in the order of `GATES`."""
    is_apart = isinstance(layer, layers.GRUResetAfter)
    return tuple("p" if is_apart and g == "c" else g for g in GATES[type(layer)])


def check_ours(
    layer: layers.CellLayer,
    theirs: str,
    drop_initial_state: bool,
    inference_only: bool,
    lacking: Iterable[str] = (),
    lacking_in_training: Iterable[str] = (),
    otherwise: Iterable[str] = (),
) -> None:
    """Refuse a layer of rnn_zoo without an equivalent in the other library.

    Args:
        layer: layer of a class in `GATES`.
        theirs: name of the equivalent, for the message.
        drop_initial_state: whether to drop a learned initial state that is not zero.
        inference_only: whether to drop what acts in training alone.
        lacking: options that this equivalent lacks, beside those that both libraries lack.
        lacking_in_training: options that it lacks and that act in training alone.
        otherwise: options that it has, and that act otherwise there, in training alone.

    Raises:
        ValueError: a learned initial state that is not zero and not to be dropped, an option that
            would be lost, an LSTM with an activation other than tanh, or a layer without weights.
    """
    check_activation(layer, layer.cell.activation)
    check_built(layer)
    if not drop_initial_state and any(np.any(state) for state in layer.cell.initial_state):
        raise ValueError(
            f"{who(layer)} starts from a learned state, but {theirs} from zero; pass "
            "drop_initial_state=True, and give cell.initial_state to its calls"
        )
    lacks, acts_otherwise = f"which {theirs} lacks", f"which acts otherwise in {theirs}"
    refused = dict.fromkeys((*LACKING, *lacking), f"{lacks}; convert a layer without it")
    if not inference_only:
        way_out = "it acts in training alone, so pass inference_only=True to drop it"
        in_training = (*LACKING_IN_TRAINING, *lacking_in_training)
        refused |= dict.fromkeys(in_training, f"{lacks}; {way_out}")
        refused |= dict.fromkeys(otherwise, f"{acts_otherwise}; {way_out}")
    config = layer.get_config()
    for option, reason in refused.items():
        value = config.get(option)
        if any(value.values()) if isinstance(value, dict) else value:
            raise ValueError(f"{who(layer)} has {option}, {reason}")


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
