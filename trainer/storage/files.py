"""Atomic writes: a file is written under a temporary name, synced, then renamed."""

import contextlib
import errno
import json
import os
import pathlib
import secrets
import shutil
from collections.abc import Iterator
from typing import IO, Any


@contextlib.contextmanager
def whole(path: str | os.PathLike, mode: str = "wb") -> Iterator[IO[Any]]:
    """Opens a temporary file that is renamed to `path` when the block succeeds.

    A crash, a full disk or a kill leaves the old file, or none, but never a partial file.

    Args:
        path: the file to write; its directory must exist.
        mode: "wb" or "w".
    """
    path = os.fspath(path)
    directory = os.path.dirname(path) or "."
    name = f".{os.path.basename(path)}.{secrets.token_hex(4)}"
    temporary = os.path.join(directory, name)
    # `tempfile` would make the file unreadable for other users.
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(handle, mode) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    sync_directory(directory)


@contextlib.contextmanager
def whole_directory(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Makes a temporary directory that replaces `path` when the block succeeds.

    A crash leaves the old directory, or none, but never a partial one.

    Args:
        path: the directory to write; its parent must exist.
    """
    path = pathlib.Path(path)
    partial, old = (path.with_name(f".{path.name}.{state}") for state in ("partial", "old"))
    for leftover in (partial, old):
        shutil.rmtree(leftover, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        for file in partial.rglob("*"):
            _sync(file)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    if path.exists():
        os.replace(path, old)
    os.replace(partial, path)
    shutil.rmtree(old, ignore_errors=True)
    sync_directory(path.parent)


def is_full(error: BaseException) -> bool:
    """Returns whether an exception reports a full disk or quota, also one of TensorFlow's."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return os.strerror(errno.ENOSPC) in str(error)


def sync_directory(directory: str | os.PathLike) -> None:
    """Makes renames in a directory survive a power failure."""
    _sync(directory)


def _sync(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Writes strict JSON; raises a ValueError for non-finite numbers."""
    with whole(path, "w") as file:
        json.dump(value, file, indent=2, allow_nan=False)
        file.write("\n")
