"""A lease on a study's directory: one process at a time owns it, on whichever machine it runs.

`lease.json` names the owner and counts its heartbeats. On its own machine the system tells whether
an owner lives. Elsewhere only a moving count does: clocks and times of files, which may be skewed,
are never compared. All changes are made under a lock on `lease.lock`, held for that moment only.
"""

import contextlib
import fcntl
import json
import math
import os
import pathlib
import secrets
import socket
import threading
import time

from trainer.errors import UserError
from trainer.storage.files import write_json

#: Seconds of silence after which an owner elsewhere counts as dead.
PATIENCE = 30.0


class LeaseLost(Exception):
    """The lease is not this process's; it must not write to the directory."""


class Lease:
    """The right to write to a directory, held from `acquire` to `release` or within a `with`.

    A forked child does not share it: there `check` raises and `release` does nothing.

    Args:
        directory: where `lease.json` and `lease.lock` lie; it must exist.
        patience: seconds of silence after which an owner elsewhere counts as dead; all that share
            the directory must agree on it.
        interval: seconds from one heartbeat to the next, at most half of `patience`.

    Attributes:
        failure: the OSError of the last heartbeat, as on a full disk, or None. The heart beats on,
            but from elsewhere an owner that cannot write looks dead.
    """

    def __init__(self, directory, patience=PATIENCE, interval=5.0):
        if not 0 < 2 * interval <= patience:
            raise ValueError(f"interval {interval} must be above 0, at most {patience / 2}")
        self.directory = pathlib.Path(directory)
        self.patience, self.interval, self.failure = patience, interval, None
        self._path = self.directory / "lease.json"
        self._record = self._ended = self._heart = None

    def __enter__(self):
        self.acquire()
        return self

    def __exit__(self, *exception):
        self.release()

    def acquire(self, silent=None):
        """Takes the lease: at once if it is free or its owner died here, else after `patience`.

        Args:
            silent: of `Watch.silent`, a lease whose owner is known to be dead already.

        Raises:
            UserError: a living process holds it, or the directory cannot be written.
        """
        try:
            while not self._take(silent):
                pass
        except OSError as error:
            raise UserError(
                f"cannot take the lease on {self.directory} ({error}); choose another directory"
            ) from None

    def check(self):
        """Returns if the lease is still this process's.

        Raises:
            LeaseLost: another took it over, as after a long suspension, or it was never acquired.
        """
        if not self._held() or self._ended.is_set() or not self._ours(self._record):
            raise LeaseLost(f"this process does not hold the lease on {self.directory} (any more)")

    def release(self):
        """Gives the lease back if this process holds it."""
        if not self._held():
            return
        self._ended.set()
        self._heart.join()
        # What cannot be removed is dead all the same once this process has ended.
        with contextlib.suppress(OSError), self._locked():
            if self._ours(self._record):
                self._path.unlink()
        self._record = None

    def _held(self):
        return self._record is not None and self._record["pid"] == os.getpid()

    def _ours(self, record):
        return _parse(self._read()).get("token") == record["token"]

    def _take(self, silent):
        """Takes the lease if its owner is dead; returns False if another was quicker."""
        seen = self._read()
        if seen not in (None, silent):
            self._refuse_living(seen)
        with self._locked():
            # Two may have judged the same owner; what the first has written was not judged.
            if self._read() != seen:
                return False
            # Whoever writes here holds the lock: these are of writers that were killed.
            for leftover in self.directory.glob(".lease.json.*"):
                leftover.unlink(missing_ok=True)
            record = _myself()
            write_json(self._path, record)
        self._record, self._ended, self.failure = record, threading.Event(), None
        self._heart = threading.Thread(target=self._beat, args=(record, self._ended), daemon=True)
        self._heart.start()
        return True

    def _refuse_living(self, seen):
        owner, pause = _parse(seen), self.interval / 2
        alive = _lives_here(owner)
        if alive is None:
            # Pauses are counted, not the time: while the file system hangs, all owners are silent.
            for _ in range(math.ceil(self.patience / pause)):
                time.sleep(pause)
                now = self._read()
                if now != seen:
                    break
            alive, owner = now not in (seen, None), _parse(now)
        if alive:
            raise UserError(
                f"{self.directory} is in use by process {owner.get('pid', '?')} on host "
                f"{owner.get('host', '?')}; wait for its end, stop it, or choose another directory"
            )

    def _beat(self, record, ended):
        while not ended.wait(self.interval):
            try:
                with self._locked():
                    if not self._ours(record):
                        ended.set()
                        break
                    record["heartbeat"] += 1
                    write_json(self._path, record)
                self.failure = None
            except OSError as error:
                self.failure = error

    @contextlib.contextmanager
    def _locked(self):
        descriptor = os.open(self.directory / "lease.lock", os.O_RDWR | os.O_CREAT, 0o666)
        deadline = time.monotonic() + self.patience
        try:
            while True:
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                # Others need milliseconds, unless one was suspended.
                if time.monotonic() > deadline:
                    raise TimeoutError("lease.lock is held by a process that does not go on")
                time.sleep(0.01)
            yield
        finally:
            # Closing would not do: a child forked meanwhile has the descriptor as well.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def _read(self):
        return _content(self.directory)


