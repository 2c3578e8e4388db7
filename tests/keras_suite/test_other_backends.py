"""Run the suite on JAX and PyTorch, each in its own process, as a process has one backend."""

import importlib.util
import pathlib

import keras
import pytest
from processes import check_tests

HERE = pathlib.Path(__file__).parent
FILES = ("test_numbers.py", "test_wrappers.py", "test_layer_checks.py")
#: Backend -> which of the tests. JAX compiles every new loop, so it runs those of the default run.
RUNS = {"jax": "not slow", "torch": "slow or not slow"}


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow only")
@pytest.mark.parametrize("backend", RUNS)
def test_the_suite_passes_on(backend):
    if not importlib.util.find_spec(backend):
        pytest.skip(f"{backend} is not installed")
    check_tests([HERE / file for file in FILES], "", RUNS[backend], KERAS_BACKEND=backend)
