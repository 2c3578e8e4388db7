"""Packing of weights into one vector and back."""

import keras
import numpy as np
import pytest
from on_backend import to_numpy

from rnn_zoo.functional import draw_weights, make_cells
from trainer.packing import pack, unpack


@pytest.mark.parametrize("arch", ["rnn", "irnn", "ugrnn", "gru", "lstm", "+rnn"])
@pytest.mark.parametrize("lanes", [(), (3,)], ids=["alone", "lanes"])
def test_round_trip(arch, lanes):
    rng = np.random.default_rng(5)
    weights = draw_weights(make_cells(arch, 2, 4, seed=1), 3, 2, seed=1)
    weights = keras.tree.map_structure(
        lambda w: rng.normal(size=(*lanes, *w.shape)).astype("float32"), weights
    )
    vector = to_numpy(pack(weights, len(lanes)))
    size = sum(w.size for w in keras.tree.flatten(weights))
    assert vector.shape == (*lanes, size // int(np.prod(lanes)))
    found = to_numpy(unpack(vector, weights))
    keras.tree.assert_same_structure(found, weights)
    for one, other in zip(keras.tree.flatten(found), keras.tree.flatten(weights), strict=True):
        np.testing.assert_array_equal(one, other)


def test_gates_are_packed_side_by_side():
    gates = {"r": np.array([[1.0, 2.0], [3.0, 4.0]]), "u": np.array([[5.0, 6.0], [7.0, 8.0]])}
    np.testing.assert_array_equal(to_numpy(pack(gates, 0)), [1, 2, 5, 6, 3, 4, 7, 8])


def test_different_shapes_are_packed_in_order():
    affine = {"kernel": np.array([[1.0, 2.0]]), "bias": np.array([3.0, 4.0])}
    np.testing.assert_array_equal(to_numpy(pack([affine, np.array([5.0])], 0)), [1, 2, 3, 4, 5])
