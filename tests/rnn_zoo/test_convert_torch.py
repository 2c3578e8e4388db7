"""Modules of PyTorch against the layers that come of them, in both directions.

Legend: B batch, T time, I input, N units.
"""

import importlib.util
import inspect
import re
import sys

import keras
import numpy as np
import pytest
from cell_twins import BATCH, INPUT, TIME, UNITS
from conversions import assert_same, layer_with_learned_state, our_layer, refusal, sequences
from on_backend import needs_float64, to_numpy
from slow import slow_except

from rnn_zoo import convert, layers

# Imported in the tests alone: each of xdist's processes collects them, and it takes seconds.
if not importlib.util.find_spec("torch"):
    pytest.skip("PyTorch is not installed", allow_module_level=True)


def torch_module(kind, rng, depth=2, dtype="float32", **options):
    import torch

    options["dtype"] = getattr(torch, dtype)
    module = getattr(torch.nn, kind)(INPUT, UNITS, depth, **options)
    for parameter in module.parameters():
        parameter.data.copy_(torch.from_numpy(rng.normal(scale=0.6, size=tuple(parameter.shape))))
    return module


def called(module, inputs, states=None):
    """Outputs (B, T, N) and each state of all layers, (depth, B, N), from states of that shape."""
    import torch

    dtype = module.weight_ih_l0.dtype
    x = torch.from_numpy(inputs).to(dtype)
    x = x if module.batch_first else x.transpose(0, 1)
    states = None if states is None else [torch.from_numpy(state).to(dtype) for state in states]
    if states is not None:
        states = tuple(states) if isinstance(module, torch.nn.LSTM) else states[0]
    with torch.no_grad():
        outputs, last = module(x, states)
    outputs = outputs if module.batch_first else outputs.transpose(0, 1)
    last = last if isinstance(last, tuple) else (last,)
    return outputs.numpy(), [state.numpy() for state in last]


def stacked(stack, inputs, states=None):
    """What `called` returns, of layers one on another."""
    x, last = inputs, []
    for index, layer in enumerate(stack):
        given = None if states is None else [state[index] for state in states]
        x, *final = layer(x, initial_state=given)
        last.append(final)
    return to_numpy(x), [np.stack([to_numpy(f[i]) for f in last]) for i in range(len(last[0]))]


def assert_equal_stacks(stack, module, rng):
    inputs = rng.normal(size=(BATCH, TIME, INPUT)).astype("float32")
    states = rng.normal(size=(len(stack[0].cell.state_names), len(stack), BATCH, UNITS))
    assert_same(stacked(stack, inputs), called(module, inputs))
    states = states.astype("float32")
    assert_same(stacked(stack, inputs, states), called(module, inputs, states))


FROM_TORCH = [
    ("RNN", layers.RNN, {"nonlinearity": "tanh"}),
    ("RNN", layers.RNN, {"nonlinearity": "relu"}),
    ("GRU", layers.GRUResetAfter, {}),
    ("LSTM", layers.LSTM, {}),
]


@pytest.mark.parametrize(("theirs", "ours", "options"), FROM_TORCH)
@pytest.mark.parametrize("depth", slow_except([3], [1, 3]))
@pytest.mark.parametrize("how", [{}, {"batch_first": True}, {"bias": False}], ids=str)
def test_from_torch_and_back(theirs, ours, options, depth, how, rng):
    module = torch_module(theirs, rng, depth, **options, **how)
    stack = convert.from_torch(module, return_state=True)
    assert [type(layer) for layer in stack] == [ours] * depth
    assert all(
        layer.cell.gate_bias.keys() <= {"u", "f"}
        and not any(layer.cell.gate_bias.values())
        and not layer.cell.learned_initial_state
        for layer in stack
    )
    assert_equal_stacks(stack, module, rng)
    back = convert.to_torch(stack, batch_first=module.batch_first)
    assert type(back) is type(module) and back.batch_first == module.batch_first
    assert_equal_stacks(stack, back, rng)
    for name in ("weight_ih", "weight_hh"):
        for layer in range(depth):
            one, other = (getattr(each, f"{name}_l{layer}") for each in (module, back))
            assert (one == other).all()


