"""Dropout and zoneout: against loops over single steps in NumPy, and against Keras."""

import keras
import numpy as np
import pytest
from cell_twins import CASES, case_id, one_case_of
from on_backend import TOLERANCE, execute, gradients, to_numpy
from slow import slow_except

from rnn_zoo import backend, layers, numpy_ops
from rnn_zoo import unroll as engine
from rnn_zoo.backend import generic
from rnn_zoo.cells import noise

BATCH, TIME, INPUT, UNITS = 3, 7, 2, 4
KINDS = {
    "recurrent_dropout": {"recurrent_dropout": 0.4},
    "candidate_dropout": {"candidate_dropout": 0.4},
    "zoneout": {"zoneout": 0.3},
    "all": {"recurrent_dropout": 0.3, "candidate_dropout": 0.2, "zoneout": 0.4, "dropout": 0.3},
}
GATED = ("ugrnn", "gru", "lstm", "+rnn", "mgu")


@pytest.fixture
def inputs(rng):
    return rng.normal(size=(BATCH, TIME, INPUT)).astype("float32")


def make(name, rng, **options):
    layer = layers.LAYERS[name](UNITS, return_sequences=True, return_state=True, **options)
    layer.build((None, None, INPUT))
    for weight in layer.weights:
        weight.assign(rng.normal(scale=0.7, size=weight.shape))
    return layer


@pytest.fixture
def fixed(monkeypatch, rng):
    """Masks and zones of a layer become known arrays; returns them by what asks for them."""
    drawn = {}

    def draw(cell, like, rate):
        shape = tuple(like.shape)
        return drawn.setdefault((shape[-1], rate), rng.choice([0, 1 / (1 - rate)], size=shape)
                                .astype("float32"))  # fmt: skip

    def draw_noise(cell, length, state):
        zoned = {
            f"zoneout_{name}": drawn.setdefault(name, rng.random((TIME, BATCH, UNITS)) < rate)
            for name, rate in cell.zoneout.items()
            if rate
        }
        return noise.Noise(cell.recurrent_masks(state), zoned)

    monkeypatch.setattr(noise.NoisyCell, "_drawn", draw)
    monkeypatch.setattr(noise.NoisyCell, "draw_noise", draw_noise)
    return drawn


