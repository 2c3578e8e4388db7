"""A lease on the directory of a run or study, which one process on one machine holds at a time.

`lease.json` names the owner and counts its heartbeats. On the owner's machine, the operating system
tells whether the owner is alive. Other machines consider it alive as long as its count changes:
clocks and file times may be skewed and are never compared. All changes are made under a lock on
`lease.lock`, which is held only for the change; a process that is killed cannot leave it locked.
"""

import contextlib
import errno
import math
import os
import pathlib
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, Required, Self, TypedDict

from rnn_zoo.files import locked, write_json
from rnn_zoo.json_types import Size
from trainer.errors import UserError
from trainer.storage import json_files
from trainer.storage.files import read_bytes, remove_leftovers

#: Seconds without a heartbeat after which an owner on another machine is considered dead.
PATIENCE = 30.0
#: Most bytes of `lease.json`.
_MOST_BYTES = 2**16

#: Tokens of the leases that this process holds.
_held: set[str] = set()


class LeaseLost(UserError):
    """This process does not hold the lease and must not write to the directory."""


class Owner(TypedDict, total=False):
    """Content of `lease.json`: a process, its token, and the number of its heartbeats."""

    host: str
    boot_id: str | None
    pid_namespace: str
    pid: Required[Size]
    start: int | None
    token: str
    heartbeat: int


