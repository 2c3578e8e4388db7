"""Conversion from the cells of `tf.contrib.rnn` in TensorFlow 1, by the paper's authors.

These cells keep their gates side by side in one array, with the rows for the input above the rows
for the state. At run time they add a constant `forget_bias` to their sigmoid gates; it is not part
of the stored bias and becomes `gate_bias` here. The gate order and the read-in follow TensorFlow
1.15. Checkpoints older than TensorFlow 1.2 name the variables "weights" and "biases" instead of
"kernel" and "bias".

Legend: I input, N units, G gates.
"""

from typing import Any

import numpy as np

from rnn_zoo.architectures import canonical_name
from rnn_zoo.convert import arrays
from rnn_zoo.layers import LAYERS, CellLayer

Array = Any

#: Gate order of the arrays; each gate has N columns.
_GATES = {"ugrnn": ("g", "c"), "+rnn": ("gh", "h", "gy", "y")}


def from_contrib(
    arch: str,
    kernel: Array,
    bias: Array,
    forget_bias: float = 1.0,
    read_in: tuple[Array, Array] | None = None,
    learned_initial_state: bool = False,
    **options: Any,
) -> CellLayer:
    """Return a layer with the weights of a `UGRNNCell` or `IntersectionRNNCell` of TensorFlow 1.

    Args:
        arch: "ugrnn" or "+rnn".
        kernel: (I + N, G N), the variable "kernel"; (2 N, 4 N) for the +RNN.
        bias: (G N,), the variable "bias".
        forget_bias: the constant added to the gates that keep the old state.
        read_in: the variables "in_projection/kernel" (I, N) and "in_projection/bias" (N,), which
            an intersection cell has if its input is not N wide.
        learned_initial_state: whether the initial state, zero in TensorFlow, is trainable.
        **options: other arguments of the layer. The defaults are those of TensorFlow: tanh, and
            relu for the +RNN's `depth_activation`, called `y_activation` there.

    Returns:
        A built `rnn_zoo.layers.UGRNN` or `IntersectionRNN`. Its `cell` can also be used alone.

    Raises:
        ValueError: another architecture, arrays of the wrong shape, or options that the layer
            refuses.

    Example:
        layer = rnn_zoo.convert.from_contrib("ugrnn", kernel, bias, return_sequences=True)
    """
    arch = canonical_name(arch)
    if arch not in _GATES:
        raise ValueError(f"tf.contrib.rnn has no weights for {arch}; choose {', '.join(_GATES)}")
    kernel, bias, gates = np.asarray(kernel), np.asarray(bias), _GATES[arch]
    units = _units(gates, kernel, bias)
    features = len(kernel) - units
    if arch == "+rnn" or read_in is not None:
        features = _features_before_read_in(arch, units, features, read_in)
    layer = LAYERS[arch](
        units, gate_bias=forget_bias, learned_initial_state=learned_initial_state, **options
    )
    layer.build((None, None, features))
    layer.cell.set_gate_weights(arrays.by_gate(gates, kernel[:-units], kernel[-units:], bias))
    if read_in is not None:
        for name, array in zip(("kernel", "bias"), read_in, strict=True):
            getattr(layer.cell, f"read_in_{name}").assign(array)
    return layer


def _units(gates, kernel, bias):
    """Return N after checking the shapes of a cell's two arrays."""
    units = bias.size // len(gates)
    if bias.shape != (units * len(gates),) or not units:
        raise ValueError(
            f"bias must be ({len(gates)} N,), N for each of {', '.join(gates)}; got {bias.shape}"
        )
    if kernel.ndim != 2 or kernel.shape[0] <= units or kernel.shape[1] != bias.size:
        raise ValueError(f"kernel must be (I + {units}, {bias.size}), got {kernel.shape}")
    return units


def _features_before_read_in(arch, units, features, read_in):
    """Return I after checking that the read-in fits the other arrays."""
    if arch != "+rnn":
        raise ValueError(f"{arch} has no read-in; omit it")
    if features != units:
        raise ValueError(
            f"kernel must be ({2 * units}, {4 * units}) for inputs of any size, "
            f"got ({features + units}, {4 * units})"
        )
    if read_in is None:
        return units
    shape, bias_shape = map(np.shape, read_in)
    if len(shape) != 2 or shape[1] != units or bias_shape != (units,):
        raise ValueError(
            f"read_in must be arrays of shapes (I, {units}) and ({units},), "
            f"got {shape} and {bias_shape}"
        )
    if shape[0] == units:
        raise ValueError(f"an input of {units} features needs no read-in to {units} units; omit it")
    return shape[0]
