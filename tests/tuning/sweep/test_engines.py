"""Sweeps in real processes that are killed: nothing is lost or done twice."""

import json
import os
import pathlib
import random
import signal
import stat
import subprocess
import sys
import time
import types

import pytest
import sweep_studies
from processes import children
from sweep_studies import begun, expected, finish, found, start, wait_for

from rnn_zoo.files import locked
from trainer.errors import UserError
from tuning.sweep import ray_core
from tuning.sweep.status import SweepDisplay

#: A short patience, for tests that wait for it.
PATIENCE = 1.0


def studying(sweep):
    """Return study -> id of the process that owns it."""
    pids = {}
    for path in sweep.path.glob("studies/*/lease.json"):
        try:
            pids[path.parent.name] = json.loads(path.read_text())["pid"]
        except (OSError, ValueError):
            continue
    return {study: pid for study, pid in pids.items() if os.path.exists(f"/proc/{pid}")}


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_workers_killed_at_random(engine, tmp_path):
    sweep, rng, kills = sweep_studies.make(tmp_path / "sweep", 60), random.Random(1), 0
    process = start(sweep, engine, 3)
    while process.poll() is None:
        time.sleep(0.15 * rng.random())
        attempts = [(study, str(pid)) for study, pid in studying(sweep).items()]
        victims = [int(pid) for study, pid in attempts if (study, pid) in begun(sweep)]
        if kills < 25 and victims:
            kills += kill(rng.choice(victims))
    code, stdout, stderr = finish(process)
    assert (code, stderr) == (0, ""), stdout
    assert kills >= 20
    assert found(sweep) == expected(sweep)
    assert all(sweep.state(name).status == "done" for name in sweep.specs)
    assert len(begun(sweep)) > len(sweep.specs)  # killed ones were restarted


def test_the_driver_is_killed_and_restarted(engine, tmp_path):
    sweep = sweep_studies.make(tmp_path / "sweep", 12)
    process = start(sweep, engine, 2)
    wait_for(lambda: sum(map(len, found_so_far(sweep).values())) > 5)
    owners = studying(sweep)
    process.kill()
    process.communicate()
    # Workers end with their driver.
    wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in owners.values()))
    if engine == "local":  # Ray kills its workers with the cluster
        wait_for(lambda: all(sweep.state(n).status != "running" for n in sweep.specs))
    assert not all(sweep.state(name).is_over for name in sweep.specs)
    code, stdout, stderr = finish(start(sweep, engine, 2))
    assert (code, stderr) == (0, ""), stdout
    assert found(sweep) == expected(sweep)
    # Finished studies are not started again.
    attempts = len(begun(sweep))
    assert finish(start(sweep, "local", 2))[0] == 0
    assert len(begun(sweep)) == attempts


def found_so_far(sweep):
    return {
        path.parent.name: path.read_bytes().splitlines()
        for path in sweep.path.glob("studies/*/trials.jsonl")
    }


@pytest.mark.slow
def test_two_drivers_share_the_work(engine, tmp_path):
    """They may use different engines."""
    sweep = sweep_studies.make(tmp_path / "sweep", 60)
    second = start(sweep, engine, 2)
    if engine == "ray":
        wait_for(lambda: studying(sweep))
    drivers = [second, start(sweep, "local", 2)]
    assert [finish(driver)[0] for driver in drivers] == [0, 0]
    assert found(sweep) == expected(sweep)
    attempts = begun(sweep)
    assert len(attempts) == len(sweep.specs)  # each by a single process
    # Each driver has two processes, so three are of both. One may starve on a busy machine.
    assert len({pid for _, pid in attempts}) > 2


def test_a_dead_machine_s_study_is_taken_over(tmp_path):
    """Its clock was a day ahead, which must not matter."""
    sweep = sweep_studies.make(tmp_path / "sweep", 3)
    path = sweep.study_path("study-001")
    path.mkdir()
    lease = path / "lease.json"
    lease.write_text(json.dumps({"pid": 4, "host": "elsewhere", "heartbeat": 7}))
    os.utime(lease, (time.time() + 86_400,) * 2)
    began = time.monotonic()
    code, stdout, stderr = finish(start(sweep, "local", 2, "quick", 4000, PATIENCE))
    assert (code, stderr) == (0, ""), stdout
    assert found(sweep) == expected(sweep)
    assert time.monotonic() - began > PATIENCE  # it might have been alive


