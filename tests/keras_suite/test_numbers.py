"""The cases of Keras's tests of SimpleRNN, GRU and LSTM: equal numbers for equal arguments."""

import keras
import numpy as np
import pytest
from keras_pairs import KINDS, OURS, STATES, THEIRS, assert_same, equal_pair
from slow import slow_except, slow_rows_except

from rnn_zoo import convert, layers

BATCH, TIME, INPUT, UNITS = SHAPE = (3, 5, 4, 2)
every_kind = pytest.mark.parametrize("kind", KINDS)
mostly_slow_kind = pytest.mark.parametrize("kind", slow_except(["LSTM"], KINDS))
tensorflow_only = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow only"
)

#: Arguments that both take, with those that change nothing.
ARGUMENTS = [
    {},
    {"go_backwards": True},
    {"unroll": True},
    {"unroll": True, "go_backwards": True},
    {"use_bias": False},
    {"return_sequences": True, "return_state": True},
    {"activation": "sigmoid"},
    {"activation": None},
    {"dropout": 0.5, "recurrent_dropout": 0.5},
]
GATED_ARGUMENTS = [
    {"recurrent_activation": "hard_sigmoid"},
    {"implementation": 1},
    {"implementation": 2, "use_cudnn": False},
]


#: (kind, argument) in which the equations differ; see the guide's table.
DIFFERENT = {("LSTM", "activation"), ("GRU", "recurrent_dropout")}


def arguments():
    """Parameters (kind, options)."""
    rows = [(kind, options) for options in ARGUMENTS for kind in KINDS]
    rows += [(kind, options) for options in GATED_ARGUMENTS for kind in ("GRU", "LSTM")]
    rows = [row for row in rows if not DIFFERENT & {(row[0], option) for option in row[1]}]
    return slow_rows_except([row for row in rows if row[0] == "GRU"], rows)


@pytest.fixture
def inputs(rng):
    return rng.normal(size=(BATCH, TIME, INPUT)).astype("float32")


def pair(kind, rng, batch_size=None, **options):
    return equal_pair(lambda made: made[kind](UNITS, **options), rng, (batch_size, None, INPUT))


# Arguments --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "options"), arguments(), ids=str)
def test_equal_arguments_give_equal_numbers(kind, options, inputs, rng):
    theirs, ours = pair(kind, rng, **options)
    assert_same(ours(inputs), theirs(inputs))


@every_kind
def test_equal_initializers_give_equal_numbers(kind, inputs):
    """No weight is copied here: constants fill any matrix alike."""
    constants = {
        f"{part}_initializer": keras.initializers.Constant(value)
        for part, value in (("kernel", 0.1), ("recurrent", 0.2), ("bias", 0.3))
    }
    extra = {"unit_forget_bias": False} if kind == "LSTM" else {}
    theirs = THEIRS[kind](UNITS, **constants, **extra)
    assert_same(OURS[kind](UNITS, **constants)(inputs), theirs(inputs))


def test_the_forget_gates_start_alike(inputs):
    """By default, Keras's bias of 1 equals the constant `gate_bias` beside a bias of 0."""
    constants = {
        "kernel_initializer": keras.initializers.Constant(0.1),
        "recurrent_initializer": keras.initializers.Constant(0.2),
    }
    assert_same(layers.LSTM(UNITS, **constants)(inputs), THEIRS["LSTM"](UNITS, **constants)(inputs))


@mostly_slow_kind
def test_a_legacy_argument_in_a_configuration_changes_nothing(kind, inputs, rng):
    _, layer = pair(kind, rng)
    again = type(layer).from_config(layer.get_config() | {"implementation": 0})
    again.build((None, None, INPUT))
    again.set_weights(layer.get_weights())
    assert_same(again(inputs), layer(inputs))


