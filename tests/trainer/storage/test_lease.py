"""Leases between processes that are killed, suspended and forked."""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from processes import environment

from rnn_zoo.files import write_json
from trainer.errors import UserError
from trainer.storage.lease import Lease, LeaseLost, Watch

PATIENCE, INTERVAL = 0.6, 0.1
#: Longer than any test: an answer in less time has not waited for it.
LONG = 60.0
DAYS = 86400.0

#: Reads commands, one JSON list per line, and answers each with a line of JSON.
WORKER = """
import json, os, sys, time
from trainer.errors import UserError
from trainer.storage.lease import Lease, LeaseLost, Watch

lease = None

def acquire(directory, patience, interval, at=0.0):
    global lease
    lease = Lease(directory, patience, interval)
    time.sleep(max(0.0, at - time.monotonic()))
    lease.acquire()

def fork(seconds):
    # While the lock is held, as during a heartbeat; the child inherits its descriptor.
    with lease._locked():
        pid = os.fork()
        if not pid:
            time.sleep(seconds)
            lease.release()
            try:
                lease.check()
            except LeaseLost:
                os._exit(7)
            os._exit(0)
    return pid

def wait(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def check():
    lease.check()

def failed():
    return lease.failure is not None

def release():
    lease.release()

for line in sys.stdin:
    name, *arguments = json.loads(line)
    try:
        answer = ["ok", globals()[name](*arguments)]
    except (UserError, LeaseLost) as error:
        answer = [type(error).__name__, str(error)]
    print(json.dumps(answer), flush=True)
"""