def by_single_steps(layer, inputs, drawn, mask=None):
    """The layer's outputs and last states in training, one step of NumPy after the other."""
    cell = layer.cell
    weights = to_numpy(cell.weight_tensors())
    states = [np.tile(state, (BATCH, 1)) for state in weights["initial_state"]]
    recurrent = drawn.get((UNITS, cell.recurrent_dropout), 1) if cell.recurrent_dropout else 1
    candidate = drawn.get((UNITS, cell.candidate_dropout), 1) if cell.candidate_dropout else 1
    dropped = drawn[INPUT, cell.dropout] if cell.dropout else 1
    s = numpy_ops.equivalent(cell.activation)
    altered = noise.replace(
        cell,
        activation=lambda z: s(z) * candidate,
        recurrent_activation=numpy_ops.equivalent(cell.recurrent_activation),
        **({"depth_activation": numpy_ops.relu} if hasattr(cell, "depth_activation") else {}),
    )
    outputs, last = [], np.zeros((BATCH, UNITS), "float32")
    for t in range(TIME):
        x = inputs[:, t] * dropped
        if weights["read_in"]:
            x = x @ weights["read_in"]["kernel"] + weights["read_in"]["bias"]
            x = altered.after_read_in(numpy_ops, x)

        def pre(gate, operand, x=x):
            return (
                x @ weights["input"][gate]
                + (operand * recurrent) @ weights["recurrent"][gate]
                + weights["bias"][gate]
            )

        output, new = altered.step(numpy_ops, x, pre, states)
        kept = [
            np.where(drawn[name][t], old, value) if cell.zoneout[name] else value
            for name, old, value in zip(cell.state_names, states, new, strict=True)
        ]
        output = next((k for n, k in zip(new, kept, strict=True) if n is output), output)
        valid = np.ones((BATCH, 1), bool) if mask is None else mask[:, t, None]
        last = np.where(valid, output, last)
        states = [np.where(valid, k, old) for k, old in zip(kept, states, strict=True)]
        outputs.append(last)
    return np.stack(outputs, axis=1), states


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", slow_except(["gru", "lstm"], GATED))
def test_noise_is_that_of_single_steps(name, kind, masked, rng, inputs, fixed):
    layer = make(name, rng, **KINDS[kind])
    mask = rng.random((BATCH, TIME)) < 0.7 if masked else None
    found, *states = layer(inputs, mask=mask, training=True)
    expected, last = by_single_steps(layer, inputs, fixed, mask)
    for one, other in zip([found, *states], [expected, *last], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    quiet, *_ = layer(inputs, mask=mask)
    assert np.abs(to_numpy(quiet) - expected).max() > 1e-2


@pytest.mark.parametrize("kind", slow_except(["all"], KINDS))
@pytest.mark.parametrize(
    "case", slow_except(one_case_of("lstm"), [c for c in CASES if c[0] in GATED]), ids=case_id
)
def test_gradients_are_those_of_the_plain_loop(case, kind, rng, inputs, fixed, monkeypatch):
    name, options, _ = case
    layer = make(name, rng, **options | KINDS[kind])
    cell, weights = layer.cell, to_numpy(layer.cell.weight_tensors())
    drawn = cell.draw_noise(TIME, np.zeros((BATCH, UNITS), "float32"))
    slopes = rng.normal(size=(TIME, BATCH, UNITS)).astype("float32")

    def loss(weights):
        outputs, states = engine.unroll(cell, weights, inputs, noise=drawn)
        return keras.ops.sum(outputs * slopes) + sum(keras.ops.sum(state) for state in states)

    found = gradients("eager", loss, weights)
    value = execute("eager", loss, weights)
    with monkeypatch.context() as patch:
        patch.setattr(backend, "current", lambda: generic)
        expected, same = gradients("eager", loss, weights), execute("eager", loss, weights)
    np.testing.assert_allclose(value, same, rtol=1e-4)
    for one, other in zip(keras.tree.flatten(found), keras.tree.flatten(expected), strict=True):
        scale = max(1.0, np.abs(other).max())
        np.testing.assert_allclose(one, other, rtol=0, atol=10 * TOLERANCE["float32"] * scale)


@pytest.mark.parametrize(
    ("kind", "theirs"),
    [(layers.RNN, keras.layers.SimpleRNN), (layers.LSTM, keras.layers.LSTM)],
)
def test_dropout_is_keras_s(kind, theirs, rng, inputs, monkeypatch):
    """For the same masks. Keras's GRU drops from the state that it carries on too."""
    rates = {"dropout": 0.3, "recurrent_dropout": 0.4}
    extra = {"implementation": 2} if kind is layers.LSTM else {}
    ours = kind(UNITS, gate_bias=0.0, learned_initial_state=False, **rates)
    keras_layer = theirs(UNITS, **rates, **extra)
    ours.build((None, None, INPUT))
    keras_layer.build((None, None, INPUT))
    gates = ("i", "f", "c", "o") if kind is layers.LSTM else ("h",)
    held = ours.cell.gate_weights()
    keras_layer.set_weights(
        [np.concatenate([held[g][p] for g in gates], -1) for p in ("input", "recurrent", "bias")]
    )
    masks = {
        width: rng.choice([0, 1 / 0.6], size=(BATCH, width)).astype("float32")
        for width in (INPUT, UNITS)
    }

    def known(cell, like, rate):
        count = getattr(cell, "dropout_mask_count", None)
        mask = masks[like.shape[-1]]
        return mask if count is None else [mask] * count

    monkeypatch.setattr(noise.NoisyCell, "_drawn", known)
    monkeypatch.setattr(noise._DropoutRNNCell, "_create_dropout_mask", known)
    found, expected = ours(inputs, training=True), keras_layer(inputs, training=True)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert np.abs(to_numpy(found) - to_numpy(ours(inputs))).max() > 1e-3
    bare = keras.layers.RNN(ours.cell)
    np.testing.assert_allclose(bare(inputs, training=True), expected, rtol=1e-5, atol=1e-6)


def test_masks_last_for_a_sequence_and_differ_between_samples_and_batches(rng):
    """With an identity for W and without U, outputs are the masked inputs."""
    layer = layers.RNN(400, "linear", dropout=0.25, return_sequences=True, seed=1)
    layer.build((None, None, 400))
    weights = layer.cell.gate_weights()
    weights["h"] = {"input": np.eye(400), "recurrent": np.zeros((400, 400)), "bias": np.zeros(400)}
    layer.cell.set_gate_weights(weights)
    inputs = np.ones((2, 3, 400), "float32")
    first, second = (to_numpy(layer(inputs, training=True)) for _ in range(2))
    assert {*np.unique(first.round(4))} == {0.0, np.float32(4 / 3).round(4)}
    np.testing.assert_array_equal(first[:, 0], first[:, 2])
    for one, other in ((first[0], first[1]), (first, second)):
        assert np.abs(one - other).max() > 1
    assert abs((first[:, 0] == 0).mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 800)
    again = layers.RNN.from_config(layer.get_config())
    again.build((None, None, 400))
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(inputs, training=True), first)
    np.testing.assert_array_equal(layer(inputs), inputs)


