"""Numerical tests on JAX in another process, since a process has one Keras backend."""

import pathlib
import subprocess
import sys

import pytest
from on_backend import tensorflow_only
from processes import JAX, ROOT, environment

HERE = pathlib.Path(__file__).parent
FILES = (
    "test_counter_rng.py",
    "test_path_sgd.py",
    "test_soap.py",
    "tasks/test_contract.py",
    "tasks/test_parens.py",
    "tasks/test_text8.py",
)

#: Tests of what differs between backends: integers, compilers, loss functions, decompositions, and
#: the order of dicts.
WHICH = (
    "(published or every_bound or cipher_of or compiled_equals or slow_solver or naive"
    " or algorithm_3 or rescaling)"
    " and not (arithmetic or capacity or rcf)"
)


@pytest.mark.slow
@tensorflow_only
def test_numbers_on_jax():
    command = [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", "-k", WHICH]
    done = subprocess.run(
        [*command, "-W", "ignore", "--tb=short", *(str(HERE / file) for file in FILES)],
        cwd=ROOT,
        env=environment(**JAX),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
