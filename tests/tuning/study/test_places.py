"""Places of workers; GPUs are simulated."""

import sys

import pytest

from trainer import TrainConfig
from tuning.study import places


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """Simulate two GPUs, the first of them with two MIG slices."""
    command = tmp_path / "nvidia-smi"
    lines = ["GPU 0: H100 (UUID: GPU-a)", "  MIG 1g Device 0: (UUID: MIG-b)"]
    lines += ["  MIG 1g Device 1: (UUID: MIG-c)", "GPU 1: H100 (UUID: GPU-d)"]
    command.write_text("#!/bin/sh\ncat <<END\n" + "\n".join(lines) + "\nEND\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    places.gpus.cache_clear()
    yield
    places.gpus.cache_clear()


def test_one_worker_per_gpu(driver):
    assert places.gpus() == ["0", "1"]
    assert places.default_workers() == 2
    assert [place.device for place in places.places(3)] == ["0", "1", "0"]
    assert places.default_lanes(TrainConfig("parens", "gru"), 175) == 32


@pytest.mark.parametrize(
    "chosen, expected", [("1", ["1"]), ("", []), ("-1", []), ("0,2", ["0", "2"])]
)
def test_only_visible_gpus_are_used(driver, monkeypatch, chosen, expected):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    assert places.gpus() == expected


def test_one_worker_per_core_without_gpus(driver, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(places.os, "sched_getaffinity", lambda pid: {2, 3, 5, 7})
    assert places.default_workers() == 4
    assert places.places(4) == [([2], ""), ([3], ""), ([5], ""), ([7], "")]
    assert places.places(2) == [([2, 3], ""), ([5, 7], "")]
    assert places.default_lanes(TrainConfig("capacity", "gru", num_params=1000), 5) == 4
    assert places.default_lanes(TrainConfig("memory", "gru", num_params=10_000), 12) == 1
    large = TrainConfig("capacity", "gru", num_params=1000, batch_size=256)
    assert places.default_lanes(large, 5) == 1


def _import_late(connection, name):
    import importlib

    module = importlib.import_module(name)
    connection.send(("found", module.__file__))


def test_a_worker_searches_the_working_directory_last(tmp_path, monkeypatch):
    """As its parent does: files there replace neither Python's modules nor those of others."""
    for name in ("multiprocessing", "this", "only_here"):
        (tmp_path / f"{name}.py").write_text("open('trace', 'w')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    for name in ("this", "only_here"):
        process, connection = places.start(places.places(1)[0], _import_late, name)
        kind, file = places.receive(connection)
        process.join()
        assert kind == "found"
        assert (file == str(tmp_path / "only_here.py")) == (name == "only_here")
        assert (tmp_path / "trace").exists() == (name == "only_here")
