"""Rounding of weights to a few bits each, and packing of the codes.

A matrix's weights become whole numbers ("codes") times a scale, symmetric about zero:

    q = 2^(bits - 1) - 1        s = max |w| / q        code = round(w / s)        ŵ = s · code

Zero and the largest weight keep their values, and no weight changes by more than s / 2. Codes run
from -q to q: 31 values for 5 bits. There is one scale per matrix (granularity "tensor") or one per
output unit (granularity "row": a row of the paper's W, which is a column of the kernel here). The
matrices of all gates, the read-in and the readout are rounded. Biases and initial states, about 1/N
of the weights, are not.

Legend: I input, N units.
"""

from typing import Any

import numpy as np

Array = np.ndarray

GRANULARITIES = ("tensor", "row")
#: With one bit, zero would be the only code.
MIN_BITS, MAX_BITS = 2, 16


def quantize(weights: dict[str, Any], bits: int, granularity: str) -> dict[str, Any]:
    """Round every matrix of a model.

    Args:
        weights: NumPy arrays in the form of `rnn_zoo.model.get_weights`.
        bits: number of bits per weight.
        granularity: one of `GRANULARITIES`.

    Returns:
        float32 arrays of the same structure.

    Raises:
        ValueError: bits out of range, an unknown granularity, a weight that is not finite.

    Example:
        set_weights(model, quantize(get_weights(model), bits=5, granularity="row"))
    """
    import keras

    return keras.tree.map_structure(
        lambda array: (
            dequantize(*codes_of(array, bits, granularity)) if is_matrix(array) else array
        ),
        weights,
    )


def codes_of(matrix: Array, bits: int, granularity: str) -> tuple[Array, Array]:
    """Compute the codes and scales of one matrix.

    Args:
        matrix: (I, N), or (..., I, N) of several, such as the blocks of a block-diagonal one.
        bits, granularity: as for `quantize`.

    Returns:
        (int32 codes (I, N), float32 scales (1,) or (N,)).

    Raises:
        ValueError: as for `quantize`.
    """
    if not MIN_BITS <= bits <= MAX_BITS:
        raise ValueError(f"bits must be from {MIN_BITS} to {MAX_BITS}, got {bits}")
    if granularity not in GRANULARITIES:
        names = ", ".join(GRANULARITIES)
        raise ValueError(f"unknown granularity {granularity!r}; choose one of {names}")
    if not np.isfinite(matrix).all():
        raise ValueError("a weight that is not finite cannot be quantised")
    # An antisymmetric matrix of one unit has no entries.
    largest = np.abs(matrix).max(axis=tuple(range(matrix.ndim - 1)), initial=0.0)
    if granularity == "tensor":
        largest = largest.max(keepdims=True)
    scales = (largest / largest_code(bits)).astype("float32")
    # A scale is 0 if its weights are all 0 or too small for float32.
    divisor = np.where(scales > 0, scales, np.inf).astype("float64")
    codes = np.rint(matrix / divisor).astype("int32")
    return np.clip(codes, -largest_code(bits), largest_code(bits)), scales


def dequantize(codes: Array, scales: Array) -> Array:
    """Return ŵ = s · code in float32."""
    return codes.astype("float32") * scales


def largest_code(bits: int) -> int:
    """Return q = 2^(bits - 1) - 1."""
    return 2 ** (bits - 1) - 1


def is_matrix(array: Any) -> bool:
    """Return whether a weight is a matrix, or several, and so is quantized."""
    return np.ndim(array) >= 2


def pack(codes: Array, bits: int) -> Array:
    """Pack whole numbers from -q to q into `bits` bits each, lowest bit first.

    Returns:
        uint8 array of ceil(number of codes · bits / 8) bytes; the last is padded with zeros.
    """
    # Shift by q to make the codes unsigned.
    shifted = np.ravel(codes) + largest_code(bits)
    return np.packbits((shifted[:, None] >> np.arange(bits)) & 1, bitorder="little")


def unpack(packed: Array, bits: int, count: int) -> Array:
    """Invert `pack`; return int32 codes (count,)."""
    flat = np.unpackbits(packed, count=count * bits, bitorder="little")
    places = 1 << np.arange(bits, dtype="int32")
    return flat.reshape(count, bits).astype("int32") @ places - largest_code(bits)