@pytest.mark.parametrize(
    ("kinds", "options"),
    [
        ((layers.RNN, layers.RNN), {"activation": "tanh"}),
        ((layers.RNN, layers.IRNN), {"activation": "relu"}),
        ((layers.LSTM, layers.LSTM), {"gate_bias": 0.7}),
        ((layers.GRUResetAfter, layers.GRUResetAfter), {"gate_bias": 0.7}),
    ],
)
def test_to_torch_and_back(kinds, options, rng):
    widths = (INPUT, UNITS)
    stack = [our_layer(kind, rng, w, **options) for kind, w in zip(kinds, widths, strict=True)]
    module = convert.to_torch(stack)
    assert module.batch_first and module.num_layers == 2
    assert_equal_stacks(stack, module, rng)
    assert_equal_stacks(convert.from_torch(module, return_state=True), module, rng)
    assert_equal_stacks(stack[:1], convert.to_torch(stack[0]), rng)


@needs_float64
def test_torch_layers_go_into_a_model_and_keep_their_precision(rng):
    module = torch_module("LSTM", rng, dtype="float64", batch_first=True)
    stack = convert.from_torch(module, learned_initial_state=True)
    assert {w.dtype for layer in stack for w in layer.weights} == {"float64"}
    assert all(layer.cell.learned_initial_state for layer in stack)
    assert convert.to_torch(stack).weight_hh_l1.dtype is module.weight_hh_l1.dtype
    model = keras.Sequential([keras.Input((None, INPUT), dtype="float64"), *stack])
    inputs = rng.normal(size=(BATCH, TIME, INPUT))
    np.testing.assert_allclose(to_numpy(model(inputs)), called(module, inputs)[0], atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("LSTM", {"proj_size": 2}, "proj_size=2, a projection.*proj_size=0"),
        ("LSTM", {"bidirectional": True}, "is bidirectional; .*keras.layers.Bidirectional"),
        ("RNN", {"num_layers": 2, "dropout": 0.2}, "dropout=0.2; set module.dropout = 0"),
        ("LSTMCell", {}, "cannot convert a LSTMCell; .*exactly a torch.nn.RNN, GRU or LSTM"),
    ],
)
def test_torch_modules_that_differ_are_refused(kind, options, message):
    import torch

    found = refusal(convert.from_torch, getattr(torch.nn, kind)(INPUT, UNITS, **options))
    assert re.search(message, found), found


def test_a_layer_that_is_frozen_in_part_is_refused(rng):
    module = torch_module("GRU", rng)
    module.requires_grad_(False)
    assert [layer.trainable for layer in convert.from_torch(module)] == [False, False]
    module.weight_hh_l1.requires_grad_(True)
    with pytest.raises(ValueError, match=r"layer 1 of torch\.nn\.GRU is frozen in part"):
        convert.from_torch(module)


#: Argument of a module -> a value other than its default, and how `from_torch` handles it.
ARGUMENTS = {
    "bias": (False, "kept"),
    "batch_first": (True, "documented"),
    "dropout": (0.5, "refused"),
    "bidirectional": (True, "refused"),
    "proj_size": (2, "refused"),
    "dtype": ("float64", "kept"),
    "nonlinearity": ("relu", "kept"),
    "device": ("cpu", "none"),
}
SHAPE = {"mode", "input_size", "hidden_size", "num_layers"}


