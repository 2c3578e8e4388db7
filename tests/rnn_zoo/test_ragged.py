"""Ragged batches: equal to each sequence alone, and computed without their padding."""

import keras
import numpy as np
import pytest
from on_backend import QUICKEST, execute, gradients, tensorflow_only, to_numpy

import rnn_zoo
from rnn_zoo import layers
from rnn_zoo.unroll import unroll

UNITS, FEATURES = 4, 3
LENGTHS = (3, 1, 4, 0, 4)


@pytest.fixture
def rows(rng):
    return [rng.normal(size=(length, FEATURES)).astype("float32") for length in LENGTHS]


def ragged_of(rows):
    import tensorflow as tf

    return tf.RaggedTensor.from_row_lengths(np.concatenate(rows), list(map(len, rows)))


@tensorflow_only
@pytest.mark.parametrize("go_backwards", [False, True])
def test_ragged_sequences_equal_each_one_alone(go_backwards, rows, rng):
    layer = layers.LSTM(
        UNITS, return_sequences=True, return_state=True, go_backwards=go_backwards, seed=1
    )
    first = [rng.normal(size=(len(rows), UNITS)).astype("float32") for _ in range(2)]
    outputs, h, c = to_numpy(layer(ragged_of(rows), initial_state=first))
    assert outputs.shape == (len(rows), max(LENGTHS), UNITS)
    for index, row in enumerate(rows):
        states = [state[index : index + 1] for state in first]
        if not len(row):
            np.testing.assert_array_equal([h[index], c[index]], np.concatenate(states))
            continue
        alone, alone_h, alone_c = to_numpy(layer(row[None], initial_state=states))
        # Padding comes last, or first if the layer runs backwards.
        steps = slice(-len(row), None) if go_backwards else slice(0, len(row))
        for found, expected in ((outputs[index, steps], alone[0]), (h[index], alone_h[0])):
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(c[index], alone_c[0], rtol=1e-5, atol=1e-6)


@tensorflow_only
def test_a_packed_loop_never_sees_the_padding(rng):
    cell = rnn_zoo.GRUCell(UNITS, seed=1)
    cell.build((None, FEATURES))
    lengths = np.sort(LENGTHS)[::-1]
    mask = np.arange(max(LENGTHS)) < lengths[:, None]
    inputs = rng.normal(size=(*mask.shape, FEATURES)).astype("float32")
    padded = np.where(mask[..., None], inputs, np.nan)

    def loss(arguments, packed=True):
        outputs, _ = unroll(
            cell, arguments["weights"], arguments["inputs"], mask=mask, packed=packed
        )
        return keras.ops.sum(outputs**2)

    weights = to_numpy(cell.weight_tensors())
    given = {"weights": weights, "inputs": padded}
    found = keras.tree.flatten(gradients("graph", loss, given))
    assert np.isfinite(execute("graph", loss, given))
    given["inputs"] = inputs
    expected = keras.tree.flatten(gradients(QUICKEST, lambda a: loss(a, packed=False), given))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@tensorflow_only
def test_a_model_trains_on_ragged_batches(rows):
    import tensorflow as tf

    layer = layers.LSTM(UNITS, dropout=0.2, recurrent_dropout=0.2)
    targets = np.zeros((len(rows), 1), "float32")
    data = tf.data.Dataset.from_tensors((ragged_of(rows), targets)).repeat(2)
    model = keras.Sequential([layer, keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.build((None, None, FEATURES))
    before = to_numpy(layer.cell.kernel)
    model.fit(data, verbose=0)
    assert np.any(to_numpy(layer.cell.kernel) != before)


@tensorflow_only
def test_ragged_sequences_with_a_mask_are_refused(rows):
    with pytest.raises(ValueError, match="got ragged sequences and a mask"):
        layers.LSTM(UNITS)(ragged_of(rows), mask=np.ones((5, 4), bool))
