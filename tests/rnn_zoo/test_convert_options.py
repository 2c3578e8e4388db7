"""Each argument of a layer is carried over, refused by its name, or known to change nothing."""

import inspect

import keras
import pytest
from cell_twins import INPUT, UNITS
from conversions import refusal

from rnn_zoo import convert, layers
from rnn_zoo.convert.arrays import GATES

#: A value of each option that is not its default.
VALUES = {
    "activation": "relu",
    "return_sequences": True,
    "return_state": True,
    "return_state_sequences": True,
    "go_backwards": True,
    "stateful": True,
    "zero_output_for_mask": True,
    "truncate": 2,
    "scan": False,
    "activity_regularizer": "l2",
    "name": "mine",
    "dtype": "float64",
    "trainable": False,
    "autocast": False,
    "gate_bias": 0.3,
    "learned_initial_state": False,
    "matrix_init": "normal",
    "bias_init": "normal",
    "input_scale": 0.5,
    "recurrent_scale": 0.5,
    "bias_scale": 0.5,
    "seed": 7,
    "recurrent_activation": "hard_sigmoid",
    "use_bias": False,
    "dropout": 0.1,
    "recurrent_dropout": 0.1,
    "candidate_dropout": 0.1,
    "zoneout": 0.1,
    "initial_noise": 0.1,
    "layer_norm": True,
} | {
    f"{part}_{kind}": value
    for part in ("kernel", "recurrent", "bias")
    for kind, value in (("initializer", "zeros"), ("regularizer", "l2"), ("constraint", "max_norm"))
}  # fmt: skip
#: Options that act when weights are drawn, or choose between equal computations, and those whose
#: effect is in the weights: a gate's bias becomes part of the bias, and states start from zero.
NOTHING_LOST = {
    *("matrix_init", "bias_init", "input_scale", "recurrent_scale", "bias_scale", "seed", "scan"),
    *("kernel_initializer", "recurrent_initializer", "bias_initializer"),
    *("gate_bias", "learned_initial_state"),
}
#: Values of the options that only Keras's layers have, and those of its own that lose nothing.
VALUES_OF_KERAS = {"unit_forget_bias": False, "unroll": True, "use_cudnn": False}
NOTHING_LOST_OF_KERAS = NOTHING_LOST | VALUES_OF_KERAS.keys()
#: In PyTorch, a module returns all outputs and states, has no name and no automatic casts, and a
#: missing bias is a bias of zero.
NOTHING_LOST_IN_TORCH = NOTHING_LOST | {
    *("return_sequences", "return_state", "name", "autocast", "use_bias"),
}
#: Keras applies it to the state that is carried on, too, and these to two biases instead of one.
OTHERWISE_IN_A_GRU = ("recurrent_dropout", "bias_regularizer", "bias_constraint")
#: Options that act in inference, so that they are refused even for inference.
ALWAYS = {"layer_norm", "zoneout", "return_state_sequences"}


@pytest.fixture(
    params=[layers.LSTM, pytest.param(layers.GRUResetAfter, marks=pytest.mark.slow)],
    ids=lambda kind: kind.__name__,
)
def kind(request):
    return request.param


def options_of(kind):
    return [name for name in inspect.signature(kind).parameters if name != "units"]


def made(kind, **options):
    """A built layer; it starts from a state of zero, as every new layer."""
    if any("bias" in name for name in options.keys() - {"gate_bias"}):
        options["gate_bias"] = 0  # which becomes a bias
    layer = kind(UNITS, **options)
    layer.build((2, None, INPUT))
    return layer


@pytest.mark.parametrize("kind", GATES, ids=lambda kind: kind.__name__)
def test_there_is_a_value_for_each_option(kind):
    assert set(options_of(kind)) == set(VALUES)


def outcome(function, layer, option):
    """Refused always, refused for training alone, or what comes of it."""
    try:
        return function(layer)
    except ValueError:
        message = refusal(function, layer)
        assert option in message
    try:
        return function(layer, inference_only=True)
    except ValueError:
        assert refusal(function, layer, inference_only=True) == message
        return None


def comparable(value):
    """A regularizer, a nonlinearity or a policy as plain data."""
    if isinstance(value, keras.DTypePolicy):
        return value.name
    if callable(value) or isinstance(value, keras.regularizers.Regularizer):
        return str(keras.saving.serialize_keras_object(value))
    return value


