"""Every cell's outputs and gradients on the device, against a plain loop in float64 on the CPU."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
from keras import tree
from keras.src.backend.common import dtypes

from benchmarks.step_worker import scan_forward
from rnn_zoo.architectures import ARCHITECTURES
from rnn_zoo.functional import draw_weights, forward, make_cells
from trainer.config import PRECISIONS

#: How a fleet runs this section: nothing is timed.
RUNNING = {"parallel": True}
#: Maximum relative error of outputs and gradients that rounding can explain.
BOUNDS = {"float32": 2e-5, "tf32": 5e-2, "mixed_bfloat16": 3e-1}
DEPTH = 2


def items(toy):
    shape = {"batch": 16, "steps": 50, "features": 27, "units": 48}
    archs, precisions = tuple(ARCHITECTURES), PRECISIONS
    if toy:
        shape, archs, precisions = dict.fromkeys(shape, 5), ("gru", "+rnn"), PRECISIONS[:1]
    return [{"arch": arch, "precisions": precisions, "shape": shape} for arch in archs]


def prepare(arch, precisions, shape):
    rng = np.random.default_rng(0)
    cells = make_cells(arch, DEPTH, shape["units"], seed=0)
    weights = draw_weights(cells, shape["features"], shape["units"], seed=0)
    # Move all weights away from zero, where an error would go unnoticed.
    weights = tree.map_structure(lambda w: w + 0.02 * rng.standard_normal(w.shape), weights)
    size = (shape["batch"], shape["steps"])
    x = rng.standard_normal((*size, shape["features"]))
    cotangent = rng.standard_normal((*size, shape["units"]))
    with _float64(), jax.default_device(jax.devices("cpu")[0]):
        expected = _value_and_grad(scan_forward, cells, weights, x, cotangent, "float64")
    figures = {"is_right": True}
    for precision in precisions:
        products = "tensorfloat32" if precision == "tf32" else "float32"
        dtype = "bfloat16" if precision == "mixed_bfloat16" else "float32"
        with jax.default_matmul_precision(products):
            found = _value_and_grad(forward, cells, weights, x, cotangent, dtype)
        for part, one, other in zip(("output", "gradient"), found, expected, strict=True):
            error = relative_error(one, other)
            figures[f"{precision}_{part}_error"] = error
            figures["is_right"] &= error <= BOUNDS[precision]
    return lambda seconds: figures


@contextlib.contextmanager
def _float64():
    """Enable float64 in JAX, and in Keras's functions on JAX."""
    rounding = dtypes.BIT64_TO_BIT32_DTYPE
    before = rounding["float64"]
    rounding["float64"] = "float64"
    try:
        with jax.enable_x64(True):
            yield
    finally:
        rounding["float64"] = before


def _value_and_grad(function, cells, weights, x, cotangent, dtype):
    """Return outputs, and gradients of their inner product with a cotangent, in NumPy."""

    @jax.jit
    def run(weights, x, cotangent):
        def product(weights):
            outputs = function(cells, weights, x)
            return jnp.sum(outputs * cotangent), outputs

        gradients, outputs = jax.grad(product, has_aux=True)(weights)
        return outputs, gradients

    arguments = tree.map_structure(lambda a: jnp.asarray(a, dtype), (weights, x, cotangent))
    return tree.map_structure(lambda array: np.asarray(array, "float64"), run(*arguments))


def relative_error(found, expected):
    """The largest ‖found − expected‖ / ‖expected‖ over the arrays of two structures."""
    pairs = zip(tree.flatten(found), tree.flatten(expected), strict=True)
    return max(float(np.linalg.norm(a - b) / (np.linalg.norm(b) or 1)) for a, b in pairs)
