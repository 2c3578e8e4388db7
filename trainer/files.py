"""Files that are either whole or absent: written under a temporary name, synced, then renamed."""

import contextlib
import errno
import json
import os
import secrets


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


def is_full(error):
    """Whether an exception says that a disk or a quota is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def sync_directory(directory):
    """Makes the renames in a directory survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path, value):
    """Writes strict JSON: a non-finite number is refused here, not by the reader."""
    with whole(path, "w") as file:
        json.dump(value, file, indent=2, allow_nan=False)
        file.write("\n")
