"""Weights of `tf.contrib.rnn` cells, against those cells' steps written in NumPy from what is known
of TensorFlow 1's, which cannot be installed any more.

Legend: B batch, T time, I input, N units.
"""

import keras
import numpy as np
import pytest
from on_backend import TOLERANCE, dtypes, to_numpy

from rnn_zoo.convert import from_contrib

BATCH, TIME, INPUT, UNITS = 3, 6, 4, 3
CALLS = {"return_sequences": True, "return_state": True}


def logistic(a):
    return 1 / (1 + np.exp(-a))


def contrib_ugrnn(x, state, kernel, bias, forget_bias):
    """One matrix product of input and state side by side; first the gate, then the candidate."""
    act = np.hstack([x, state]) @ kernel + bias
    g_act, c_act = act[:, :UNITS], act[:, UNITS:]
    g = logistic(g_act + forget_bias)
    new_state = g * state + (1 - g) * np.tanh(c_act)
    return new_state, new_state


def contrib_intersection(x, state, kernel, bias, forget_bias, projection=None):
    """Columns: gate of h, h, gate of y, y. One forget bias for both gates; y is relu."""
    if projection is not None:
        x = x @ projection[0] + projection[1]
    act = np.hstack([x, state]) @ kernel + bias
    gh_act, h_act, gy_act, y_act = (act[:, i * UNITS : (i + 1) * UNITS] for i in range(4))
    gh, gy = logistic(gh_act + forget_bias), logistic(gy_act + forget_bias)
    new_state = gh * state + (1 - gh) * np.tanh(h_act)
    return gy * x + (1 - gy) * np.maximum(y_act, 0), new_state


def ugrnn_weights(rng):
    return rng.normal(size=(INPUT + UNITS, 2 * UNITS)), rng.normal(size=2 * UNITS)


def intersection_weights(rng):
    return rng.normal(size=(2 * UNITS, 4 * UNITS)), rng.normal(size=4 * UNITS)


def projection(rng, features=INPUT):
    return rng.normal(size=(features, UNITS)), rng.normal(size=UNITS)