@pytest.mark.slow
def test_a_full_disk_stops_a_sweep_that_can_be_continued(engine, disk):
    home = disk("300k")
    sweep = sweep_studies.make(home / "sweep", 15)
    code, stdout, stderr = finish(start(sweep, engine))
    assert code == 2, stdout
    assert stderr.count("\n") == 1 and "no space left on device" in stderr
    disk("20m", ["remount"])
    code, stdout, stderr = finish(start(sweep))
    assert (code, stderr) == (0, ""), stdout
    assert found(sweep) == expected(sweep)


@pytest.mark.slow
def test_a_failing_study_does_not_stop_the_others(tmp_path):
    sweep = sweep_studies.make(tmp_path / "sweep", 8)
    code, stdout, stderr = finish(start(sweep, "local", 2, "failing"))
    assert (code, stderr) == (0, ""), stdout
    states = {name[-1]: sweep.state(name) for name in sweep.specs}
    assert [states[n].status for n in "0123"] == ["done", "failed", "failed", "failed"]
    assert all(states[n].status == "done" for n in "4567")
    assert len(states["1"].failures) == 3
    assert "ZeroDivisionError: a bug in study-001" in states["1"].failures[-1]
    assert "sweep_studies.py" in states["1"].failures[-1]
    assert states["2"].failures == ("no such file",)
    assert states["3"].deaths == 20 and "died 20 times" in states["3"].failures[-1]
    log = sweep.log_path("study-001").read_text()
    assert log.count("ZeroDivisionError: a bug in study-001") == 3


def test_a_signal_stops_it_cleanly(tmp_path):
    sweep = sweep_studies.make(tmp_path / "sweep", 12)
    process = start(sweep, "local", 2, "slow")
    wait_for(lambda: studying(sweep))
    process.send_signal(signal.SIGTERM)
    code, stdout, stderr = finish(process)
    assert (code, stderr) == (130, ""), stdout
    assert "stopping" in stdout
    assert not list(sweep.path.glob("studies/*/lease.json"))
    assert {sweep.state(name).status for name in sweep.specs} <= {"waiting", "done"}
    assert all(sweep.state(name).deaths == 0 for name in sweep.specs)


def test_a_signal_to_all_processes_stops_them_cleanly(tmp_path):
    """A batch system signals every process, and the engine signals its own once more."""
    sweep = sweep_studies.make(tmp_path / "sweep", 12)
    process = start(sweep, "local", 2, "slow", group=True)
    wait_for(lambda: len(studying(sweep)) == 2)
    os.killpg(process.pid, signal.SIGTERM)
    code, stdout, stderr = finish(process)
    assert (code, stderr) == (130, ""), stdout
    assert not list(sweep.path.glob("studies/*/lease.json"))
    assert all(sweep.state(name).status != "running" for name in sweep.specs)


def test_an_unusable_machine_is_one_line(engine, tmp_path):
    sweep = sweep_studies.make(tmp_path / "sweep", 4)
    code, stdout, stderr = finish(start(sweep, engine, 2, "unprepared"))
    assert (code, stderr) == (2, "no backend here\n"), stdout
    assert all(sweep.state(name).status == "waiting" for name in sweep.specs)


def test_a_bug_outside_of_studies_is_an_error_with_its_traceback(tmp_path):
    """It is not retried: every new process would meet it."""
    sweep = sweep_studies.make(tmp_path / "sweep", 4)
    code, stdout, stderr = finish(start(sweep, "local", 2, "broken"))
    assert code == 1, stdout
    assert "ZeroDivisionError" in stderr and "in prepare" in stderr
    assert all(sweep.state(name).status == "waiting" for name in sweep.specs)


@pytest.mark.slow
def test_a_process_is_replaced_once_it_has_grown(tmp_path):
    for limit, kept in ((4000, True), (1, False)):
        sweep = sweep_studies.make(tmp_path / str(limit), 10)
        code, _, stderr = finish(start(sweep, "local", 2, "instant", limit))
        assert (code, stderr) == (0, "")
        processes = {pid for _, pid in begun(sweep)}
        assert len(processes) <= 2 if kept else len(processes) == 10