@pytest.mark.parametrize("policy", slow_except(["mixed_bfloat16"], ["mixed_bfloat16", "float64"]))
@mostly_slow_kind
def test_precision_is_keras_s(kind, policy, inputs, rng):
    theirs, ours = pair(kind, rng, dtype=policy, return_state=True)
    assert {weight.dtype for weight in ours.weights} == {weight.dtype for weight in theirs.weights}
    found, expected = ours(inputs), theirs(inputs)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        wide = [keras.ops.cast(each, "float32") for each in (one, other)]
        assert_same(*wide, atol=1e-5 if policy == "float64" else 2e-2)


# States -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("go_backwards", slow_except([True], [False, True]))
@mostly_slow_kind
def test_initial_states_may_be_lists_tuples_or_one_array(kind, go_backwards, inputs, rng):
    theirs, ours = pair(kind, rng, go_backwards=go_backwards, return_state=True)
    states = list(rng.normal(size=(STATES[kind], BATCH, UNITS)).astype("float32"))
    expected = theirs(inputs, initial_state=states)
    forms = [states, tuple(states), keras.tree.map_structure(keras.ops.convert_to_tensor, states)]
    for form in [*forms, states[0]] if len(states) == 1 else forms:
        assert_same(ours(inputs, initial_state=form), expected)
    output, state, *_ = ours(inputs, initial_state=states)
    assert_same(output, state)


@pytest.mark.parametrize(
    ("states", "message"),
    [
        (1, r"initial_state of mine must be 2 arrays \(B, 2\), for h, c; got shapes \(3, 2\)\W"),
        (3, r"for h, c; got shapes \(3, 2\), \(3, 2\), \(3, 2\)"),
        (None, r"for h, c; got shapes \(3, 3\), \(3, 3\)"),
    ],
)
def test_initial_states_of_the_wrong_shape_are_refused(states, message, inputs):
    layer = layers.LSTM(UNITS, name="mine")
    width, states = (UNITS, states) if states else (UNITS + 1, 2)
    with pytest.raises(ValueError, match=message):
        layer(inputs, initial_state=[np.zeros((BATCH, width), "float32")] * states)


@mostly_slow_kind
def test_a_decoder_starts_from_an_encoder(kind, inputs, rng):
    """States as symbolic tensors of a functional model."""

    def make(made):
        source, target = keras.Input((None, INPUT)), keras.Input((None, INPUT))
        _, *states = made[kind](UNITS, return_state=True)(source)
        decoder = made[kind](UNITS, return_sequences=True)
        return keras.Model([source, target], decoder(target, initial_state=states))

    theirs, ours = equal_pair(make, rng)
    both = [inputs, inputs[:, ::-1]]
    assert_same(ours(both), theirs(both))


@mostly_slow_kind
@pytest.mark.parametrize("go_backwards", slow_except([False], [False, True]))
def test_stateful_layers_continue_and_reset_alike(kind, go_backwards, inputs, rng):
    theirs, ours = pair(kind, rng, BATCH, stateful=True, go_backwards=go_backwards)
    for reset in ("reset_state", "reset_states", None):
        first, second = (ours(inputs) for _ in range(2))
        assert_same([first, second], [theirs(inputs) for _ in range(2)])
        assert np.abs(keras.ops.convert_to_numpy(first - second)).max() > 1e-3
        for layer in (theirs, ours):
            getattr(layer, reset or "reset_state")()


@pytest.mark.parametrize("kind", slow_except(["GRU"], layers.LAYERS.values()))
def test_a_stateful_model_refuses_another_batch_size(kind):
    kind = layers.GRU if kind == "GRU" else kind
    entry = keras.Input((TIME, INPUT), batch_size=BATCH)
    units = 4  # a multiple of the number of heads
    model = keras.Model(entry, kind(units, stateful=True)(entry))
    assert model(np.ones((BATCH, TIME, INPUT))).shape == (BATCH, units)
    with pytest.raises(ValueError, match="batch size"):
        model(np.ones((1, TIME, INPUT)))