def check(layer, step, features, dtype, rng):
    """Several steps from a random state: outputs and states, of the layer and of its cell."""
    inputs = rng.normal(size=(BATCH, TIME, features))
    state = start = rng.normal(size=(BATCH, UNITS))
    outputs, given = [], [start]
    for t in range(TIME):
        output, state = step(inputs[:, t], state)
        outputs.append(output)
        found, given = layer.cell(inputs[:, t].astype(dtype), [np.asarray(given[0], dtype)])
        np.testing.assert_allclose(to_numpy(found), output, rtol=0, atol=TOLERANCE[dtype])
        np.testing.assert_allclose(to_numpy(given[0]), state, rtol=0, atol=TOLERANCE[dtype])
    found, last = layer(inputs.astype(dtype), initial_state=[start.astype(dtype)])
    np.testing.assert_allclose(
        to_numpy(found), np.stack(outputs, axis=1), rtol=0, atol=TOLERANCE[dtype]
    )
    np.testing.assert_allclose(to_numpy(last), state, rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", dtypes())
@pytest.mark.parametrize("forget_bias", [1.0, -0.6])
def test_ugrnn(dtype, forget_bias, rng):
    weights = ugrnn_weights(rng)
    layer = from_contrib("ugrnn", *weights, forget_bias=forget_bias, dtype=dtype, **CALLS)
    check(layer, lambda x, s: contrib_ugrnn(x, s, *weights, forget_bias), INPUT, dtype, rng)


@pytest.mark.parametrize("dtype", dtypes())
@pytest.mark.parametrize("forget_bias", [1.0, -0.6])
@pytest.mark.parametrize("features", [UNITS, INPUT, 1])
def test_intersection(dtype, forget_bias, features, rng):
    weights = intersection_weights(rng)
    read_in = None if features == UNITS else projection(rng, features)
    layer = from_contrib("+rnn", *weights, forget_bias, read_in, dtype=dtype, **CALLS)
    check(
        layer,
        lambda x, s: contrib_intersection(x, s, *weights, forget_bias, read_in),
        features,
        dtype,
        rng,
    )


def imported(rng, **options):
    yield from_contrib("ugrnn", *ugrnn_weights(rng), **options).cell
    yield from_contrib("plus_rnn", *intersection_weights(rng), 1.0, projection(rng), **options).cell


def test_the_forget_bias_is_theirs_by_default_and_is_no_weight(rng):
    kernel, bias = ugrnn_weights(rng)
    cell = from_contrib("ugrnn", kernel, bias).cell
    assert cell.gate_bias == {"g": 1.0}
    np.testing.assert_allclose(cell.gate_weights()["g"]["bias"], bias[:UNITS], rtol=1e-6)
    cell = from_contrib("+rnn", *intersection_weights(rng)).cell
    assert cell.gate_bias == {"gy": 1.0, "gh": 1.0}


def test_the_initial_state_is_zero_and_may_be_trained(rng):
    for cell in imported(rng):
        assert not cell.learned_initial_state and not np.any(cell.initial_state)
    for cell in imported(rng, learned_initial_state=True):
        assert cell.learned_initial_state and not np.any(cell.initial_state)


def test_options_go_to_the_layer(rng):
    layer = from_contrib("ugrnn", *ugrnn_weights(rng), activation="relu", name="mine")
    assert layer.cell.activation is keras.activations.relu and layer.name == "mine"
    layer = from_contrib("+rnn", *intersection_weights(rng), depth_activation="tanh")
    assert layer.cell.depth_activation is keras.activations.tanh


def test_other_architectures_are_refused(rng):
    with pytest.raises(ValueError, match=r"no weights for gru; choose ugrnn, \+rnn"):
        from_contrib("gru", *ugrnn_weights(rng))
    with pytest.raises(ValueError, match="ugrnn has no read-in; omit it"):
        from_contrib("ugrnn", *ugrnn_weights(rng), read_in=projection(rng))


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((7, 6), (7,)), r"bias must be \(2 N,\), N for each of g, c; got \(7,\)"),
        (((7, 6), (0,)), r"bias must be \(2 N,\)"),
        (((7, 6), (6, 1)), r"bias must be \(2 N,\).*\(6, 1\)"),
        (((7, 8), (6,)), r"kernel must be \(I \+ 3, 6\), got \(7, 8\)"),
        (((3, 6), (6,)), r"kernel must be \(I \+ 3, 6\), got \(3, 6\)"),
        (((6,), (6,)), r"kernel must be \(I \+ 3, 6\), got \(6,\)"),
    ],
)
def test_arrays_that_are_no_ugrnn_are_refused(shapes, message):
    with pytest.raises(ValueError, match=message):
        from_contrib("ugrnn", *map(np.zeros, shapes))


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((7, 12), (12,)), r"kernel must be \(6, 12\) for inputs of any size.*\(7, 12\)"),
        (((6, 12), (10,)), r"bias must be \(4 N,\), N for each of gh, h, gy, y; got \(10,\)"),
        (((6, 12), (12,), (4, 2), (3,)), r"shapes \(I, 3\) and \(3,\).*got \(4, 2\) and \(3,"),
        (((6, 12), (12,), (4, 3), (1,)), r"got \(4, 3\) and \(1,\)"),
        (((6, 12), (12,), (4,), (3,)), r"read_in must be arrays of shapes \(I, 3\)"),
        (((6, 12), (12,), (3, 3), (3,)), "input of 3 features needs no read-in.*omit it"),
    ],
)
def test_arrays_that_are_no_intersection_cell_are_refused(shapes, message):
    kernel, bias, *read_in = map(np.zeros, shapes)
    with pytest.raises(ValueError, match=message):
        from_contrib("+rnn", kernel, bias, read_in=read_in or None)
