import pytest


@pytest.fixture(params=["local", pytest.param("ray", marks=pytest.mark.slow)])
def engine(request):
    """Name of an installed engine; Ray takes seconds to start."""
    if request.param == "ray":
        pytest.importorskip("ray")
    return request.param
