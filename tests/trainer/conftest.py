import pytest
from processes import Warm


@pytest.fixture(scope="session")
def warm(tmp_path_factory):
    """Starts the trainer's mains quickly; see `processes.Warm`."""
    started = Warm(tmp_path_factory.mktemp("output"))
    yield started
    started.close()
