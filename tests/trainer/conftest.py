import pytest
from processes import ForkServer


@pytest.fixture(scope="session")
def warm(tmp_path_factory):
    """Starts the trainer's commands with TensorFlow imported; see `processes.ForkServer`."""
    modules = ("tensorflow", "trainer.__main__", "trainer.export.__main__", "trainer.loop")
    # Little optimisation: compiling is most of a small training's time.
    quick = {"XLA_FLAGS": "--xla_backend_optimization_level=0"}
    started = ForkServer(tmp_path_factory.mktemp("output"), modules, **quick)
    yield started
    started.close()