class Lease:
    """The right to write to a directory, held from `acquire` to `release` or as a context manager.

    A forked child does not hold it: there `check` raises and `release` does nothing.

    Args:
        directory: an existing directory, where `lease.json` and `lease.lock` are written.
        patience: seconds without a heartbeat after which an owner on another machine is considered
            dead; all processes that share the directory must use the same value.
        interval: seconds between heartbeats, at most half of `patience`.

    Attributes:
        failure: the OSError of the last heartbeat, for example on a full disk, or None. Heartbeats
            continue, but an owner that cannot write looks dead from other machines.
    """

    def __init__(
        self, directory: str | pathlib.Path, patience: float = PATIENCE, interval: float = 5.0
    ):
        if not 0 < 2 * interval <= patience:
            raise ValueError(f"interval {interval} must be above 0, at most {patience / 2}")
        self.directory = pathlib.Path(directory)
        self.patience, self.interval = patience, interval
        self.failure: OSError | None = None
        self._path = self.directory / "lease.json"
        self._record: dict[str, Any] | None = None
        self._ended = threading.Event()
        self._heart: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_) -> None:
        self.release()

    def acquire(self, silent: bytes | None = None) -> None:
        """Acquires the lease.

        This is immediate if the lease is free or its owner on this machine is dead. If the owner is
        on another machine, it takes `patience` seconds to find out.

        Args:
            silent: content of a lease whose owner is known to be dead, from `Watch.silent`.

        Raises:
            UserError: a living process holds it, or the directory is not writable.
        """
        try:
            while not self._take(silent):
                pass
        except OSError as error:
            raise UserError(
                f"cannot take the lease on {self.directory} ({error}); choose another directory"
            ) from None

    def check(self) -> None:
        """Check that this process still holds the lease.

        Raises:
            LeaseLost: it was never acquired, or another process took it over, which happens if this
                one was suspended for a long time.
        """
        if not self._is_mine() or self._ended.is_set() or not self._ours(self._record):
            raise LeaseLost(f"this process does not hold the lease on {self.directory}")

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Check the lease, and prevent it from being taken over during a `with` statement.

        All changes of the directory's files belong in such a statement: otherwise a process that is
        suspended between check and change overwrites files of the next owner. Heartbeats wait for
        its end.

        Raises:
            LeaseLost: as in `check`.
        """
        with self._locked():
            self.check()
            yield

    def release(self) -> None:
        """Release the lease if this process holds it."""
        record = self._record
        if record is None or not self._is_mine():
            return
        self._ended.set()
        if self._heart:
            self._heart.join()
        _held.discard(record["token"])  # the lease ends, even if the file cannot be removed
        with contextlib.suppress(OSError), self._locked():
            if self._ours(record):
                self._path.unlink()
        self._record = None

    def _is_mine(self):
        return self._record is not None and self._record["pid"] == os.getpid()

    def _ours(self, record):
        return _parse(self._read()).get("token") == record["token"]

    def _take(self, silent):
        """Take the lease if its owner is dead; return False if another process was faster."""
        seen = self._read()
        if seen not in (None, silent):
            self._refuse_living(seen)
        with self._locked():
            # Several processes may have found the same owner dead: only the first takes over.
            if self._read() != seen:
                return False
            # No other process writes to the directory.
            remove_leftovers(self.directory)
            record = _myself()
            # First, since another thread that reads the file would take over from an ended lease.
            _held.add(record["token"])
            write_json(self._path, record)
        self._record, self._ended, self.failure = record, threading.Event(), None
        self._heart = threading.Thread(target=self._beat, args=(record, self._ended), daemon=True)
        self._heart.start()
        return True

    def _refuse_living(self, seen):
        owner, pause = _parse(seen), self.interval / 2
        alive = _lives_here(owner)
        if alive is None:
            # Count pauses rather than time: while the file system hangs, no owner can write.
            for _ in range(math.ceil(self.patience / pause)):
                time.sleep(pause)
                now = self._read()
                if now != seen:
                    break
            alive, owner = now not in (seen, None), _parse(now)
        if alive:
            raise UserError(
                f"{self.directory} is in use by process {owner.get('pid', '?')} on host "
                f"{owner.get('host', '?')}; wait for it, stop it, or choose another directory"
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
    def _locked(self) -> Iterator[None]:
        """Lock lease.lock during a `with` statement."""
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(locked(self.directory / "lease.lock", self.patience))
            except BlockingIOError as error:
                # Others hold it for milliseconds, unless one was suspended meanwhile.
                message = "lease.lock is held by a suspended process"
                raise OSError(errno.ETIMEDOUT, message, error.filename) from None
            yield

    def _read(self):
        return _content(self.directory)


class Watch:
    """Non-blocking check of which directories are free, for a process that polls them.

    An owner on another machine is considered dead once its lease has not changed for `patience`
    seconds.

    Args:
        patience: the same as that of the leases.
    """

    def __init__(self, patience: float = PATIENCE):
        self.patience = patience
        self._seen: dict[str | pathlib.Path, tuple[bytes, float]] = {}

    def is_free(self, directory: str | pathlib.Path) -> bool:
        """Return whether the lease on a directory is free or its owner dead.

        One that cannot be read counts as free: `Lease.acquire` says what is wrong with it.
        """
        try:
            content = _content(directory)
        except OSError:
            content = None
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

    def silent(self, directory: str | pathlib.Path) -> bytes | None:
        """Return the lease of a dead remote owner, for `Lease.acquire`; None if there is none."""
        content, since = self._seen.get(directory, (None, math.inf))
        return content if time.monotonic() - since > self.patience else None


def _content(directory: str | pathlib.Path) -> bytes | None:
    """Read a lease, which may be damaged; return None if there is none."""
    with contextlib.suppress(FileNotFoundError):
        return read_bytes(pathlib.Path(directory, "lease.json"), _MOST_BYTES)
    return None


def _lives_here(owner):
    """Return whether the owner of a lease is alive; None if it is on another machine."""
    # Process ids are comparable only within one boot and one namespace.
    here = _myself()
    if all(owner.get(key) == here[key] for key in ("host", "boot_id", "pid_namespace")):
        is_released = owner["pid"] == here["pid"] and owner.get("token") not in _held
        return not is_released and _alive(owner["pid"], owner.get("start"))
    return None


def _myself():
    """Make a new record of this process as the owner."""
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
    """Return whether the process with this id and start time is alive."""
    # The start time tells it from a later process that was given the same id.
    now = _start(pid)
    if now is not None:
        return now > 0 and start in (None, now)
    try:
        os.kill(pid, 0)
    except (OSError, OverflowError) as error:
        return isinstance(error, PermissionError)  # another user's: /proc may hide it
    return True


def _start(pid):
    """Return clock ticks from boot to a process's start, 0 for a zombie, None if unknown."""
    # The second field, the program's name in parentheses, may contain blanks and parentheses.
    fields = (_proc(f"{pid}/stat") or "").rpartition(")")[2].split()
    if not fields:
        return None
    return 0 if fields[0] in "ZX" else int(fields[19])


def _proc(name: str) -> str | None:
    with contextlib.suppress(OSError):
        return pathlib.Path("/proc", name).read_text(errors="replace").strip()
    return None


def _parse(content: bytes | None) -> dict[str, Any]:
    """Return the owner's record; an empty one if there is none or it is damaged."""
    with contextlib.suppress(json_files.Damaged):
        return json_files.parse(content or b"", Owner, "lease.json")
    return {}
