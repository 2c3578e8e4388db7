"""PyTorch's fused kernels, against the loop; `test_other_backends.py` runs this on PyTorch."""

import keras
import numpy as np
import pytest
from on_backend import BACKEND, gradients, to_numpy

from rnn_zoo import backend, layers
from rnn_zoo.unroll import automatic_derivatives, unroll

TIME, BATCH, FEATURES, UNITS = 5, 3, 2, 4
#: Layer, its options, and the kernel that it runs on; None stands for the loop.
CASES = [
    (layers.LSTM, {}, "lstm"),
    (layers.LSTM, {"gate_bias": 2.0, "use_bias": False}, "lstm"),
    (layers.LSTM, {"activation": "relu"}, None),
    (layers.LSTM, {"recurrent_activation": "hard_sigmoid"}, None),
    (layers.LSTM, {"layer_norm": True}, None),
    (layers.LSTM, {"zoneout": {"h": 0.3, "c": 0.0}}, None),
    (layers.RNN, {"zoneout": 0.3}, None),
    (layers.GRUResetAfter, {"gate_bias": 0.5}, "gru"),
    (layers.GRU, {}, None),
    (layers.RNN, {}, "rnn_tanh"),
    (layers.RNN, {"activation": "softplus"}, None),
    (layers.IRNN, {}, "rnn_relu"),
    (layers.UGRNN, {}, None),
]

pytestmark = pytest.mark.skipif(BACKEND != "torch", reason="PyTorch only")


@pytest.mark.parametrize(("make", "options", "kernel"), CASES)
def test_kernels_equal_the_loop(make, options, kernel, rng, monkeypatch):
    layer = make(UNITS, dtype="float64", seed=1, **options)
    layer.build((None, None, FEATURES))
    cell, calls = layer.cell, []
    run = backend.current().run_kernel
    monkeypatch.setattr(
        backend.current(), "run_kernel", lambda name, *rest: calls.append(name) or run(name, *rest)
    )
    weights = keras.tree.map_structure(
        lambda array: rng.normal(scale=0.6, size=array.shape), to_numpy(cell.weight_tensors())
    )
    given = {
        "weights": weights,
        "inputs": rng.normal(size=(BATCH, TIME, FEATURES)),
        "states": [rng.normal(size=(BATCH, UNITS)) for _ in cell.state_names],
    }
    directions = [rng.normal(size=(TIME, BATCH, UNITS)), *given["states"]]

    def loss(given):
        outputs, last = unroll(cell, given["weights"], given["inputs"], given["states"])
        pairs = zip([outputs, *last], directions, strict=True)
        return sum(
            keras.ops.sum(result * keras.ops.convert_to_tensor(direction))
            for result, direction in pairs
        )

    found = keras.tree.flatten(gradients("eager", loss, given))
    assert calls == ([kernel] if kernel else [])
    with automatic_derivatives():
        expected = keras.tree.flatten(gradients("eager", loss, given))
    assert len(calls) == (1 if kernel else 0)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-10)


def test_masks_noise_and_half_precision_run_in_the_loop(monkeypatch):
    monkeypatch.setattr("rnn_zoo.unroll.run_kernel", None)
    x = np.ones((BATCH, TIME, FEATURES))
    layers.LSTM(UNITS)(x, mask=np.ones((BATCH, TIME), bool))
    layers.LSTM(UNITS, recurrent_dropout=0.5)(x, training=True)
    layers.LSTM(UNITS, dtype="bfloat16")(x)
    layers.LSTM(UNITS, truncate=2)(x)
    layers.LSTM(UNITS, return_state_sequences=True)(x)
