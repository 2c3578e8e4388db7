"""The choice between worker processes and this one."""

import pytest

from trainer import TrainConfig
from tuning.study import executors
from tuning.study.executors import Processes

TINY = TrainConfig("memory", "gru", train_steps=300)
LONG = TrainConfig("memory", "gru", train_steps=30_000)


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    monkeypatch.setattr(executors, "default_workers", lambda: 2)
    monkeypatch.setattr(executors, "gpus", list)


def test_little_work_is_done_in_this_process():
    assert str(Processes().sized(TINY, 13, 12)) == "one process of 1 lane"
    assert Processes(lanes=3).sized(TINY, 13, 12).slots == 3


def test_more_work_or_a_given_number_of_workers_gets_processes():
    assert str(Processes().sized(LONG, 13, 12)) == "2 processes of 1 lane"
    assert str(Processes(1).sized(TINY, 13, 12)) == "1 process of 1 lane"
    assert Processes(3).sized(TINY, 13, 12).slots == 3


def test_a_gpu_is_left_to_workers(monkeypatch):
    monkeypatch.setattr(executors, "gpus", lambda: ["0"])
    assert not Processes().sized(TINY, 13, 12).are_here
