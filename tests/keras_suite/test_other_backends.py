"""Run the suite on JAX and PyTorch, each in its own process, as a process has one backend."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import keras
import pytest

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
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", "0", "--tb=short"]
    done = subprocess.run(
        [*command, "-W", "ignore", "-m", RUNS[backend], *(str(HERE / file) for file in FILES)],
        env=os.environ | {"KERAS_BACKEND": backend},
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert any(" passed" in line for line in done.stdout.splitlines()), done.stdout
