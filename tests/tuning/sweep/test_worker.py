"""What one process does: which study it takes, and what it makes of how that ends."""

import errno
import json
import os
import threading

import pytest
import sweep_studies
from sweep_studies import Quick

from trainer import UserError
from tuning.study.lease import Lease, Watch
from tuning.sweep import worker


def never():
    return False


def test_studies_come_in_order_and_again_until_they_are_over(tmp_path):
    sweep, order = sweep_studies.make(tmp_path / "sweep", 4), []
    for name, _ in worker.free_studies(sweep, never):
        order.append(name[-1])
        over = name != "study-001" or order.count("1") == 3
        sweep.write_state(name, sweep.state(name).failed("", is_final=over))
    assert order == [*"012311"]


def test_a_study_that_is_taken_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "PAUSES", (0.01, 0.1))
    sweep, order = sweep_studies.make(tmp_path / "sweep", 3), []
    path = sweep.study_path("study-001")
    path.mkdir()
    lease = Lease(path)
    lease.acquire()
    threading.Timer(0.3, lease.release).start()
    for name, _ in worker.free_studies(sweep, never):
        order.append(name[-1])
        worker.run(sweep, name, sweep_studies.RUNNERS["instant"], never)
    assert order == [*"021"]


class Doing(Quick):
    """A runner that does what it is given."""

    def __init__(self, action):
        super().__init__()
        object.__setattr__(self, "action", action)

    def run(self, *arguments):
        return self.action(*arguments)


def test_another_s_study_is_not_run(tmp_path):
    sweep = sweep_studies.make(tmp_path / "sweep", 1)
    sweep.study_path("study-000").mkdir()
    with Lease(sweep.study_path("study-000")):
        assert worker.run(sweep, "study-000", Doing(pytest.fail), never) is None
    assert worker.run(sweep, "study-000", Quick(), never).status == "done"
    assert worker.run(sweep, "study-000", Doing(pytest.fail), never).status == "done"


def test_who_loses_the_lease_writes_no_more(tmp_path):
    sweep = sweep_studies.make(tmp_path / "sweep", 1)

    def suspended(sweep, name, lease, stop):
        path = sweep.study_path(name) / "lease.json"
        record = json.loads(path.read_text()) | {"token": "another's", "host": "elsewhere"}
        path.write_text(json.dumps(record))
        return True, {"best": -1.0}

    assert worker.run(sweep, "study-000", Doing(suspended), never) is None
    assert sweep.state("study-000").status == "running"  # the other's word stands


def test_errors_are_in_the_study_s_log(tmp_path):
    sweep = sweep_studies.make(tmp_path / "sweep", 2)

    def bug(*_):
        raise ZeroDivisionError("a bug")

    def mistake(*_):
        raise UserError("mend it")

    for _ in range(3):
        state = worker.run(sweep, "study-000", Doing(bug), never)
    assert state.status == "failed" and len(state.failures) == 3
    assert sweep.log_path("study-000").read_text().count("ZeroDivisionError: a bug") == 3
    assert worker.run(sweep, "study-001", Doing(mistake), never).status == "failed"
    assert sweep.log_path("study-001").read_text() == "error 1: mend it\n"


@pytest.mark.parametrize(
    "error, message",
    [
        (OSError(errno.ENOSPC, "No space left on device"), "no space left on device.*intact"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "no space left on device.*intact"),
    ],
)
def test_a_full_disk_is_no_failure_of_the_study(tmp_path, error, message):
    sweep = sweep_studies.make(tmp_path / "sweep", 1)

    def full(*_):
        raise error

    with pytest.raises(UserError, match=message):
        worker.run(sweep, "study-000", Doing(full), never)
    state = sweep.state("study-000")
    assert (state.status, state.failures, state.deaths) == ("waiting", (), 0)


def test_a_machine_that_does_not_serve_sets_nothing_aside(tmp_path):
    sweep = sweep_studies.make(tmp_path / "sweep", 1)
    with pytest.raises(UserError, match="no backend here"):
        worker.run(sweep, "study-000", sweep_studies.RUNNERS["unprepared"], never)
    assert sweep.state("study-000").status == "waiting"
    (sweep.study_path("study-000")).mkdir()
    (sweep.study_path("study-000") / "lease.lock").mkdir()
    with pytest.raises(UserError, match=r"cannot use .*lease\.lock.*intact"):
        worker.run(sweep, "study-000", Quick(), never)
    assert sweep.state("study-000").status == "waiting"


def test_a_lease_from_elsewhere_is_free_once_it_is_silent(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("tuning.study.lease.time.monotonic", lambda: now[0])
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
    assert watch.silent(tmp_path) is None
    now[0] += 2.0
    assert watch.is_free(tmp_path)
    # Whoever has watched it need not wait again.
    assert watch.silent(tmp_path) == path.read_bytes()
    monkeypatch.setattr("tuning.study.lease.time.sleep", pytest.fail)
    lease = Lease(tmp_path)
    lease.acquire(watch.silent(tmp_path))
    lease.release()


def test_a_lease_that_moved_after_all_is_not_taken(tmp_path):
    """What counts is the lease that was seen silent, not its directory."""
    path, other = tmp_path / "lease.json", tmp_path / "other"

    def beat(count):
        other.write_text(json.dumps({"pid": 1, "host": "elsewhere", "heartbeat": count}))
        os.replace(other, path)

    beat(0)
    silent = path.read_bytes()
    beat(1)
    threading.Timer(0.1, beat, [2]).start()
    with pytest.raises(UserError, match="in use by process 1"):
        Lease(tmp_path, patience=0.4, interval=0.1).acquire(silent)
