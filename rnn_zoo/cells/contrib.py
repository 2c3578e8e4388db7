"""Weights of `tf.contrib.rnn`, the cells that TensorFlow 1 had from the authors, as ours.

Those cells keep their gates side by side in one array, the rows for the input above the rows for
the state, and add a constant `forget_bias` to their sigmoid gates at run time: it is our
`gate_bias`, and no part of the stored bias. Gate orders and the read-in are as in the sources of
TensorFlow 1.15; checkpoints of TensorFlow before 1.2 call a `kernel` "weights" and a `bias`
"biases".

Legend: I input, N units, G gates.
"""

import numpy as np


def split(gates, kernel, bias):
    """The gates' weights from a cell's two arrays.

    Args:
        gates: names of the gates, from the first N columns to the last.
        kernel: (I + N, G N).
        bias: (G N,).

    Returns:
        What `gate_weights` returns, with arrays of the given precision.

    Raises:
        ValueError: the shapes are not those of such a cell.
    """
    kernel, bias = np.asarray(kernel), np.asarray(bias)
    units = bias.size // len(gates)
    if bias.shape != (units * len(gates),) or not units:
        raise ValueError(
            f"bias must be ({len(gates)} N,), N for each of {', '.join(gates)}; got {bias.shape}"
        )
    if kernel.ndim != 2 or kernel.shape[0] <= units or kernel.shape[1] != bias.size:
        raise ValueError(f"kernel must be (I + {units}, {bias.size}), got {kernel.shape}")
    columns = np.split(kernel, len(gates), axis=1)
    return {
        gate: {"input": column[:-units], "recurrent": column[-units:], "bias": constant}
        for gate, column, constant in zip(gates, columns, np.split(bias, len(gates)), strict=True)
    }


def check_read_in(units, features, kernel, bias):
    """Refuses a read-in that an intersection cell of N units does not have, or lacks.

    Args:
        units: N.
        features: I, the rows of its kernel that are for the input.
        kernel, bias: (I', N) and (N,) of its "in_projection", or None and None.

    Raises:
        ValueError: see above.
    """
    if features != units:
        raise ValueError(
            f"kernel must be ({2 * units}, {4 * units}), whatever the size of the input, "
            f"got ({features + units}, {4 * units})"
        )
    if (kernel is None) != (bias is None):
        raise ValueError("read_in_kernel and read_in_bias are given together, or neither")
    if kernel is None:
        return
    shape, bias_shape = np.shape(kernel), np.shape(bias)
    if len(shape) != 2 or shape[1] != units or bias_shape != (units,):
        raise ValueError(
            f"read_in_kernel must be (I, {units}) and read_in_bias ({units},), "
            f"got {shape} and {bias_shape}"
        )
    if shape[0] == units:
        raise ValueError(f"an input of {units} features, as many as units, is not read in; omit it")
