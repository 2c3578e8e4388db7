"""Training on several devices, which a process must ask for before it starts JAX."""

import json

import numpy as np
import pytest
from on_backend import tensorflow_only
from processes import QUICK, jax_alone, python

SCRIPT = """
import json

import keras
import numpy as np

from rnn_zoo import layers


def fitted():
    keras.utils.set_random_seed(1)
    chain = [keras.Input((4, 3)), layers.GRU(6), keras.layers.Dense(2)]
    model = keras.Sequential(chain)
    model.compile(keras.optimizers.SGD(0.5), "mse")
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=size).astype("float32") for size in ((4, 4, 3), (4, 2)))
    losses = model.fit(x, y, epochs=2, verbose=0, shuffle=False).history["loss"]
    weights = [keras.ops.convert_to_numpy(weight).tolist() for weight in model.weights]
    shards = {
        w.name: list(w.value.addressable_shards[0].data.shape) for w in model.layers[0].weights
    }
    return losses, weights, shards


results = [fitted()]
mesh = keras.distribution.DeviceMesh((2, 2), ("batch", "model"))
layout = keras.distribution.LayoutMap(mesh)
layout[".*kernel"] = (None, "model")
layout[".*bias"] = ("model",)
keras.distribution.set_distribution(
    keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch")
)
print(json.dumps([*results, fitted()]))
"""


@pytest.mark.slow
@tensorflow_only
def test_weights_split_over_devices_train_as_on_one(tmp_path):
    flags = f"{QUICK['XLA_FLAGS']} --xla_force_host_platform_device_count=4"
    done = python("-c", SCRIPT, cwd=tmp_path, **jax_alone() | {"XLA_FLAGS": flags})
    assert done.code == 0, done.stderr
    (losses, weights, whole), (split_losses, split_weights, halves) = json.loads(done.stdout)
    np.testing.assert_allclose(split_losses, losses, rtol=1e-5)
    for one, other in zip(split_weights, weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert whole["recurrent_kernel"] == [6, 18]
    found = [halves[name] for name in ("kernel", "recurrent_kernel", "bias")]
    assert found == [[3, 9], [6, 9], [9]]
