"""What one process does: which study it takes, and what it makes of how that ends."""

import errno
import json
import threading

import pytest
import sweep_studies

from tuning.lease import Lease, Watch
from tuning.sweep import worker


def never():
    return False


def test_studies_come_in_order_and_again_until_they_are_over(tmp_path):
    sweep, order = sweep_studies.make(tmp_path / "sweep", 4), []
    for name in worker.free_studies(sweep, never):
        order.append(name[-1])
        over = name != "study-001" or order.count("1") == 3
        sweep.write_state(name, sweep.state(name).failed("", is_final=over))
    assert order == [*"012311"]


def test_a_study_that_is_taken_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "PAUSE", 0.01)
    sweep, order = sweep_studies.make(tmp_path / "sweep", 3), []
    path = sweep.study_path("study-001")
    path.mkdir()
    lease = Lease(path)
    lease.acquire()
    threading.Timer(0.3, lease.release).start()
    for name in worker.free_studies(sweep, never):
        order.append(name[-1])
        worker.run(sweep, name, sweep_studies.RUNNERS["instant"], never)
    assert order == [*"021"]


def test_another_s_study_is_not_run(tmp_path):
    sweep = sweep_studies.make(tmp_path / "sweep", 1)
    sweep.study_path("study-000").mkdir()
    with Lease(sweep.study_path("study-000")):
        assert worker.run(sweep, "study-000", pytest.fail, never) is None
    assert worker.run(sweep, "study-000", sweep_studies.quick, never).status == "done"
    assert worker.run(sweep, "study-000", pytest.fail, never).status == "done"


def test_who_loses_the_lease_writes_no_more(tmp_path):
    sweep = sweep_studies.make(tmp_path / "sweep", 1)

    def suspended(sweep, name, lease, stop):
        path = sweep.study_path(name) / "lease.json"
        record = json.loads(path.read_text()) | {"token": "another's", "host": "elsewhere"}
        path.write_text(json.dumps(record))
        return True, {"best": -1.0}

    assert worker.run(sweep, "study-000", suspended, never) is None
    assert sweep.state("study-000").status == "running"  # the other's word stands


def test_a_full_disk_is_no_failure_of_the_study(tmp_path):
    sweep = sweep_studies.make(tmp_path / "sweep", 1)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(worker.DiskFull):
        worker.run(sweep, "study-000", full, never)
    state = sweep.state("study-000")
    assert (state.status, state.failures, state.deaths) == ("waiting", (), 0)


def test_a_lease_from_elsewhere_is_free_once_it_is_silent(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("tuning.lease.time.monotonic", lambda: now[0])
    watch, path = Watch(patience=30.0), tmp_path / "lease.json"
    assert watch.is_free(tmp_path)

    def beat(count):
        path.write_text(json.dumps({"pid": 1, "host": "elsewhere", "heartbeat": count}))

    beat(0)
    for step in range(5):  # a heart that beats, whatever the clocks say
        assert not watch.is_free(tmp_path)
        now[0] += 20.0
        beat(step + 1)
    assert not watch.is_free(tmp_path)
    now[0] += 29.0
    assert not watch.is_free(tmp_path)
    now[0] += 2.0
    assert watch.is_free(tmp_path)
