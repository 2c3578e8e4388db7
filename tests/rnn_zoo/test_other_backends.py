"""Numerical tests on JAX and PyTorch, each run in a process of its own.

A process has one Keras backend.
"""

import importlib.util
import pathlib

import pytest
from on_backend import tensorflow_only
from processes import check_tests, jax_alone
from slow import slow_except

HERE = pathlib.Path(__file__).parent
FILES = ("test_cells.py", "test_layers.py", "test_unroll.py", "test_inputs.py", "test_scan.py")
FILES += ("test_convert_models.py",)
FLOAT32 = (
    "(equals_the_twin and not float64 and not keras_rnn) or (masks_compiled and True)"
    " or unknown or begins or chunks_of_a_wide_cell"
)
ZOO = "equal_the_twin or light_table"
#: Name of a run on JAX -> (which of the tests, environment). JAX needs a flag for float64. It
#: compiles every new loop, so the default run takes two architectures.
RUNS = {
    "quick": (FLOAT32, {"JAX_ENABLE_X64": "0"}),
    "float32": (FLOAT32, {"JAX_ENABLE_X64": "0"}),
    "keras": (
        "keras_rnn_equals and lstm or keras_rnn_equals and +rnn or stacked or bidirectional",
        {"JAX_ENABLE_X64": "0"},
    ),
    "models": ("conversions_are_equal or a_stateful_model or directions", {"JAX_ENABLE_X64": "0"}),
    "float64": (
        "(float64-jit and equals_the_twin)"
        " or (central_differences and not True and (irnn or tanh-4))"
        " or (lane_equals and True-False) or (custom_cell and True and lanes1)",
        {"JAX_ENABLE_X64": "1", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
    ),
    "zoo": (ZOO, {"JAX_ENABLE_X64": "1", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}),
}


@tensorflow_only
@pytest.mark.parametrize("name", slow_except(["quick"], RUNS))
def test_numbers_on_jax(name):
    which, environment = RUNS[name]
    files = ("test_zoo.py",) if name == "zoo" else FILES
    marked = "not slow" if name == "quick" else "slow or not slow"
    check_tests(paths(files), which, marked, **jax_alone() | environment)


@pytest.mark.slow
@tensorflow_only
def test_every_cell_on_pytorch():
    if not importlib.util.find_spec("torch"):
        pytest.skip("torch is not installed")
    files = ("test_zoo.py", "test_kernels.py")
    check_tests(paths(files), f"{ZOO} or kernels", "not slow", KERAS_BACKEND="torch")


def paths(files):
    return [HERE / file for file in files]