class Watch:
    """Tells which directories are free, at once, to one process that looks again and again.

    An owner elsewhere counts as dead once its lease has not changed for `patience` seconds since
    this first saw it.

    Args:
        patience: as of the leases.
    """

    def __init__(self, patience=PATIENCE):
        self.patience, self._seen = patience, {}

    def is_free(self, directory):
        """Whether the lease on a directory is free, or its owner dead."""
        content = _content(directory)
        if content is None:
            return True
        alive = _lives_here(_parse(content))
        if alive is not None:
            return not alive
        now = time.monotonic()
        before, since = self._seen.get(directory, (None, now))
        if before != content:
            self._seen[directory] = (content, now)
            return False
        return now - since > self.patience

    def silent(self, directory):
        """The lease of an owner elsewhere that was found dead, for `Lease.acquire`; or None."""
        content, since = self._seen.get(directory, (None, math.inf))
        return content if time.monotonic() - since > self.patience else None


def _content(directory):
    """The bytes of a lease, which may be damaged; None if there is none."""
    with contextlib.suppress(FileNotFoundError):
        return pathlib.Path(directory, "lease.json").read_bytes()


def _lives_here(owner):
    """Whether the owner of a lease runs on this machine; None for one that runs elsewhere."""
    # Processes that agree on these see each other's process ids.
    here = _myself()
    if all(owner.get(key) == here[key] for key in ("host", "boot_id", "pid_namespace")):
        return _alive(owner["pid"], owner.get("start"))
    return None


def _myself():
    """A new record of this process as the owner."""
    return {
        "host": socket.gethostname(),
        "boot_id": _proc("sys/kernel/random/boot_id"),
        "pid_namespace": os.path.basename(os.path.realpath("/proc/self/ns/pid")),
        "pid": os.getpid(),
        "start": _start(os.getpid()),
        "token": secrets.token_hex(16),
        "heartbeat": 0,
    }


def _alive(pid, start):
    """Whether the process with that id that started then runs here."""
    now = _start(pid)
    if now is not None:
        return now > 0 and start in (None, now)
    try:
        os.kill(pid, 0)
    except (OSError, OverflowError) as error:
        return isinstance(error, PermissionError)  # Another user's, which /proc may hide.
    return True


def _start(pid):
    """Clock ticks from boot to a process's start, 0 for a zombie, None where /proc is silent."""
    # The program's name, in parentheses, may have blanks and parentheses itself.
    fields = (_proc(f"{pid}/stat") or "").rpartition(")")[2].split()
    if not fields:
        return None
    return 0 if fields[0] in "ZX" else int(fields[19])


def _proc(name):
    with contextlib.suppress(OSError):
        return pathlib.Path("/proc", name).read_text(errors="replace").strip()


def _parse(content):
    """The owner's record; an empty one if there is none or it is damaged."""
    with contextlib.suppress(ValueError, TypeError, KeyError):
        record = json.loads(content or b"")
        if record["pid"] > 0:
            return record
    return {}
