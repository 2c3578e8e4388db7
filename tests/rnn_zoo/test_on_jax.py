"""The same tests of numbers on JAX, in processes of their own: a process has one Keras backend."""

import os
import pathlib
import subprocess
import sys

import pytest
from on_backend import tensorflow_only

HERE = pathlib.Path(__file__).parent
FILES = ("test_cells.py", "test_layers.py", "test_unroll.py", "test_initializers.py")
#: Name of a run -> (which of the tests, environment). float64 is what JAX has to be asked for.
RUNS = {
    "float32": ("not float64", {"JAX_ENABLE_X64": "0"}),
    "float64": ("float64 or central_differences or lane", {"JAX_ENABLE_X64": "1"}),
}


@pytest.fixture(scope="module")
def processes():
    """Both runs, started together."""
    started = {}
    for name, (which, environment) in RUNS.items():
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", which]
        started[name] = subprocess.Popen(
            [*command, "-W", "ignore", "--tb=short", *(str(HERE / file) for file in FILES)],
            env=os.environ | environment | {"KERAS_BACKEND": "jax"},
            cwd=HERE.parents[1],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    yield started
    for process in started.values():
        process.kill()


@tensorflow_only
@pytest.mark.parametrize("name", RUNS)
def test_numbers_on_jax(name, processes):
    output, _ = processes[name].communicate(timeout=300)
    assert processes[name].returncode == 0, output
    passed = [line for line in output.splitlines() if " passed" in line]
    assert passed, output
