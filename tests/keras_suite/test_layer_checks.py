"""Keras's own checks of a layer: configuration, weights, symbolic and eager calls, fit, precision.

The tests call `run_layer_test` of the installed Keras.
"""

import keras
import pytest
import reference_cells as reference
from keras.src.testing import TestCase
from slow import slow_except

from rnn_zoo.layers import LAYERS

BATCH, TIME, INPUT, UNITS = 3, 2, 4, 3
REGULARIZED = {
    "return_sequences": True,
    "bias_regularizer": "l1",
    "kernel_regularizer": "l2",
    "recurrent_regularizer": "l2",
}
check = TestCase().run_layer_test
every_layer = pytest.mark.parametrize("name", reference.GATES)


def weights_of(name, prefix=""):
    """Number of weights: three of all gates, the initial states and a read-in."""
    cell = LAYERS[name].cell_class(UNITS)
    cell.build((None, INPUT))
    return sum(weight.name.startswith(prefix) for weight in cell.trainable_weights)


@pytest.mark.parametrize("name", slow_except(["+rnn"], reference.GATES))
def test_with_dropout_in_training(name):
    check(
        LAYERS[name],
        init_kwargs={"units": UNITS, "dropout": 0.5, "recurrent_dropout": 0.5},
        input_shape=(BATCH, TIME, INPUT),
        call_kwargs={"training": True},
        expected_output_shape=(BATCH, UNITS),
        expected_num_trainable_weights=weights_of(name),
        expected_num_non_trainable_weights=0,
        expected_num_non_trainable_variables=1,
        supports_masking=True,
    )


@pytest.mark.slow
@every_layer
def test_with_regularizers(name):
    check(
        LAYERS[name],
        init_kwargs={"units": UNITS} | REGULARIZED,
        input_shape=(BATCH, TIME, INPUT),
        expected_output_shape=(BATCH, TIME, UNITS),
        expected_num_losses=3 + weights_of(name, "read_in_"),
        expected_num_trainable_weights=weights_of(name),
        expected_num_non_trainable_weights=0,
        supports_masking=True,
    )


@pytest.mark.slow
@every_layer
@pytest.mark.parametrize("merge_mode", ["concat", "sum"])
def test_bidirectional(name, merge_mode):
    check(
        keras.layers.Bidirectional,
        init_kwargs={
            "layer": LAYERS[name](UNITS),
            "backward_layer": LAYERS[name](UNITS, go_backwards=True),
            "merge_mode": merge_mode,
        },
        input_shape=(BATCH, TIME, INPUT),
        expected_output_shape=(BATCH, UNITS * (2 if merge_mode == "concat" else 1)),
        expected_num_trainable_weights=2 * weights_of(name),
        expected_num_non_trainable_weights=0,
        supports_masking=True,
    )


@pytest.mark.slow
@every_layer
def test_time_distributed(name):
    check(
        keras.layers.TimeDistributed,
        init_kwargs={"layer": LAYERS[name](UNITS)},
        input_shape=(BATCH, 2, TIME, INPUT),
        expected_output_shape=(BATCH, 2, UNITS),
        expected_num_trainable_weights=weights_of(name),
        supports_masking=True,
        # The inner layer keeps its precision; Keras's LSTM fails this check in the same way.
        run_mixed_precision_check=False,
    )


@pytest.mark.slow
@every_layer
@pytest.mark.parametrize("number", [1, 3])
def test_cells_in_keras_rnn(name, number):
    cells = [LAYERS[name].cell_class(units, dropout=0.1) for units in (3, 4, 5)]
    check(
        keras.layers.RNN,
        init_kwargs={"cell": cells if number > 1 else cells[0], "return_sequences": True},
        input_shape=(BATCH, TIME, INPUT),
        expected_output_shape=(BATCH, TIME, 5 if number > 1 else 3),
        expected_num_non_trainable_weights=0,
        expected_num_seed_generators=number,
        supports_masking=True,
    )


@pytest.mark.parametrize("return_state", [False, True])
@pytest.mark.parametrize("return_sequences", [False, True])
@every_layer
def test_output_shapes_are_known_before_a_call(name, return_sequences, return_state):
    layer = LAYERS[name](UNITS, return_sequences=return_sequences, return_state=return_state)
    for batch, time in ((BATCH, TIME), (None, None)):
        output = (batch, time, UNITS) if return_sequences else (batch, UNITS)
        states = [(batch, UNITS)] * len(layer.cell.state_names) if return_state else []
        found = layer.compute_output_shape((batch, time, INPUT))
        assert (list(found) if return_state else [found]) == [output, *states]
    outputs = keras.tree.flatten(layer(keras.Input((None, INPUT), batch_size=BATCH)))
    first = (BATCH, None, UNITS) if return_sequences else (BATCH, UNITS)
    assert [each.shape for each in outputs] == [first, *((BATCH, UNITS) for _ in states)]