class Worker:
    """A process that obeys commands on a lease."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self.process.pid

    def tell(self, *order):
        self.process.stdin.write(json.dumps([str(order[0]), *order[1:]]) + "\n")
        self.process.stdin.flush()

    def answer(self):
        return json.loads(self.process.stdout.readline())

    def ask(self, *order):
        self.tell(*order)
        return self.answer()

    def acquire(self, directory, patience=PATIENCE, interval=INTERVAL):
        return self.ask("acquire", str(directory), patience, interval)

    def kill(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def workers():
    """Start workers, and kill them after the test."""
    started = []

    def start(count):
        started.extend(Worker() for _ in range(count))
        return started[-count:]

    yield start
    for worker in started:
        worker.kill()
        worker.process.stdin.close()
        worker.process.stdout.close()


@pytest.fixture
def record(tmp_path):
    """The record of this process as an owner, from a lease that was released."""
    with Lease(tmp_path):
        return read(tmp_path)


def read(directory):
    return json.loads((directory / "lease.json").read_text())


def wait_until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextlib.contextmanager
def locked(directory):
    """Hold the lock on the lease's files."""
    with open(directory / "lease.lock", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def elsewhere(directory, owner, skew):
    """Simulate a remote owner with heartbeats and a wrong clock."""
    ended = threading.Event()

    def beat():
        for count in range(10**6):
            write_json(directory / "lease.json", owner | {"heartbeat": count})
            times = 2 * (time.time() + skew,)
            os.utime(directory / "lease.json", times)
            if ended.wait(INTERVAL):
                return

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        wait_until((directory / "lease.json").exists)
        yield
    finally:
        ended.set()
        thread.join()


def test_second_process_is_refused_in_one_line_that_names_the_owner(tmp_path, workers):
    first, second = workers(2)
    assert first.acquire(tmp_path) == ["ok", None]
    owner = read(tmp_path)
    assert owner["pid"] == first.pid
    kind, message = second.acquire(tmp_path)
    assert kind == "UserError"
    assert f"process {first.pid} on host {owner['host']}" in message
    assert "choose another directory" in message
    assert "\n" not in message
    assert first.ask("check") == ["ok", None]
    assert second.ask("check")[0] == "LeaseLost"
    assert first.ask("release") == ["ok", None]
    assert second.acquire(tmp_path) == ["ok", None]


def test_heart_beats(tmp_path):
    with Lease(tmp_path, PATIENCE, INTERVAL):
        first = read(tmp_path)
        wait_until(lambda: read(tmp_path)["heartbeat"] >= 3)
        assert read(tmp_path) | {"heartbeat": 0} == first | {"heartbeat": 0}


def test_release_leaves_no_file_and_may_be_repeated(tmp_path):
    lease = Lease(tmp_path, PATIENCE, INTERVAL)
    lease.release()
    with lease:
        lease.check()
        with pytest.raises(UserError, match=f"process {os.getpid()} "):
            lease.acquire()
    lease.release()
    assert os.listdir(tmp_path) == []
    with pytest.raises(LeaseLost):
        lease.check()
    with lease:
        lease.check()


def test_a_lease_ends_though_its_file_stays(tmp_path, monkeypatch):
    """As on a disk without a free inode, where no lock can be made."""
    lease = Lease(tmp_path, LONG, INTERVAL)
    lease.acquire()
    with monkeypatch.context() as patch:
        patch.setattr("trainer.storage.lease.locked", lambda *_: (_ for _ in ()).throw(OSError()))
        lease.release()
    assert (tmp_path / "lease.json").exists()
    again = Lease(tmp_path, LONG, INTERVAL)
    again.acquire()
    again.release()


def test_a_lease_is_held_before_its_file_is_there(tmp_path, monkeypatch):
    """Else another thread would take it over as one that has ended."""
    from trainer.storage import lease as module

    def write(path, record):
        assert record["token"] in module._held
        write_json(path, record)

    monkeypatch.setattr(module, "write_json", write)
    with Lease(tmp_path, LONG):
        assert (tmp_path / "lease.json").exists()


def test_interval_must_fit_in_patience(tmp_path):
    with pytest.raises(ValueError, match=r"interval 6\.0 .* 5\.0"):
        Lease(tmp_path, patience=10.0, interval=6.0)


def test_missing_directory_is_refused(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        Lease(tmp_path / "none").acquire()


@pytest.mark.parametrize("reaped", [False, True])
def test_killed_owner_is_replaced_at_once(tmp_path, workers, reaped):
    first, second = workers(2)
    first.acquire(tmp_path, LONG)
    # As after a kill in the middle of a write.
    (tmp_path / ".lease.json.0123abcd.partial").touch()
    first.process.kill()
    os.waitid(os.P_PID, first.pid, os.WEXITED | os.WNOWAIT)
    if reaped:
        first.process.wait()
    begin = time.monotonic()
    assert second.acquire(tmp_path, LONG) == ["ok", None]
    assert time.monotonic() - begin < LONG / 4
    assert read(tmp_path)["pid"] == second.pid
    assert os.listdir(tmp_path) == ["lease.json"]


def test_recycled_process_id_is_not_the_owner(tmp_path, record):
    write_json(tmp_path / "lease.json", record | {"start": record["start"] - 1})
    begin = time.monotonic()
    with Lease(tmp_path, LONG) as lease:
        lease.check()
    assert time.monotonic() - begin < LONG / 4
    with (
        Lease(tmp_path, LONG),
        pytest.raises(UserError, match=f"process {os.getpid()} "),
    ):
        Lease(tmp_path, LONG).acquire()


@pytest.mark.parametrize(
    ("key", "skew"),
    [
        ("host", -1000 * DAYS),
        ("host", 0.0),
        ("host", 1000 * DAYS),
        ("boot_id", 0.0),
        ("pid_namespace", 0.0),
    ],
)
def test_silent_remote_owner_is_replaced_after_patience(tmp_path, record, key, skew):
    # A living process here has its id and start time, which must not matter.
    write_json(tmp_path / "lease.json", record | {key: "elsewhere"})
    os.utime(tmp_path / "lease.json", 2 * (time.time() + skew,))
    begin = time.monotonic()
    with Lease(tmp_path, PATIENCE / 2, INTERVAL) as lease:
        assert time.monotonic() - begin >= PATIENCE / 2
        lease.check()


@pytest.mark.parametrize("skew", [-1000 * DAYS, 0.0, 1000 * DAYS])
def test_living_remote_owner_is_not_replaced(tmp_path, record, skew):
    # No process here has this id, which must not matter either.
    owner = record | {"host": "elsewhere", "pid": 2**22 + 1}
    with elsewhere(tmp_path, owner, skew):
        with pytest.raises(UserError, match=f"process {2**22 + 1} on host elsewhere"):
            Lease(tmp_path, LONG, INTERVAL).acquire()
        assert read(tmp_path)["token"] == record["token"]


def test_remote_owner_that_releases_is_replaced_at_once(tmp_path, record, workers):
    write_json(tmp_path / "lease.json", record | {"host": "elsewhere"})
    (worker,) = workers(1)
    worker.tell("acquire", str(tmp_path), LONG, INTERVAL)
    time.sleep(0.5)
    (tmp_path / "lease.json").unlink()
    assert worker.answer() == ["ok", None]


@pytest.mark.parametrize("content", [b"", b'{"pid": 1', b"[]", b'{"pid": "1"}', b"\xff\x00"])
def test_damaged_file_is_treated_as_a_remote_owner(tmp_path, content):
    (tmp_path / "lease.json").write_bytes(content)
    begin = time.monotonic()
    with Lease(tmp_path, PATIENCE / 2, INTERVAL):
        assert time.monotonic() - begin >= PATIENCE / 2


def stale_here(record):
    return record | {"start": 1}


def stale_elsewhere(record):
    return record | {"host": "elsewhere"}


@pytest.mark.parametrize("stale", [stale_here, stale_elsewhere])
def test_exactly_one_of_many_takes_over(tmp_path, record, workers, stale):
    many = workers(4)
    for number in range(3):
        directory = tmp_path / str(number)
        directory.mkdir()
        write_json(directory / "lease.json", stale(record))
        at = time.monotonic() + 0.05
        for worker in many:
            worker.tell("acquire", str(directory), PATIENCE, INTERVAL, at)
        answers = [worker.answer() for worker in many]
        (winner,) = [w for w, (kind, _) in zip(many, answers, strict=True) if kind == "ok"]
        for kind, message in answers:
            assert kind == "ok" or f"process {winner.pid} " in message
        assert winner.ask("check") == ["ok", None]
        winner.ask("release")


def test_suspended_local_owner_is_not_replaced(tmp_path, workers):
    first, second = workers(2)
    first.acquire(tmp_path)
    with locked(tmp_path):
        os.kill(first.pid, signal.SIGSTOP)
    time.sleep(PATIENCE)
    assert second.acquire(tmp_path)[0] == "UserError"


def test_process_suspended_in_the_critical_section_blocks_nobody(tmp_path):
    with locked(tmp_path), pytest.raises(UserError, match=r"lease\.lock is held"):
        Lease(tmp_path, PATIENCE / 2, INTERVAL).acquire()


def test_lost_lease_is_noticed_and_left_alone(tmp_path, workers):
    first, second = workers(2)
    first.acquire(tmp_path)
    with locked(tmp_path):
        os.kill(first.pid, signal.SIGSTOP)
        # As if the owner were on another machine.
        write_json(tmp_path / "lease.json", read(tmp_path) | {"host": "elsewhere"})
    assert second.acquire(tmp_path) == ["ok", None]
    os.kill(first.pid, signal.SIGCONT)
    kind, message = first.ask("check")
    assert kind == "LeaseLost"
    assert str(tmp_path) in message
    time.sleep(3 * INTERVAL)
    assert first.ask("release") == ["ok", None]
    assert read(tmp_path)["pid"] == second.pid
    assert second.ask("check") == ["ok", None]


def test_lost_lease_is_noticed_before_the_next_heartbeat(tmp_path, record):
    with Lease(tmp_path, LONG, LONG / 2) as lease:
        lease.check()
        write_json(tmp_path / "lease.json", record)
        with pytest.raises(LeaseLost):
            lease.check()
    assert read(tmp_path) == record


def test_lost_lease_stays_lost(tmp_path):
    lease = Lease(tmp_path, PATIENCE, INTERVAL)
    with lease:
        mine = (tmp_path / "lease.json").read_bytes()
        (tmp_path / "lease.json").unlink()
        lease._heart.join(10)
        assert not lease._heart.is_alive()
        (tmp_path / "lease.json").write_bytes(mine)
        with pytest.raises(LeaseLost):
            lease.check()


def test_heartbeats_go_on_after_disk_errors(tmp_path, workers):
    directory = tmp_path / "study"
    directory.mkdir()
    (worker,) = workers(1)
    worker.acquire(directory)
    assert worker.ask("failed") == ["ok", False]
    with locked(directory):
        directory.rename(tmp_path / "away")
    wait_until(lambda: worker.ask("failed") == ["ok", True])
    (tmp_path / "away").rename(directory)
    before = read(directory)["heartbeat"]
    wait_until(lambda: read(directory)["heartbeat"] > before)
    wait_until(lambda: worker.ask("failed") == ["ok", False])
    assert worker.ask("check") == ["ok", None]


def test_forked_child_does_not_hold_the_lease(tmp_path, workers):
    first, second = workers(2)
    first.acquire(tmp_path)
    kind, child = first.ask("fork", 2 * INTERVAL)
    assert kind == "ok"
    assert first.ask("wait", child) == ["ok", 7]
    assert first.ask("check") == ["ok", None]
    _, child = first.ask("fork", LONG)
    try:
        # The child inherits the lock's descriptor, but must hold neither lock nor lease.
        before = read(tmp_path)["heartbeat"]
        wait_until(lambda: read(tmp_path)["heartbeat"] > before)
        first.kill()
        after = read(tmp_path)
        time.sleep(3 * INTERVAL)
        assert read(tmp_path) == after
        assert second.acquire(tmp_path, LONG) == ["ok", None]
    finally:
        os.kill(child, signal.SIGKILL)


def test_nobody_takes_over_during_a_change(tmp_path, record):
    with Lease(tmp_path, PATIENCE, INTERVAL) as lease, lease.held():
        # As if the owner were on another machine, and suspended.
        write_json(tmp_path / "lease.json", record | {"host": "elsewhere"})
        with pytest.raises(UserError, match=r"lease\.lock is held"):
            Lease(tmp_path, PATIENCE / 2, INTERVAL).acquire()
        assert read(tmp_path)["token"] == record["token"]


def test_nothing_is_changed_without_the_lease(tmp_path, record):
    with Lease(tmp_path, LONG, LONG / 2) as lease:
        with lease.held():
            lease.check()
        write_json(tmp_path / "lease.json", record)
        with pytest.raises(LeaseLost), lease.held():
            pytest.fail("the lease is another's")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_something_else_in_place_of_the_file_is_refused(tmp_path, make):
    make(tmp_path / "lease.json")
    with pytest.raises(UserError, match="it is not a regular file"):
        Lease(tmp_path).acquire()
    assert Watch().is_free(tmp_path)  # whoever takes it says so


def test_a_large_file_in_place_of_the_lease_is_not_read(tmp_path):
    with open(tmp_path / "lease.json", "wb") as file:
        file.truncate(2**30)
    with pytest.raises(UserError, match="File too large"):
        Lease(tmp_path).acquire()


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "lease.lock").symlink_to("mine")
    with pytest.raises(UserError, match="cannot take the lease"):
        Lease(tmp_path).acquire()
    assert (tmp_path / "mine").read_text() == "mine"
