"""Atomic writes, and locks between processes."""

import contextlib
import errno
import fcntl
import json
import os
import secrets
import stat
import time
from collections.abc import Iterator
from typing import IO, Any


@contextlib.contextmanager
def whole(path: str | os.PathLike, mode: str = "wb") -> Iterator[IO[Any]]:
    """Opens a temporary file that is renamed to `path` when the block succeeds.

    A crash, a full disk or a kill leaves the old file, or none, but never a partial file.

    Args:
        path: the file to write; its directory must exist.
        mode: "wb", or "w" for text in UTF-8. Bytes of file names that are no UTF-8 become escapes,
            such as \\udcff.

    Raises:
        OSError: it cannot be written, or is something else, such as a device or a link, which
            would be replaced.
    """
    path = os.fspath(path)
    _check_replaceable(path)
    directory = os.path.dirname(path) or "."
    name = f".{os.path.basename(path)}.{secrets.token_hex(4)}.partial"
    temporary = os.path.join(directory, name)
    try:
        # `tempfile` would make the file unreadable for other users.
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        encoding, errors = (None, None) if "b" in mode else ("utf-8", "backslashreplace")
        with os.fdopen(handle, mode, encoding=encoding, errors=errors) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        # It may not exist, or its file system may have become read-only.
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        # Errors of writes name no file.
        if isinstance(error, OSError) and error.filename in (None, temporary):
            error.filename = path
        raise
    sync(directory)


def _check_replaceable(path):
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file, and is not replaced", path)


@contextlib.contextmanager
def locked(path: str | os.PathLike, patience: float = 0.0) -> Iterator[None]:
    """Locks a file during a `with` statement; the file exists only meanwhile.

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
    """Writes strict JSON; raises a ValueError for non-finite numbers."""
    with whole(path, "w") as file:
        json.dump(value, file, indent=2, allow_nan=False)
        file.write("\n")


def sync(path: str | os.PathLike) -> None:
    """Makes a file's content, or renames in a directory, survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
