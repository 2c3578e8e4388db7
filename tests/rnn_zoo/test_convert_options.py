"""Each argument of a layer is carried over, refused by its name, or known to change nothing."""

import inspect

import keras
import pytest
from cell_twins import INPUT, UNITS
from conversions import refusal

from rnn_zoo import convert, layers

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
#: In PyTorch, a module returns all outputs and states, has no name and no automatic casts, and a
#: missing bias is a bias of zero.
NOTHING_LOST_IN_TORCH = NOTHING_LOST | {
    *("return_sequences", "return_state", "name", "autocast", "use_bias"),
}
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
    if "use_bias" in options:
        options["gate_bias"] = 0  # which becomes a bias
    layer = kind(UNITS, **options)
    layer.build((2, None, INPUT))
    return layer


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
    elif option == "recurrent_dropout" and kind is layers.GRUResetAfter:
        assert found.recurrent_dropout == 0
        assert "train one without it" in refusal(convert.to_keras, layer)
    else:
        name = "dtype_policy" if option == "dtype" else option
        theirs, ours = getattr(found, name), getattr(layer, name, None)
        ours = getattr(layer.cell, name) if ours is None else ours
        assert comparable(theirs) == comparable(ours)
        assert comparable(theirs) != comparable(getattr(convert.to_keras(made(kind)), name))


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
