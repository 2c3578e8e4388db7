import gc
import os
import shutil
import subprocess
import sys
import tempfile

import pytest

from rnn_zoo.files import locked
from trainer import names

# There is a process for every core already. Threads beside it wait for one another in busy loops:
# with two a process, the search's small matrices take twice as long.
for _name in ("OPENBLAS_NUM", "OMP_NUM", "MKL_NUM", "TF_NUM_INTRAOP", "TF_NUM_INTEROP"):
    os.environ.setdefault(f"{_name}_THREADS", "1")


def pytest_configure(config):
    """Compiles each program once, and in the default run with little optimization."""
    if config.option.markexpr == "not slow":
        os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
    if hasattr(config, "workerinput"):
        return
    # Else each of the many processes that the tests start would compile the modules again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    # Processes that train the same model share its compiled program.
    config.compiled = tempfile.mkdtemp(prefix="compiled-")
    os.environ["TF_XLA_FLAGS"] = f"--tf_xla_persistent_cache_directory={config.compiled}"
    os.environ["JAX_COMPILATION_CACHE_DIR"] = config.compiled
    os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"] = str(10**10)  # see trainer/compiled.py
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session):
    """Spares the garbage collector the million objects of TensorFlow and of the tests.

    They stay to the end. Going through them again and again takes a tenth of the time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def pytest_unconfigure(config):
    if not hasattr(config, "workerinput"):
        shutil.rmtree(config.compiled, ignore_errors=True)


def pytest_xdist_auto_num_workers(config):
    """A process more than there are cores: many a test waits for processes of its own."""
    return len(os.sched_getaffinity(0)) + 1


@pytest.fixture(autouse=True)
def _named():
    """Forget the modules that a test names, which workers of later tests would import."""
    before, looked_at = dict(names._named), list(names._looked_at)
    yield
    names._named.clear()
    names._named.update(before)
    names._looked_at[:] = looked_at


@pytest.fixture(scope="session")
def once(tmp_path_factory):
    """A function that fills a directory once for all of xdist's workers, which only read it.

    Its arguments are a name and a function that fills the directory that it is given.
    """
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent

    def make(name, fill):
        path = root / name
        with locked(root / f"{name}.lock", patience=600):
            if not path.exists():
                made = tmp_path_factory.mktemp(name)
                fill(made)
                made.rename(path)
        return path

    return make


@pytest.fixture(scope="session")
def warm_jax(tmp_path_factory):
    """Start the trainer on JAX, which compiles sooner, and without TensorFlow."""
    from processes import ForkServer, jax_alone

    modules = ("jax", "trainer.__main__", "trainer.loop")
    started = ForkServer(tmp_path_factory.mktemp("output"), modules, **jax_alone())
    yield started
    started.close()


@pytest.fixture(scope="session")
def cold(tmp_path_factory):
    """Start any command before a backend is imported; see `processes.ForkServer`."""
    from processes import ForkServer

    packages = ("trainer", "trainer.export", "trainer.quantize", "tuning", "tuning.report")
    modules = [f"{package}.__main__" for package in (*packages, "tuning.sweep")]
    modules += ["trainer.show", "tuning.show", "tuning.presets"]
    started = ForkServer(tmp_path_factory.mktemp("output"), modules)
    yield started
    started.close()


@pytest.fixture
def preset_root(tmp_path, monkeypatch):
    """An empty directory in place of the package's presets."""
    path = tmp_path / "presets"
    monkeypatch.setattr("rnn_zoo.presets.reading.package", lambda: path)
    return path


@pytest.fixture
def disk(tmp_path):
    """A function that makes a file system of a given size and resizes it later."""
    path = tmp_path / "disk"
    path.mkdir()

    def resize(size, options=()):
        command = ["mount", "-t", "tmpfs", "-o", ",".join([*options, f"size={size}"]), "none", path]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("a file system of its own can only be mounted by root")
        return path

    yield resize
    subprocess.run(["umount", path], capture_output=True, check=False)