def test_no_argument_of_a_module_is_lost(rng):
    """Those of the constructors, which PyTorch may extend."""
    import torch

    known = {*inspect.signature(torch.nn.RNNBase).parameters, "nonlinearity"}
    assert known == SHAPE | ARGUMENTS.keys()
    for name, (value, way) in ARGUMENTS.items():
        value = getattr(torch, value) if name == "dtype" else value
        kinds = {"proj_size": [torch.nn.LSTM], "nonlinearity": [torch.nn.RNN]}
        for kind in kinds.get(name, [torch.nn.RNN, torch.nn.GRU, torch.nn.LSTM]):
            module = kind(INPUT, UNITS, 2, **{name: value})
            if way == "refused":
                with pytest.raises(
                    ValueError, match=rf"torch\.nn\.{kind.__name__} (is|has) {name}"
                ):
                    convert.from_torch(module)
            elif name != "dtype":  # float64 in a test of its own
                assert_equal_stacks(convert.from_torch(module, return_state=True), module, rng)


def test_dropout_that_is_set_to_zero_is_none(rng):
    module = torch_module("RNN", rng, dropout=0.5)
    module.dropout = 0
    assert_equal_stacks(convert.from_torch(module, return_state=True), module, rng)


@pytest.mark.parametrize(
    ("stack", "message"),
    [
        ([], "at least one layer; got an empty list"),
        (
            [(layers.UGRNN, INPUT, {})],
            "torch.nn has no module with the equations of UGRNN; choose an rnn_zoo.layers",
        ),
        ([(layers.LSTM, INPUT, {"activation": "relu"})], "has activation relu, which"),
        ([(layers.GRU, INPUT, {})], "resets the state before .* torch.nn.GRU after it; .*to_keras"),
        ([(layers.RNN, INPUT, {"go_backwards": True})], "has go_backwards.*flip its inputs"),
        ([(layers.RNN, INPUT, {"activation": "elu"})], "activation elu, .*tanh and relu"),
        ([(layers.GRUResetAfter, INPUT, {"activation": "relu"})], "torch.nn.GRU is for tanh"),
        (
            [(layers.LSTM, INPUT, {"recurrent_activation": "hard_sigmoid"})],
            "recurrent_activation hard_sigmoid, .* the sigmoid",
        ),
        ([(layers.RNN, INPUT, {}), (layers.LSTM, UNITS, {})], "has gates.*of its own"),
        ([(layers.RNN, INPUT, {}), (layers.IRNN, UNITS, {})], "activation relu, where tanh"),
        ([(layers.RNN, INPUT, {}), (layers.RNN, INPUT, {})], "has inputs 4, where 3"),
        ([(layers.RNN, INPUT, {}), (layers.RNN, UNITS, {"units": 2})], "has units 2, where 3"),
        (
            [(layers.RNN, INPUT, {}), (layers.RNN, UNITS, {"dtype": "float64"})],
            "has precision float64, where float32",
        ),
    ],
)
def test_layers_that_make_no_module_are_refused(stack, message, rng):
    made = [our_layer(kind, rng, features, **options) for kind, features, options in stack]
    found = refusal(convert.to_torch, made)
    assert re.search(message, found), found


def test_a_layer_without_weights_is_refused():
    assert "LSTM 'mine' has no weights" in refusal(
        convert.to_torch, layers.LSTM(UNITS, name="mine")
    )


@pytest.mark.parametrize("kind", [layers.RNN, layers.LSTM])
def test_a_learned_state_is_lost_only_if_asked(kind, rng):
    layer = layer_with_learned_state(kind, rng)
    assert "'mine' starts from a learned state" in refusal(convert.to_torch, layer)
    module = convert.to_torch(layer, drop_initial_state=True)
    inputs, states = sequences(rng, len(layer.cell.state_names))
    outputs, *_ = layer(inputs, initial_state=[0 * state for state in states])
    assert_same(called(module, inputs)[0], outputs)


def test_without_pytorch_the_extra_is_named(monkeypatch, rng):
    layer = our_layer(layers.RNN, rng)
    monkeypatch.setitem(sys.modules, "torch", None)
    for function in (convert.to_torch, convert.from_torch):
        with pytest.raises(ImportError, match="pip install torch"):
            function(layer)
