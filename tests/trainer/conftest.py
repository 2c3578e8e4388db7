import pytest
from processes import QUICK, ForkServer, python
from slow import slow_except

#: Reports at exit which backends were imported.
NOTING = """
import atexit, pathlib, sys
def note():
    names = [name for name in ("tensorflow", "keras", "jax", "torch") if name in sys.modules]
    pathlib.Path({path!r}).write_text(" ".join(names))
atexit.register(note)
"""
#: Runs `python -m MODULE ARGUMENTS`.
MODULE = """
import runpy
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="session")
def warm(tmp_path_factory):
    """Start the trainer's commands with TensorFlow imported; see `processes.ForkServer`."""
    modules = ("tensorflow", "trainer.__main__", "trainer.export.__main__", "trainer.loop")
    started = ForkServer(tmp_path_factory.mktemp("output"), modules, **QUICK)
    yield started
    started.close()


@pytest.fixture(scope="module", params=slow_except(["warm_jax"], ["warm_jax", "warm"]))
def server(request):
    """Start the trainer on JAX, and in slow tests on TensorFlow."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def quick(cold, tmp_path):
    """Run a main in an empty directory; it must exit before a backend is imported."""

    def run(*arguments, module="trainer", fresh=False):
        noted, home = tmp_path / "imported", tmp_path / "home"
        home.mkdir(exist_ok=True)
        note = NOTING.format(path=str(noted))
        if fresh:
            done = python("-c", note + MODULE, module, *arguments, cwd=home)
        else:
            done = cold.run(module, *arguments, cwd=home, before=note)
        assert noted.read_text() == ""
        return done

    run.home = tmp_path / "home"
    return run