def test_zoneout_keeps_a_share_of_the_states_and_averages_in_inference(rng):
    layer = make("gru", rng, zoneout=0.3)
    inputs = rng.normal(size=(200, 2, INPUT)).astype("float32")
    outputs, _ = layer(inputs, training=True)
    outputs = to_numpy(outputs)
    kept = np.mean(outputs[:, 1] == outputs[:, 0])
    assert abs(kept - 0.3) < 4 * np.sqrt(0.3 * 0.7 / outputs[:, 0].size)
    without = make("gru", np.random.default_rng(0), zoneout=0.0)
    without.set_weights(layer.get_weights())
    start = without.cell.initial_state[0]
    new = to_numpy(without(inputs[:, :1])[0])
    found = to_numpy(layer(inputs[:, :1])[0])
    np.testing.assert_allclose(found, 0.3 * start + 0.7 * new, rtol=1e-5, atol=1e-6)
    step, _ = layer.cell(inputs[:, 0], [np.tile(start, (200, 1))])
    np.testing.assert_allclose(step, found[:, 0], rtol=1e-5, atol=1e-6)


def test_without_rates_there_is_no_random_state():
    layer, noisy = layers.GRU(3), layers.GRU(3, dropout=0.1)
    for each in (layer, noisy):
        each.build((None, None, 2))
    assert len(layer.variables) == len(layer.weights)
    assert len(noisy.variables) == len(noisy.weights) + 1


