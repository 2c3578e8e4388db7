"""Pairs of equal layers or models, one with the layers of Keras and one with those of rnn_zoo."""

import functools

import keras
import numpy as np

from rnn_zoo import convert, layers

KINDS = ("SimpleRNN", "GRU", "LSTM")
STATES = {"SimpleRNN": 1, "GRU": 1, "LSTM": 2}
#: Name of a layer -> its constructor. The arguments set here are the differences of the guide's
#: table; all others are passed to both alike.
THEIRS = {kind: getattr(keras.layers, kind) for kind in KINDS}
THEIRS["GRU"] = functools.partial(keras.layers.GRU, reset_after=False)
OURS = {
    kind: functools.partial(getattr(layers, kind), gate_bias=0.0, learned_initial_state=False)
    for kind in KINDS
}


def equal_pair(make, rng, shape=None):
    """Return `make(THEIRS)` and `make(OURS)` with equal random weights.

    Args:
        make: function of a dict of constructors that returns a layer or a model.
        rng: random generator of the weights.
        shape: shape of the sequences, for layers that are not built yet.
    """
    theirs, ours = make(THEIRS), make(OURS)
    for each in (theirs, ours):
        if shape is not None:
            each.build(shape)
    for weight in theirs.weights:
        weight.assign(rng.normal(scale=weight.shape[0] ** -0.5, size=weight.shape))
    ours.set_weights(convert.from_keras(theirs).get_weights())
    return theirs, ours


def assert_same(found, expected, atol=1e-5):
    found, expected = keras.tree.flatten(found), keras.tree.flatten(expected)
    for one, other in zip(found, expected, strict=True):
        one, other = keras.ops.convert_to_numpy(one), keras.ops.convert_to_numpy(other)
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        np.testing.assert_allclose(one.astype(float), other.astype(float), rtol=0, atol=atol)
