import pytest

from benchmarks import planted as planted_sweeps
from tuning import trials


@pytest.fixture(scope="session")
def planted_runs(tmp_path_factory):
    """A directory with all sweeps of the paper's grid, simulated under the paper's results."""
    path = tmp_path_factory.mktemp("planted")
    planted_sweeps.write(path, scale=0.03)
    return path


@pytest.fixture(scope="session")
def planted(planted_runs):
    """The runs of `planted_runs` as a DataFrame."""
    found, problems = trials.read(planted_runs)
    assert not problems
    return found
