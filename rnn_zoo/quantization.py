"""Weights rounded to few bits each, and packed into as few.

A matrix's weights become whole numbers ("codes") times a scale, symmetric about zero:

    q = 2^(bits - 1) - 1        s = max |w| / q        code = round(w / s)        ŵ = s · code

so that zero stays zero, the largest weight stays itself, and no weight moves by more than s / 2.
Codes run from -q to q: 31 values for 5 bits. One scale serves a whole matrix (granularity "tensor")
or one unit that the matrix feeds (granularity "row": a row of the paper's W, a column of the kernel
here, which is its transpose). Matrices are those of every gate, the read-in and the readout. Biases
and initial states, 1/N of the weights, stay as they are.

Legend: I input, N units.
"""

import numpy as np

GRANULARITIES = ("tensor", "row")
#: One bit would leave only zero.
MIN_BITS, MAX_BITS = 2, 16


def quantize(weights, bits, granularity):
    """Rounds every matrix of a model.

    Args:
        weights: NumPy arrays as of `rnn_zoo.model.get_weights`.
        bits: a weight's.
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


def codes_of(matrix, bits, granularity):
    """The codes and scales of one matrix.

    Args:
        matrix: (I, N).
        bits, granularity: as for `quantize`.

    Returns:
        (int32 codes (I, N), float32 scales (1,) or (N,)).

    Raises:
        ValueError: as of `quantize`.
    """
    if not MIN_BITS <= bits <= MAX_BITS:
        raise ValueError(f"bits must be from {MIN_BITS} to {MAX_BITS}, got {bits}")
    if granularity not in GRANULARITIES:
        names = ", ".join(GRANULARITIES)
        raise ValueError(f"unknown granularity {granularity!r}; choose one of {names}")
    if not np.isfinite(matrix).all():
        raise ValueError("a weight that is not finite cannot be quantised")
    largest = np.abs(matrix).max(axis=0)
    if granularity == "tensor":
        largest = largest.max(keepdims=True)
    scales = (largest / largest_code(bits)).astype("float32")
    # A unit without weights has scale 0; so may one of weights below float32's normal numbers.
    divisor = np.where(scales > 0, scales, np.inf).astype("float64")
    codes = np.rint(matrix / divisor).astype("int32")
    return np.clip(codes, -largest_code(bits), largest_code(bits)), scales


def dequantize(codes, scales):
    """ŵ = s · code, in float32."""
    return codes.astype("float32") * scales


def largest_code(bits):
    """q = 2^(bits - 1) - 1."""
    return 2 ** (bits - 1) - 1


def is_matrix(array):
    """Whether a weight is one of those that are quantised."""
    return np.ndim(array) == 2


def pack(codes, bits):
    """Whole numbers from -q to q as a stream of `bits` bits each, their lowest bit first.

    Returns:
        uint8, ceil(number of codes · bits / 8) of them; the last one is filled up with zeros.
    """
    # Shifted by q to be without a sign.
    shifted = np.ravel(codes) + largest_code(bits)
    return np.packbits((shifted[:, None] >> np.arange(bits)) & 1, bitorder="little")


def unpack(packed, bits, count):
    """The inverse of `pack`: int32 (count,)."""
    flat = np.unpackbits(packed, count=count * bits, bitorder="little")
    places = 1 << np.arange(bits, dtype="int32")
    return flat.reshape(count, bits).astype("int32") @ places - largest_code(bits)
