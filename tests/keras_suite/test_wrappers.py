"""The cases of Keras's tests of Bidirectional, TimeDistributed and StackedRNNCells."""

import keras
import numpy as np
import pytest
import reference_cells as reference
from keras_pairs import KINDS, STATES, assert_same, equal_pair
from slow import slow_except

from rnn_zoo.layers import LAYERS

BATCH, TIME, INPUT, UNITS = 3, 5, 4, 2
MASK = np.array([[1, 1, 0, 1, 1], [1, 0, 0, 1, 1], [1, 1, 1, 0, 1]], bool)
mostly_slow_kind = pytest.mark.parametrize("kind", slow_except(["LSTM"], KINDS))
mostly_slow_layer = pytest.mark.parametrize("name", slow_except(["+rnn"], reference.GATES))


@pytest.fixture
def inputs(rng):
    return rng.normal(size=(BATCH, TIME, INPUT)).astype("float32")


# Bidirectional ----------------------------------------------------------------------------------


def both_directions(kind, rng, batch_size=None, merge_mode="concat", **options):
    def make(made):
        layer = made[kind](UNITS, **options)
        return keras.layers.Bidirectional(layer, merge_mode=merge_mode)

    return equal_pair(make, rng, (batch_size, TIME, INPUT))


@pytest.mark.parametrize("options", [{"return_sequences": True}, {"return_state": True}], ids=str)
@pytest.mark.parametrize("merge_mode", slow_except([None], ["concat", "sum", "ave", "mul", None]))
@mostly_slow_kind
def test_bidirectional_merges_alike(kind, merge_mode, options, inputs, rng):
    theirs, ours = both_directions(kind, rng, merge_mode=merge_mode, **options)
    found = ours(inputs)
    assert_same(found, theirs(inputs))
    shapes = ours.compute_output_shape(inputs.shape)
    shapes = shapes if isinstance(shapes[0], tuple) else [shapes]
    assert [tuple(each.shape) for each in keras.tree.flatten(found)] == list(shapes)


@mostly_slow_kind
def test_bidirectional_takes_masks_and_states_of_both_directions(kind, inputs, rng):
    states = list(rng.normal(size=(2 * STATES[kind], BATCH, UNITS)).astype("float32"))
    theirs, ours = both_directions(kind, rng, return_sequences=True, return_state=True)
    for given in ({"initial_state": states}, {"mask": MASK}):
        assert_same(ours(inputs, **given), theirs(inputs, **given))


@pytest.mark.parametrize("kind", slow_except(["SimpleRNN"], KINDS))
def test_bidirectional_is_stateful(kind, inputs, rng):
    theirs, ours = both_directions(kind, rng, BATCH, stateful=True)
    for _ in range(2):
        assert_same([ours(inputs) for _ in range(2)], [theirs(inputs) for _ in range(2)])
        theirs.reset_state()
        ours.reset_state()


@mostly_slow_layer
def test_a_given_backward_layer(name, inputs, rng):
    """It may be of another kind, and runs from the last step to the first."""
    backward = keras.layers.LSTM(UNITS, go_backwards=True)
    layer = keras.layers.Bidirectional(LAYERS[name](UNITS), backward_layer=backward)
    found = layer(inputs)
    expected = [layer.forward_layer(inputs), backward(inputs)]
    assert_same(found, keras.ops.concatenate(expected, axis=-1))


# TimeDistributed --------------------------------------------------------------------------------


@mostly_slow_kind
def test_time_distributed_runs_sequences_of_sequences(kind, inputs, rng):
    def make(made):
        return keras.layers.TimeDistributed(made[kind](UNITS, return_sequences=True))

    sequences = np.stack([inputs, inputs[:, ::-1]], axis=1)
    theirs, ours = equal_pair(make, rng, (None, 2, TIME, INPUT))
    found = ours(sequences)
    assert_same(found, theirs(sequences))
    assert_same(found[:, 1], ours.layer(sequences[:, 1]))


# Cells in keras.layers.RNN ----------------------------------------------------------------------


@mostly_slow_layer
def test_stacked_cells_equal_stacked_layers(name, inputs, rng):
    kind, sizes = LAYERS[name], (3, 2)
    cells = [kind.cell_class(units) for units in sizes]
    stacked = keras.layers.RNN(cells, return_sequences=True, return_state=True)
    stacked.build(inputs.shape)
    layers = [kind(units, return_sequences=True, return_state=True) for units in sizes]
    output, last = inputs, []
    for layer, cell in zip(layers, cells, strict=True):
        layer.build(output.shape)
        layer.set_weights([rng.normal(size=w.shape) * 0.5 for w in layer.weights])
        cell.set_weights(layer.get_weights())
        output, *states = layer(output)
        last.append(states if len(states) > 1 else states[0])
    found = stacked(inputs)
    assert_same(found, [output, *last])
    shapes = stacked.compute_output_shape(inputs.shape)
    assert [tuple(each.shape) for each in keras.tree.flatten(found)] == [
        (BATCH, TIME, sizes[-1]),
        *((BATCH, units) for units in sizes for _ in cells[0].state_names),
    ]
    assert len(shapes) == 1 + len(sizes)


@pytest.mark.parametrize("name", slow_except(["ugrnn"], reference.GATES))
@pytest.mark.parametrize("go_backwards", slow_except([True], [False, True]))
def test_a_stateful_stack_of_cells_continues(name, go_backwards, inputs, rng):
    """Twice a batch is once a batch twice as long."""
    cells = [LAYERS[name].cell_class(units, learned_initial_state=False) for units in (3, 2)]
    stateful = keras.layers.RNN(cells, stateful=True, go_backwards=go_backwards)
    plain = keras.layers.RNN(cells, go_backwards=go_backwards)
    long = np.concatenate([inputs, inputs], axis=1)
    stateful(inputs)
    assert_same(stateful(inputs), plain(long))
    if len(cells[0].state_names) == 1:  # Keras's `reset_state` fails for cells of more.
        stateful.reset_state()
        assert_same(stateful(inputs), plain(inputs))


@mostly_slow_layer
def test_a_cell_takes_one_step(name, inputs):
    cell = LAYERS[name].cell_class(UNITS, learned_initial_state=False)
    cell.build((None, INPUT))
    states = cell.get_initial_state(batch_size=BATCH)
    output, new = cell(inputs[:, 0], states)
    found, *last = keras.layers.RNN(cell, return_state=True)(inputs[:, :1])
    assert cell.output_size == UNITS
    assert [state.shape[-1] for state in new] == keras.tree.flatten(cell.state_size)
    assert_same([found, last], [output, new])
