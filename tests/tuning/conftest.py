import pytest
from processes import without_tensorflow
from small_sweep import ARGUMENTS, ENTRIES, OWN, gin


@pytest.fixture(scope="session")
def swept(once):
    """A directory with the finished sweep of `small_sweep`, made on JAX alone, and its output."""

    def run(home):
        (home / "grid.gin").write_text(gin([*ENTRIES, OWN]))
        done = without_tensorflow(*ARGUMENTS, cwd=home)
        assert (done.code, done.stderr) == (0, ""), done.stdout
        (home / "printed").write_text(done.stdout)

    return once("swept", run)
