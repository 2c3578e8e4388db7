"""Layers on structured inputs against the same layers on the equivalent arrays."""

import numpy as np
import pytest
from cell_twins import UNITS, mostly_slow, random_cell
from keras import ops
from on_backend import QUICKEST, execute, gradients, to_numpy

import rnn_zoo
import rnn_zoo.unroll as engine
from rnn_zoo import backend
from rnn_zoo.inputs import Held, OneHot, dense

BATCH, TIME = 4, 4


def held(rng, lanes, width):
    value = rng.normal(size=(*lanes, BATCH, width)).astype("float32")
    return Held(value, rng.integers(0, 2, size=(*lanes, TIME)).astype("float32"))


def held_alike(rng, lanes, width):
    """All lanes show their vectors at the same steps."""
    return held(rng, lanes, width)._replace(shown=np.array([1, 0, 1, 1], "float32"))


def one_hot(rng, lanes, width):
    depth = width // 2
    return OneHot(rng.integers(0, depth, size=(*lanes, BATCH, TIME, 2)).astype("int32"), depth)


def binary(rng, lanes, width):
    """So few rows that those of two vectors are looked up at once."""
    codes = rng.integers(0, 2, size=(*lanes, BATCH, TIME, width // 2)).astype("int32")
    assert engine._pays_in_pairs(OneHot(codes, 2))
    return OneHot(codes, 2)


FORMS = pytest.mark.parametrize("form", [held, held_alike, one_hot, binary])


def test_dense():
    shown = to_numpy(Held(np.array([[1.0, 2.0]]), np.array([1.0, 0.0])).dense())
    np.testing.assert_array_equal(shown, [[[1, 2], [0, 0]]])
    codes = to_numpy(OneHot(np.array([[[1, 0], [0, 2]]]), 3).dense())
    np.testing.assert_array_equal(codes, [[[0, 1, 0, 1, 0, 0], [1, 0, 0, 0, 0, 1]]])
    array = np.ones((2, 3, 4))
    assert dense(array) is array


@FORMS
@pytest.mark.parametrize("lookups", [True, False], ids=["lookups", "products"])
@pytest.mark.parametrize("lanes", [(), (2,)], ids=["alone", "lanes"])
def test_first_product(form, lookups, lanes, rng, monkeypatch):
    monkeypatch.setattr(backend.current(), "prefers_gather", lambda: lookups)
    inputs = form(rng, lanes, 6)
    kernel, bias = rng.normal(size=(*lanes, 6, 5)), rng.normal(size=(*lanes, 5))
    weights = {"kernel": kernel.astype("float32"), "bias": bias.astype("float32")}
    direction = rng.normal(size=(TIME, *lanes, BATCH, 5)).astype("float32")

    def first_product(weights):
        return engine.affine(inputs, **weights)

    def total(weights):
        return ops.sum(first_product(weights) * direction)

    x = to_numpy(dense(inputs)).astype("float64")
    expected = np.einsum("...bti,...im->t...bm", x, kernel) + bias[..., None, :]
    np.testing.assert_allclose(execute(QUICKEST, first_product, weights), expected, atol=1e-5)
    slopes = gradients(QUICKEST, total, weights)
    kernel_slope = np.einsum("...bti,t...bm->...im", x, direction)
    np.testing.assert_allclose(slopes["kernel"], kernel_slope, atol=1e-5)
    np.testing.assert_allclose(slopes["bias"], direction.sum((0, -2)), atol=1e-5)


@FORMS
@mostly_slow
def test_every_cell_accepts_them(form, case, rng):
    cell = random_cell(case, rng, "float32")
    weights = to_numpy(cell.weight_tensors())
    width = next(iter(weights["read_in"].values() or weights["input"].values())).shape[0]
    inputs = form(rng, (), width)
    outputs, states = execute(QUICKEST, lambda w: engine.unroll(cell, w, inputs), weights)
    plain = to_numpy(dense(inputs))
    expected, last = execute(QUICKEST, lambda w: engine.unroll(cell, w, plain), weights)
    assert outputs.shape == (TIME, BATCH, UNITS)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    np.testing.assert_allclose(states, last, atol=1e-5)


@FORMS
@pytest.mark.parametrize("time_major", [False, True])
def test_a_cell_that_mixes_its_input_accepts_them_without_a_read_in(form, time_major, rng):
    cell = rnn_zoo.IntersectionRNNCell(6, seed=1, dtype="float32")
    cell.build((None, 6))
    weights = to_numpy(cell.weight_tensors())
    assert not weights["read_in"]
    inputs = form(rng, (), 6)
    plain = to_numpy(dense(inputs))
    outputs, _ = execute(
        QUICKEST, lambda w: engine.unroll(cell, w, inputs, time_major=time_major), weights
    )
    expected, _ = execute(QUICKEST, lambda w: engine.unroll(cell, w, plain), weights)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
