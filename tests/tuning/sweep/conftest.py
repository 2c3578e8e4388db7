import pytest


@pytest.fixture(params=["local", pytest.param("ray", marks=pytest.mark.slow)])
def engine(request):
    """Name of an engine that is installed."""
    if request.param == "ray":
        pytest.importorskip("ray")
    return request.param
