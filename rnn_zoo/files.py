"""Atomic writes, and locks between processes."""

import contextlib
import errno
import fcntl
import json
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from typing import IO, Any


@contextlib.contextmanager
def whole(path: str | os.PathLike, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary file that is renamed to `path` when the block succeeds.

    A crash, a full disk or a kill leaves the old file, or none, but never a partial file. The
    temporary file that a kill leaves is removed by the next call for the same path.

    Args:
        path: the file to write; its directory must exist.
        mode: "wb", or "w" for text in UTF-8. Bytes of file names that are not UTF-8 become escapes,
            such as \\udcff.

    Raises:
        OSError: it cannot be written, or is something else, such as a device or a link, which
            would be replaced.
    """
    path = os.fspath(path)
    check_replaceable(path)
    directory = os.path.dirname(path) or "."
    name = f".{os.path.basename(path)}.{secrets.token_hex(4)}.partial"
    temporary = os.path.join(directory, name)
    try:
        _remove_leftovers(path)
        handle = _create(temporary)
        encoding, errors = (None, None) if "b" in mode else ("utf-8", "backslashreplace")
        with os.fdopen(handle, mode, encoding=encoding, errors=errors) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(temporary, path)  # before its lock ends
    except BaseException as error:
        # It may not exist, or its file system may have become read-only.
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        # Errors of writes name no file.
        if isinstance(error, OSError) and error.filename in (None, temporary):
            error.filename = path
        raise
    sync(directory)


def _create(temporary):
    """Create a temporary file, and lock it, which tells that its process lives."""
    while True:
        # `tempfile` would make the file unreadable for other users.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        handle = os.open(temporary, flags, 0o666)
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle
        os.close(handle)  # another process removed it before it was locked


def _remove_leftovers(path):
    """Remove the temporary files of `path` whose processes were killed."""
    directory, name = os.path.split(path)
    own = re.compile(rf"\.{re.escape(name)}\.[0-9a-f]{{8}}\.partial")
    with contextlib.suppress(OSError), os.scandir(directory or ".") as entries:
        for entry in [each for each in entries if own.fullmatch(each.name)]:
            with contextlib.suppress(OSError):
                handle = os.open(entry, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(entry)
                finally:
                    os.close(handle)


def check_replaceable(path: str | os.PathLike) -> None:
    """Raise an OSError if something is at the path that is not a regular file, such as a link."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise OSError(
                errno.EINVAL, "it is not a regular file, and is not replaced", os.fspath(path)
            )


@contextlib.contextmanager
def locked(path: str | os.PathLike, patience: float = 0.0) -> Iterator[None]:
    """Lock a file during a `with` statement; the file exists only meanwhile.

    The lock of a process that is killed is free.

    Args:
        path: the file; its directory must exist.
        patience: seconds to wait for another process that holds the lock.

    Raises:
        BlockingIOError: another process holds it.
    """
    deadline = time.monotonic() + patience
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its last owner may have removed it between the two calls above.
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                break
        except (BlockingIOError, FileNotFoundError):
            if time.monotonic() >= deadline:
                os.close(descriptor)
                raise BlockingIOError(errno.EAGAIN, "it is locked", os.fspath(path)) from None
        os.close(descriptor)
        time.sleep(0.01)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.unlink(path)
        # A forked child may have inherited the descriptor: closing it does not unlock.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write strict JSON; raise a ValueError for non-finite numbers."""
    with whole(path, "w") as file:
        json.dump(value, file, indent=2, allow_nan=False)
        file.write("\n")


def sync(path: str | os.PathLike) -> None:
    """Make a file's content, or renames in a directory, survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        error.filename = os.fspath(path)
        raise
    finally:
        os.close(descriptor)
