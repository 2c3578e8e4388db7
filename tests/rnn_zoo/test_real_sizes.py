"""Compiled models of the size that users train, against the NumPy stepper.

Other tests are of a few units, and compile with little effort.
"""

import subprocess
import sys

import pytest
from on_backend import tensorflow_only
from processes import environment

SCRIPT = """
import keras, numpy as np
import rnn_zoo
from rnn_zoo.architectures import ARCHITECTURES
from rnn_zoo.functional import draw_weights, forward, make_cells
from on_backend import execute
inputs = np.random.default_rng(0).normal(size=(16, 64, 2)).astype("float32")
for arch in rnn_zoo.CELLS:
    cells = make_cells(arch, ARCHITECTURES[arch].min_depth, 160, seed=0)
    weights = draw_weights(cells, 2, 3, seed=0)
    found = execute("xla", lambda w, x: forward(cells, w, x), weights, inputs)
    stepper = rnn_zoo.Stepper(cells, weights, batch_size=16)
    expected = np.stack([stepper(x) for x in np.moveaxis(inputs, 1, 0)], 1)
    error = np.max(np.abs(found - expected)) / np.max(np.abs(expected))
    print(f"{arch} {error:.1e}", flush=True)
    assert error < 1e-4, arch
"""


@pytest.mark.slow
@tensorflow_only
@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_every_cell_of_160_units_equals_its_equations_in_numpy(backend):
    where = environment(KERAS_BACKEND=backend, XLA_FLAGS="")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=where, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
