import pytest
from processes import QUICK, ForkServer, jax_alone
from slow import slow_except


@pytest.fixture(scope="session")
def warm(tmp_path_factory):
    """Starts the trainer's commands with TensorFlow imported; see `processes.ForkServer`."""
    modules = ("tensorflow", "trainer.__main__", "trainer.export.__main__", "trainer.loop")
    started = ForkServer(tmp_path_factory.mktemp("output"), modules, **QUICK)
    yield started
    started.close()


@pytest.fixture(scope="session")
def warm_jax(tmp_path_factory):
    """Starts the trainer on JAX, which compiles sooner, and without TensorFlow."""
    modules = ("jax", "trainer.__main__", "trainer.loop")
    started = ForkServer(tmp_path_factory.mktemp("output"), modules, **jax_alone())
    yield started
    started.close()


@pytest.fixture(scope="module", params=slow_except(["warm_jax"], ["warm_jax", "warm"]))
def server(request):
    """Starts the trainer on JAX, and in slow tests on TensorFlow."""
    return request.getfixturevalue(request.param)