def test_ray_is_closed_to_other_machines(tmp_path, monkeypatch):
    """It listens only on the loopback address, and requires the token.

    Its tasks do not search the working directory, as the driver does not.
    """
    pytest.importorskip("ray")
    sweep = sweep_studies.make(tmp_path / "sweep", 4)
    (tmp_path / "sweep_studies.py").write_text("raise SystemExit('it ran')")
    monkeypatch.chdir(tmp_path)
    before = listening()
    process = start(sweep, "ray", 2, "slow", PYTHONSAFEPATH="1")
    wait_for(lambda: studying(sweep))
    opened = listening() - before
    assert opened and all(address in LOOPBACK for address, _ in opened), opened
    refused = try_without_token([port for _, port in opened])
    assert "accepted" not in refused and "refused" in refused
    code, stdout, stderr = finish(process)
    assert (code, stderr) == (0, ""), stdout
    assert found(sweep) == expected(sweep)
    assert "Ray with 2 CPUs" in stdout


def test_ray_s_files_are_in_a_directory_of_this_user_s(tmp_path, monkeypatch):
    """Ray opens its own directory to all users."""
    modes = {}
    for name in ("killed", "alive"):
        (tmp_path / f"rnn-zoo-{name}/ray").mkdir(parents=True)
        (tmp_path / f"rnn-zoo-{name}/driver.lock").touch()

    def init(_temp_dir, **_):
        modes["private"] = pathlib.Path(_temp_dir).parent.stat().st_mode
        modes["place"] = pathlib.Path(_temp_dir).parent.parent
        raise RuntimeError("no Ray here")

    errors = types.SimpleNamespace(RayError=KeyError)
    monkeypatch.setitem(sys.modules, "ray", types.SimpleNamespace(init=init, exceptions=errors))
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    sweep = sweep_studies.make(tmp_path / "sweep", 1)
    settings = ray_core.Settings(None, 1, None, 4000)
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"):
        monkeypatch.setenv(name, "")
    with (
        locked(tmp_path / "rnn-zoo-alive/driver.lock"),
        pytest.raises(UserError, match="Ray cannot be started: no Ray here"),
    ):
        ray_core.run(sweep, None, settings, SweepDisplay())
    assert modes == {"private": stat.S_IFDIR | 0o700, "place": tmp_path}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rnn-zoo-alive", "sweep"]


@pytest.mark.slow
def test_a_ray_that_dies_is_one_line(tmp_path):
    pytest.importorskip("ray")
    sweep = sweep_studies.make(tmp_path / "sweep", 12)
    process = start(sweep, "ray", 2, "slow")
    wait_for(lambda: studying(sweep))
    (raylet,) = [each for each in children(process.pid) if _command(each).endswith("/raylet")]
    os.kill(raylet, signal.SIGKILL)
    code, _, stderr = finish(process)
    assert code == 2 and stderr.startswith("Ray has failed: ")
    assert stderr.endswith("; the same command continues the sweep\n") and stderr.count("\n") == 1
    code, stdout, stderr = finish(start(sweep, "ray", 2, "quick"))
    assert (code, stderr) == (0, ""), stdout
    assert found(sweep) == expected(sweep)


def _command(pid):
    return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()


#: 127.0.0.1, ::1 and ::ffff:127.0.0.1 in the format of /proc/net/tcp and tcp6.
LOOPBACK = ("0100007F", "0" * 24 + "01000000", "0000000000000000FFFF00000100007F")


def listening():
    """Return (address, port) of every listening socket of this machine."""
    found = set()
    for name in ("tcp", "tcp6"):
        for line in pathlib.Path("/proc/net", name).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                address, port = fields[1].split(":")
                found.add((address, int(port, 16)))
    return found


def try_without_token(ports):
    """Return the answers of ports to a request for the cluster's id without a token."""
    code = (
        "import grpc, sys\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "def ask(port):\n"
        "    channel = grpc.insecure_channel('127.0.0.1:' + port)\n"
        "    call = channel.unary_unary('/ray.rpc.NodeInfoGcsService/GetClusterId')\n"
        "    try:\n"
        "        call(b'', timeout=5)\n"
        "        return 'accepted'\n"
        "    except grpc.RpcError as error:\n"
        "        is_refused = error.code() == grpc.StatusCode.UNAUTHENTICATED\n"
        "        return 'refused' if is_refused else 'other'\n"
        "print(*ThreadPoolExecutor().map(ask, sys.argv[1:]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, ports)], capture_output=True, text=True, check=True
    )
    return done.stdout.split()
