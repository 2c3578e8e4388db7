"""The same tests of numbers on JAX, in processes of their own: a process has one Keras backend."""

import os
import pathlib
import subprocess
import sys

import pytest
from on_backend import tensorflow_only

HERE = pathlib.Path(__file__).parent
FILES = ("test_cells.py", "test_layers.py", "test_unroll.py", "test_inputs.py")
#: Name of a run -> (which of the tests, environment). JAX has to be asked for float64. Every new
#: loop costs a compilation there, so of what is parametrised much, one case an architecture runs.
RUNS = {
    "float32": (
        "(equals_the_twin and not float64 and not keras_rnn) or keras_rnn_equals and lstm"
        " or keras_rnn_equals and +rnn or stacked or bidirectional or (masks_compiled and True)"
        " or unknown or begins",
        {"JAX_ENABLE_X64": "0"},
    ),
    "float64": (
        "(float64-jit and equals_the_twin)"
        " or (central_differences and not True and (irnn or tanh-4))"
        " or (lane_equals and True-False) or (ones_own and True and lanes1)",
        {"JAX_ENABLE_X64": "1", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
    ),
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
