"""Files that are either whole or absent: written under a temporary name, synced, then renamed."""

import contextlib
import errno
import json
import os
import pathlib
import secrets
import shutil


@contextlib.contextmanager
def whole(path, mode="wb"):
    """Opens a temporary file beside `path` that takes its name once the block has ended well.

    A crash, a full disk or a kill leaves the old file, or none, never half of a new one.

    Args:
        path: where the finished file shall lie; its directory must exist.
        mode: "wb" or "w".
    """
    path = os.fspath(path)
    directory = os.path.dirname(path) or "."
    name = f".{os.path.basename(path)}.{secrets.token_hex(4)}"
    temporary = os.path.join(directory, name)
    # Not by `tempfile`, whose files only their owner may read.
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
def whole_directory(path):
    """Makes a temporary directory that takes the name `path` once the block has ended well.

    What lay there before goes. A crash leaves the old directory, or none, never a part of either.

    Args:
        path: where the finished directory shall lie; its parent must exist.
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


def is_full(error):
    """Whether an exception says that a disk or a quota is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def sync_directory(directory):
    """Makes the renames in a directory survive a power cut."""
    _sync(directory)


def _sync(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path, value):
    """Writes strict JSON: a non-finite number is refused here, not by the reader."""
    with whole(path, "w") as file:
        json.dump(value, file, indent=2, allow_nan=False)
        file.write("\n")
