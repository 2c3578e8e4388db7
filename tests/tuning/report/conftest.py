import browsing
import pandas as pd
import pytest

from benchmarks import planted as planted_sweeps
from tuning import trials


@pytest.fixture(scope="session")
def planted_runs(once):
    """A directory with all sweeps of the paper's grid, simulated under the paper's results."""

    def write(path):
        for sweep in planted_sweeps.SWEEPS:
            # The tasks of figures 4 and 5 and of the tables are judged by shares and medians of
            # trials, the others by their best.
            scale = 0.01 if sweep.startswith(("figure_1", "figure_2", "figure_3")) else 0.03
            planted_sweeps.write(path, scale, sweeps=[sweep])

    return once("planted", write)


@pytest.fixture(scope="session")
def planted(planted_runs, once):
    """The runs of `planted_runs` as a DataFrame."""

    def read(path):
        found, problems = trials.read(planted_runs)
        assert not problems
        found.to_pickle(path / "trials.pickle")

    return pd.read_pickle(once("planted_trials", read) / "trials.pickle")


@pytest.fixture(scope="module")
def browser():
    """A browser for the pages of a module's tests."""
    driver = browsing.start()
    yield driver
    driver.quit()