@pytest.mark.parametrize("option", VALUES)
def test_an_option_is_in_the_layer_of_keras_or_refused(kind, option):
    layer = made(kind, **{option: VALUES[option]})
    found = outcome(convert.to_keras, layer, option)
    if option in NOTHING_LOST:
        assert found is not None
        convert.to_keras(layer)
    elif found is None:
        lstm = kind is layers.LSTM and option == "activation"
        assert option in ALWAYS or lstm
    elif option in ("truncate", "initial_noise", "candidate_dropout"):
        assert "inference_only=True" in refusal(convert.to_keras, layer)
    elif kind is layers.GRUResetAfter and option in OTHERWISE_IN_A_GRU:
        assert not getattr(found, option)
        refused = refusal(convert.to_keras, layer)
        assert "acts otherwise in keras.layers.GRU" in refused and "inference_only=True" in refused
    else:
        name = "dtype_policy" if option == "dtype" else option
        theirs, ours = getattr(found, name), getattr(layer, name, None)
        ours = getattr(layer.cell, name) if ours is None else ours
        assert comparable(theirs) == comparable(ours)
        assert comparable(theirs) != comparable(getattr(convert.to_keras(made(kind)), name))


def test_the_regularizer_of_outputs_is_in_a_simple_rnn():
    layer = made(layers.RNN, activity_regularizer="l2")
    assert comparable(convert.to_keras(layer).activity_regularizer) == comparable(
        layer.activity_regularizer
    )


def test_the_regularizer_of_outputs_is_in_both_directions():
    layer = keras.layers.Bidirectional(layers.RNN(2, gate_bias=0, activity_regularizer="l2"))
    layer.build((None, 3, 2))
    found = convert.to_keras(layer, drop_initial_state=True)
    for each in (found.forward_layer, found.backward_layer):
        assert comparable(each.activity_regularizer) == comparable(keras.regularizers.L2())


@pytest.mark.parametrize("option", ["bias_regularizer", "bias_constraint"])
def test_what_acts_on_the_bias_is_refused_if_a_gate_bias_is_added_to_it(option):
    layer = layers.LSTM(UNITS, **{option: VALUES[option]})
    layer.build((None, None, INPUT))
    message = refusal(convert.to_keras, layer)
    assert f"has {option}, which acts otherwise in keras.layers.LSTM" in message
    assert getattr(convert.to_keras(layer, inference_only=True), option) is None


@pytest.mark.parametrize(
    "kind",
    [keras.layers.LSTM, pytest.param(keras.layers.SimpleRNN, marks=pytest.mark.slow)],
    ids=lambda kind: kind.__name__,
)
def test_each_option_of_a_layer_of_keras_is_in_ours(kind):
    of_bases = keras.layers.RNN, keras.layers.Layer
    names = {n for each in (kind, *of_bases) for n in inspect.signature(each).parameters}
    default = kind(UNITS)
    default.build((2, None, INPUT))
    default = convert.from_keras(default)
    # LSTMs with another activation are refused, and SimpleRNN ignores `activity_regularizer`.
    other = "activation" if kind is keras.layers.LSTM else "activity_regularizer"
    for option in sorted(names - {"units", "cell", "args", "kwargs", other}):
        theirs = kind(UNITS, **{option: (VALUES | VALUES_OF_KERAS)[option]})
        theirs.build((2, None, INPUT))
        found = convert.from_keras(theirs)
        if option not in NOTHING_LOST_OF_KERAS:
            name = "dtype_policy" if option == "dtype" else option
            assert comparable(getattr(found, name)) == comparable(getattr(theirs, name)), option
            assert comparable(getattr(found, name)) != comparable(getattr(default, name)), option


@pytest.mark.parametrize("option", VALUES)
def test_an_option_is_in_the_module_of_torch_or_refused(kind, option):
    torch = pytest.importorskip("torch")
    layer = made(kind, **{option: VALUES[option]})
    found = outcome(convert.to_torch, layer, option)
    if option in NOTHING_LOST_IN_TORCH:
        convert.to_torch(layer)
    elif option == "dtype":
        assert {each.dtype for each in found.parameters()} == {torch.float64}
    elif option == "trainable":
        assert not any(each.requires_grad for each in found.parameters())
        (back,) = convert.from_torch(found)
        assert not back.trainable
    elif found is None:
        own = {"stateful", "zero_output_for_mask", "go_backwards"}
        assert option in ALWAYS | own | {"activation", "recurrent_activation"}
    else:
        assert "pass inference_only=True" in refusal(convert.to_torch, layer)
        assert found.hidden_size == UNITS