@pytest.mark.slow  # tests/keras_suite trains and saves layers with dropout
def test_a_noisy_layer_trains_and_is_saved(inputs, tmp_path):
    options = {"dropout": 0.1, "recurrent_dropout": 0.2, "zoneout": {"h": 0.1, "c": 0.5}}
    model = keras.Sequential(
        [keras.Input((None, INPUT)), layers.LSTM(UNITS, **options), keras.layers.Dense(1)]
    )
    model.compile("adam", "mse")
    history = model.fit(inputs, np.ones((BATCH, 1)), epochs=3, verbose=0).history["loss"]
    assert np.all(np.isfinite(history))
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    assert options.items() <= again.layers[0].get_config().items()
    np.testing.assert_array_equal(again(inputs), model(inputs))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("gru", {"dropout": 1.0}, r"dropout must be at least 0 and below 1, got 1\.0"),
        ("gru", {"dropout": "0.1"}, "dropout must be at least 0 and below 1, got '0.1'"),
        (
            "gru",
            {"initial_noise": "0.1"},
            "initial_noise must be finite and not negative, got '0.1'",
        ),
        ("gilr", {"candidate_dropout": 0.1}, "candidate_dropout needs .* which GILRCell does not"),
        ("lstm", {"zoneout": {"h": 0.1, "c": -1}}, "zoneout must be at least 0 and below 1"),
        ("lstm", {"zoneout": {"h": 0.1}}, "zoneout must be h, c; got h"),
        (
            "rnn",
            {"candidate_dropout": 0.1},
            "candidate_dropout needs .* which RNNCell does not have",
        ),
        (
            "minimal_rnn",
            {"candidate_dropout": 0.1},
            "candidate_dropout needs .* which MinimalRNNCell does not have",
        ),
        ("min_gru", {"recurrent_dropout": 0.1}, "MinGRUCell do not use recurrent_dropout"),
        ("mlstm", {"recurrent_dropout": 0.1}, "MLSTMCell do not use recurrent_dropout"),
        (
            "sgrn",
            {"candidate_dropout": 0.1},
            "candidate_dropout needs .* which SGRNCell does not have",
        ),
        (
            "ran",
            {"candidate_dropout": 0.1},
            "candidate_dropout needs .* which RANCell does not have",
        ),
        (
            "sgu",
            {"candidate_dropout": 0.1},
            "candidate_dropout needs .* which SGUCell does not have",
        ),
        (
            "dsgu",
            {"candidate_dropout": 0.1},
            "candidate_dropout needs .* which DSGUCell does not have",
        ),
        ("mlstm", {"zoneout": 0.1}, "states n, m, C of MLSTMCell separately"),
        ("slstm", {"zoneout": 0.1}, "states c, n, m of SLSTMCell separately, .* or set it to 0"),
    ],
)
def test_impossible_rates_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        layers.LAYERS[name](4, **options)


def test_states_that_cannot_be_learned_have_no_initial_noise():
    cell = layers.MLSTM(8, initial_noise=1.0).cell
    zeros = [keras.ops.zeros((BATCH, width)) for width in (8, 8, 16)]
    n, m, memory = map(to_numpy, cell.noisy(zeros))
    assert n.all() and not m.any() and not memory.any()


@pytest.mark.parametrize("name", ["recurrent_regularizer", "recurrent_constraint"])
def test_options_of_weights_that_a_cell_has_not_are_refused(name):
    kind = {"recurrent_regularizer": "l2", "recurrent_constraint": "non_neg"}[name]
    with pytest.raises(ValueError, match=f"MinGRUCell do not use {name}"):
        layers.MinGRU(4, **{name: kind})
    layers.GRU(4, **{name: kind})
    with pytest.raises(ValueError, match="LRUCell do not use bias_initializer"):
        layers.LRU(4, bias_initializer="ones")


def test_the_mlstm_takes_all_other_noise_and_truncation(inputs):
    """Its matrix state is wider than its units."""
    given = {"dropout": 0.1, "initial_noise": 0.1, "truncate": 3, "layer_norm": True}
    found = layers.MLSTM(8, return_sequences=True, **given)(inputs, training=True)
    assert found.shape == (BATCH, TIME, 8) and np.isfinite(to_numpy(found)).all()
    zoned = layers.SLSTM(4, zoneout={"h": 0.5, "c": 0, "n": 0, "m": 0}, return_sequences=True)
    assert np.isfinite(to_numpy(zoned(inputs, training=True))).all()


def test_a_bare_cell_refuses_zoneout_in_training(inputs):
    bare = keras.layers.RNN(layers.GRU(3, zoneout=0.1).cell)
    with pytest.raises(NotImplementedError, match=r"train it in a layer of rnn_zoo\.layers"):
        bare(inputs, training=True)
    assert bare(inputs).shape == (BATCH, 3)
