import pytest


@pytest.fixture(params=["local", "ray"])
def engine(request):
    """The name of an engine that is installed."""
    if request.param == "ray":
        pytest.importorskip("ray")
    return request.param
