"""Rounded weights against plain Python, and their packing against strings of bits."""

import math

import keras
import numpy as np
import pytest

from rnn_zoo.functional import draw_weights, make_cells
from rnn_zoo.model import build_model, get_weights, set_weights
from rnn_zoo.quantization import codes_of, dequantize, pack, quantize, unpack

BITS = (2, 3, 4, 5, 6, 8, 11, 16)


def rounded(matrix, bits, granularity):
    """ŵ as the formula has it, a number after the other."""
    q = 2 ** (bits - 1) - 1
    features, units = matrix.shape
    result = np.zeros_like(matrix)
    for unit in range(units):
        group = matrix[:, unit] if granularity == "row" else matrix.ravel()
        scale = np.float32(max(abs(w) for w in group) / np.float32(q))
        for feature in range(features):
            code = round(float(matrix[feature, unit]) / float(scale)) if scale else 0
            result[feature, unit] = np.float32(code) * scale
    return result


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("granularity", ["tensor", "row"])
def test_rounding(bits, granularity, rng):
    matrix = (rng.normal(size=(7, 5)) * [1, 0.01, 3, 1, 1]).astype("float32")
    matrix[2, 3] = matrix[:, 4] = 0
    codes, scales = codes_of(matrix, bits, granularity)
    assert scales.shape == ((5,) if granularity == "row" else (1,))
    assert (codes.dtype, scales.dtype) == ("int32", "float32")
    assert abs(codes).max() == 2 ** (bits - 1) - 1
    values = dequantize(codes, scales)
    assert values.dtype == "float32"
    np.testing.assert_array_equal(values, rounded(matrix, bits, granularity))
    # What the docstring promises.
    assert np.all(abs(values - matrix) <= scales / 2 * (1 + 1e-5))
    assert values[2, 3] == 0 and not values[:, 4].any()
    largest = np.unravel_index(abs(matrix).argmax(), matrix.shape)
    assert values[largest] == pytest.approx(matrix[largest], rel=1e-6)


def test_a_row_is_what_feeds_one_unit():
    matrix = np.array([[1.0, 0.3], [0.6, 0.1]], "float32")
    codes, scales = codes_of(matrix, 3, "row")
    np.testing.assert_allclose(scales, [1 / 3, 0.1], rtol=1e-6)
    np.testing.assert_array_equal(codes, [[3, 3], [2, 1]])
    codes, scales = codes_of(matrix, 3, "tensor")
    np.testing.assert_array_equal(codes, [[3, 1], [2, 0]])


def test_the_smallest_numbers_have_codes_within_bounds():
    tiny = np.array([[1e-45, 3e-45], [0, -6e-45]], "float32")
    for bits in BITS:
        codes, _ = codes_of(tiny, bits, "row")
        assert abs(codes).max() <= 2 ** (bits - 1) - 1


@pytest.mark.parametrize("arch", ["gru", "+rnn"])
def test_matrices_are_rounded_each_by_itself_and_vectors_are_not(arch, rng):
    cells = make_cells(arch, 2, 4, seed=1)
    weights = keras.tree.map_structure(
        lambda w: rng.normal(size=w.shape).astype("float32"), draw_weights(cells, 6, 3, 1)
    )
    result = quantize(weights, 4, "row")
    keras.tree.assert_same_structure(weights, result)
    for before, after in zip(*map(keras.tree.flatten, (weights, result)), strict=True):
        expected = rounded(before, 4, "row") if before.ndim == 2 else before
        np.testing.assert_array_equal(after, expected)
        assert after.dtype == "float32"
    model = build_model(arch, 2, 4, 6, 3)
    set_weights(model, result)
    keras.tree.map_structure(np.testing.assert_array_equal, get_weights(model), result)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("count", [1, 7, 8, 100])
def test_packing(bits, count, rng):
    q = 2 ** (bits - 1) - 1
    codes = rng.integers(-q, q + 1, size=count)
    codes[0] = -q
    codes[-1] = q
    packed = pack(codes, bits)
    assert (packed.dtype, len(packed)) == ("uint8", math.ceil(count * bits / 8))
    # Each code's bits from the lowest up, all in one row; so are each byte's.
    row = "".join(f"{code + q:0{bits}b}"[::-1] for code in codes)
    assert row.ljust(8 * len(packed), "0") == "".join(f"{byte:08b}"[::-1] for byte in packed)
    np.testing.assert_array_equal(unpack(packed, bits, count), codes)


@pytest.mark.parametrize(
    "bits, granularity, weight, message",
    [
        (1, "row", 1.0, "bits must be from 2 to 16, got 1"),
        (17, "row", 1.0, "got 17"),
        (5, "unit", 1.0, "unknown granularity 'unit'; choose one of tensor, row"),
        (5, "row", np.nan, "not finite"),
        (5, "tensor", -np.inf, "not finite"),
    ],
)
def test_what_cannot_be_rounded_is_refused(bits, granularity, weight, message):
    matrix = np.array([[weight, 0.0]], "float32")
    with pytest.raises(ValueError, match=message):
        quantize({"kernel": matrix}, bits, granularity)


def test_matrices_of_other_structures_are_rounded():
    for arch, gate in (("slstm", "i"), ("antisymmetric_rnn", "h")):
        model = build_model(arch, 1, 8, 3, 2, seed=1)
        weights = get_weights(model)
        rounded = quantize(weights, bits=3, granularity="row")
        before, after = (each["layers"][0]["recurrent"][gate] for each in (weights, rounded))
        assert before.shape == after.shape and np.any(before != after)
        for column in np.moveaxis(after, -1, 0):
            assert len(np.unique(np.abs(column))) <= 4
        set_weights(model, rounded)