@tensorflow_only
@pytest.mark.parametrize("kind", slow_except(["SimpleRNN"], KINDS))
def test_a_stateful_layer_in_a_graph_of_any_batch_size(kind, inputs, rng):
    import tensorflow as tf

    theirs, ours = pair(kind, rng, BATCH, stateful=True)
    found = []
    for layer in (theirs, ours):
        layer(inputs, training=True)
        signature = [tf.TensorSpec((None, TIME, INPUT))]
        found.append(tf.function(layer, input_signature=signature)(inputs))
    assert_same(found[1], found[0])


# Masks ------------------------------------------------------------------------------------------

#: Rows with masked steps inside and at the end. Leading ones differ on JAX; see the guide.
MASK = np.array([[1, 1, 0, 1, 1], [1, 0, 0, 1, 0], [1, 1, 1, 0, 0]], bool)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"unroll": True},
        {"return_sequences": True},
        {"return_sequences": True, "zero_output_for_mask": True},
        {"go_backwards": True, "return_state": True},
    ],
    ids=str,
)
@mostly_slow_kind
def test_masks(kind, options, inputs, rng):
    theirs, ours = pair(kind, rng, **options)
    mask = MASK[:, ::-1] if "go_backwards" in options else MASK
    assert_same(ours(inputs, mask=mask), theirs(inputs, mask=mask))


@pytest.mark.parametrize("source", slow_except(["Embedding"], ["Embedding", "Masking"]))
@mostly_slow_kind
def test_masks_come_from_layers_before_and_go_on_to_those_behind(kind, source, rng, tmp_path):
    characters = np.where(MASK, rng.integers(1, INPUT, MASK.shape), 0)

    def make(made):
        if source == "Embedding":
            start = [keras.Input((None,)), keras.layers.Embedding(INPUT, 3, mask_zero=True)]
        else:
            start = [keras.Input((None, 1)), keras.layers.Masking(0)]
        return keras.Sequential(
            [
                *start,
                made[kind](UNITS, return_sequences=True),
                keras.layers.TimeDistributed(keras.layers.Dense(3, "relu")),
                made[kind](UNITS),
            ]
        )

    theirs, ours = equal_pair(make, rng)
    sequences = characters if source == "Embedding" else characters[..., None].astype("float32")
    assert_same(ours(sequences), theirs(sequences))
    ours.save(tmp_path / "m.keras")
    assert_same(keras.saving.load_model(tmp_path / "m.keras")(sequences), ours(sequences))


# Training ---------------------------------------------------------------------------------------


def recurrent_model(made, kind):
    options = {
        "kernel_regularizer": "l2",
        "recurrent_regularizer": "l1",
        "bias_constraint": "non_neg",
        # Keras's SimpleRNN takes it and never adds it to the losses.
        "activity_regularizer": None if kind == "SimpleRNN" else "l2",
    }
    entry = [keras.Input((None, INPUT)), keras.layers.Masking()]
    return keras.Sequential([*entry, made[kind](UNITS, **options), keras.layers.Dense(1)])


@pytest.mark.parametrize("run_eagerly", slow_except([True], [True, False]))
@mostly_slow_kind
def test_fit_changes_equal_weights_equally(kind, run_eagerly, inputs, rng):
    """Losses, regularizers, constraints and gradients."""
    inputs = np.where(MASK[..., None], inputs, 0)
    targets = rng.normal(size=(BATCH, 1))
    theirs, ours = equal_pair(lambda made: recurrent_model(made, kind), rng)
    before = ours.get_weights()
    histories = []
    for model in (theirs, ours):
        optimizer = keras.optimizers.SGD(0.3, momentum=0.5)
        model.compile(optimizer, "mse", run_eagerly=run_eagerly)
        histories.append(model.fit(inputs, targets, epochs=3, verbose=0).history["loss"])
    np.testing.assert_allclose(histories[1], histories[0], rtol=1e-5)
    after = ours.get_weights()
    assert_same(after, convert.from_keras(theirs).get_weights())
    assert all(np.abs(new - old).max() > 1e-4 for new, old in zip(after, before, strict=True))
