"""What the tests of conversions share: random layers, sequences, and how a refusal reads."""

import keras
import numpy as np
import pytest
from cell_twins import BATCH, INPUT, TIME, UNITS, initial_variables, randomize
from on_backend import to_numpy

ATOL = 1e-6
CALLS = {"return_sequences": True, "return_state": True}


def our_layer(kind, rng, features=INPUT, units=UNITS, **options):
    """With random weights, and an initial state of zero, as a new layer's is."""
    layer = kind(units, **(CALLS | options))
    layer.build((None, None, features))
    randomize(layer.weights, rng)
    for state in initial_variables(layer):
        state.assign(np.zeros(units))
    return layer


def layer_with_learned_state(kind, rng):
    layer = our_layer(kind, rng, name="mine")
    initial_variables(layer)[-1].assign(np.array([0.0, 0.1, 0.0]))
    return layer


def sequences(rng, number_of_states):
    inputs = rng.normal(size=(BATCH, TIME, INPUT)).astype("float32")
    states = rng.normal(size=(number_of_states, BATCH, UNITS)).astype("float32")
    return inputs, list(states)


def assert_same(found, expected):
    found, expected = keras.tree.flatten(found), keras.tree.flatten(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(to_numpy(one), to_numpy(other), rtol=0, atol=ATOL)


def refusal(function, *arguments, **options):
    with pytest.raises(ValueError) as caught:
        function(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message
