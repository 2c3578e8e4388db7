"""The loop of one process: which study it takes, and how the end is recorded."""

import errno
import itertools
import json
import multiprocessing
import os
import threading
from types import SimpleNamespace

import pytest
import sweep_studies
from sweep_studies import Quick

from trainer import Callback, UserError
from trainer.storage.lease import Lease, Watch
from tuning.sweep import local, worker
from tuning.sweep.directory import State, Sweep


def never():
    return False


def test_studies_are_yielded_in_order_until_they_are_over(tmp_path):
    sweep, order = sweep_studies.make(tmp_path / "sweep", 4), []
    for name, _ in worker.free_studies(sweep, never):
        order.append(name[-1])
        over = name != "study-001" or order.count("1") == 3
        sweep.write_state(name, sweep.state(name).failed("", is_final=over))
    assert order == [*"012311"]


def test_a_study_of_names_that_are_not_registered_is_left_to_others(tmp_path):
    """Another process, which has imported them, may have added it while this one runs."""
    sweep = sweep_studies.make(tmp_path / "sweep", 2)
    manifest = json.loads((sweep.path / "sweep.json").read_text())
    del manifest["crc32"]
    manifest["studies"][0]["config"]["arch"] = "no_such.cell"
    (sweep.path / "sweep.json").write_text(json.dumps(manifest))
    sweep.refresh()
    assert list(sweep.specs) == ["study-000", "study-001"] and sweep.runnable == ["study-001"]
    yielded = [name for name, _ in itertools.islice(worker.free_studies(sweep, lambda: False), 3)]
    assert yielded == ["study-001"] * 3
    assert Sweep.open(sweep.path, lenient=True).runnable == ["study-001"]
    with pytest.raises(UserError, match=r"architecture .no_such\.cell.*--import=no_such"):
        Sweep.open(sweep.path)
    manifest["studies"][1]["study"]["ranges"]["optimizer"] = ["adam", "other.lion"]
    (sweep.path / "sweep.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=r"--import=no_such --import=other$"):
        Sweep.open(sweep.path)


def test_an_owned_study_is_skipped(tmp_path, monkeypatch):
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
    """A runner that calls a function."""

    def __init__(self, action):
        super().__init__()
        object.__setattr__(self, "action", action)

    def run(self, *arguments):
        return self.action(*arguments)


def test_what_a_callback_prints_is_in_the_log_of_its_study(tmp_path, capsys):
    class Printing(Callback):
        def on_end(self, record):
            print("ended", record["run_id"])

    sweep = sweep_studies.make_chain(tmp_path / "sweep", [1000], num_trials=1)
    (name,) = sweep.specs
    runner = sweep_studies.Untrained(callbacks=(Printing(),))
    state = worker.run(sweep, name, runner, never)
    assert state.status == "done", state.failures
    assert "\nended 00000\n" in sweep.log_path(name).read_text()
    assert "ended" not in capsys.readouterr().out


def test_a_study_owned_by_another_is_not_run(tmp_path):
    sweep = sweep_studies.make(tmp_path / "sweep", 1)
    sweep.study_path("study-000").mkdir()
    with Lease(sweep.study_path("study-000")):
        assert worker.run(sweep, "study-000", Doing(pytest.fail), never) is None
    assert worker.run(sweep, "study-000", Quick(), never).status == "done"
    assert worker.run(sweep, "study-000", Doing(pytest.fail), never).status == "done"


def test_a_process_that_loses_its_lease_writes_no_more(tmp_path):
    sweep = sweep_studies.make(tmp_path / "sweep", 1)

    def suspended(sweep, name, lease, stop):
        path = sweep.study_path(name) / "lease.json"
        record = json.loads(path.read_text()) | {"token": "another's", "host": "elsewhere"}
        path.write_text(json.dumps(record))
        return True, ""

    assert worker.run(sweep, "study-000", Doing(suspended), never) is None
    assert sweep.state("study-000").status == "running"  # as the other process wrote it


def test_errors_are_written_to_the_study_s_log(tmp_path):
    sweep = sweep_studies.make(tmp_path / "sweep", 2)

    def bug(*_):
        raise ZeroDivisionError("a bug")

    def mistake(*_):
        raise UserError("fix it")

    for _ in range(3):
        state = worker.run(sweep, "study-000", Doing(bug), never)
    assert state.status == "failed" and len(state.failures) == 3
    assert sweep.log_path("study-000").read_text().count("ZeroDivisionError: a bug") == 3
    assert worker.run(sweep, "study-001", Doing(mistake), never).status == "failed"
    assert sweep.log_path("study-001").read_text() == "error 1: fix it\n"


@pytest.mark.parametrize(
    "error, message",
    [
        (OSError(errno.ENOSPC, "No space left on device"), "no space left on device.*intact"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "no space left on device.*intact"),
    ],
)
def test_a_full_disk_does_not_fail_the_study(tmp_path, error, message):
    sweep = sweep_studies.make(tmp_path / "sweep", 1)

    def full(*_):
        raise error

    with pytest.raises(UserError, match=message):
        worker.run(sweep, "study-000", Doing(full), never)
    state = sweep.state("study-000")
    assert (state.status, state.failures, state.deaths) == ("waiting", (), 0)


def test_an_unusable_machine_fails_no_study(tmp_path):
    sweep = sweep_studies.make(tmp_path / "sweep", 1)
    with pytest.raises(UserError, match="no backend here"):
        worker.run(sweep, "study-000", sweep_studies.RUNNERS["unprepared"], never)
    assert sweep.state("study-000").status == "waiting"
    (sweep.study_path("study-000")).mkdir()
    (sweep.study_path("study-000") / "lease.lock").mkdir()
    with pytest.raises(UserError, match=r"cannot use .*lease\.lock.*intact"):
        worker.run(sweep, "study-000", Quick(), never)
    assert sweep.state("study-000").status == "waiting"


def test_a_silent_remote_lease_becomes_free(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("trainer.storage.lease.time.monotonic", lambda: now[0])
    watch, path = Watch(patience=30.0), tmp_path / "lease.json"
    assert watch.is_free(tmp_path)

    def beat(count):
        path.write_text(json.dumps({"pid": 1, "host": "elsewhere", "heartbeat": count}))

    beat(0)
    for step in range(5):  # heartbeats, whatever the clocks say
        assert not watch.is_free(tmp_path)
        now[0] += 20.0
        beat(step + 1)
    assert not watch.is_free(tmp_path)
    now[0] += 29.0
    assert not watch.is_free(tmp_path)
    assert watch.silent(tmp_path) is None
    now[0] += 2.0
    assert watch.is_free(tmp_path)
    # A process that has watched it does not wait again.
    assert watch.silent(tmp_path) == path.read_bytes()
    monkeypatch.setattr("trainer.storage.lease.time.sleep", pytest.fail)
    lease = Lease(tmp_path)
    lease.acquire(watch.silent(tmp_path))
    lease.release()


def test_a_lease_that_changed_is_not_taken(tmp_path):
    """Only the very lease that was found silent may be taken over."""
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


def test_a_study_that_is_taken_while_the_engine_dies_is_given_back(tmp_path, monkeypatch):
    """It would count as a death otherwise."""
    sweep = sweep_studies.make(tmp_path / "sweep", 1)
    sweep.create()
    sweep.study_path("study-000").mkdir()
    ours, theirs = multiprocessing.Pipe()
    theirs.close()  # as when the parent has died
    monkeypatch.setattr(
        local.multiprocessing, "parent_process", lambda: SimpleNamespace(sentinel=ours)
    )
    monkeypatch.setattr(local, "LAST_LOOK", 10.0)
    exits, ending, life = [], threading.Event(), local._Life()
    monkeypatch.setattr(local.os, "_exit", exits.append)
    life.study = "study-000"
    last = threading.Thread(target=life.end_with_parent, args=(sweep, ending))
    last.start()
    assert ending.wait(10)
    with Lease(sweep.study_path("study-000")):
        sweep.write_state("study-000", State("running"))
        last.join()
    assert sweep.state("study-000").status == "waiting" and exits == [1]
