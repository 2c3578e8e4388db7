"""Atomic writes of directories, and opening of regular files only."""

import contextlib
import errno
import os
import pathlib
import re
import shutil
import stat
from collections.abc import Iterator
from typing import IO, Any

from rnn_zoo.files import locked, sync
from trainer.errors import UserError

#: Size of the largest file that is read into memory.
MAX_BYTES = 2**31
#: Errors of a disk that takes no more files or bytes, or of a limit on the size of files.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.partial")
#: Directories within one of a run or study that processes write into.
_WRITTEN = re.compile("trial_.*|given_.*|checkpoints|events")


def remove_leftovers(directory: str | os.PathLike) -> None:
    """Remove the temporary files that killed processes left; no other process may be writing.

    `rnn_zoo.files.whole` removes those of the file that it writes, but checkpoints have new names.

    Args:
        directory: the directory of a run or study, down to the checkpoints of its trials.
    """
    for entry in _entries(directory, 2):
        if _TEMPORARY.fullmatch(entry.name) and not entry.is_dir():
            with contextlib.suppress(FileNotFoundError):
                os.unlink(entry.path)


def refuse_link(path: str | os.PathLike) -> None:
    """Refuse a symbolic link in place of a directory to write into or to remove files from.

    Raises:
        UserError: it is one.
    """
    if os.path.islink(path):
        raise UserError(
            f"{os.fspath(path)} is a symbolic link, through which nothing is written; replace it "
            "by the directory itself, or remove it"
        )


def refuse_links(directory: str | os.PathLike) -> None:
    """Call `refuse_link` for the directories within one of a run or study."""
    for entry in _entries(directory, 1):
        if _WRITTEN.fullmatch(entry.name):
            refuse_link(entry)


def _entries(directory, depth):
    """Yield what is in a directory, and in those below it down to a depth; follow no links."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(directory) as found:
        for entry in list(found):
            yield entry
            if depth and entry.is_dir(follow_symlinks=False):
                yield from _entries(entry.path, depth - 1)


@contextlib.contextmanager
def whole_directory(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Make a temporary directory that replaces `path` when the block succeeds.

    A directory that holds anything else than the new one, at any depth, is someone's. A kill
    leaves the old directory or the new one, but never a partial one. If it comes between
    two renames, the old one has a hidden name until the next call.

    Args:
        path: the directory to write; its parent must exist.

    Raises:
        UserError: another process is writing it, it is a file or a link, it has an entry that the
            new one has not, or its lock is a directory.
    """
    path = pathlib.Path(os.path.abspath(path))
    refuse_link(path)
    if path.exists() and not path.is_dir():
        raise UserError(f"{path} is not a directory; move it elsewhere")
    partial, old = (path.with_name(f".{path.name}.{state}") for state in ("partial", "old"))
    with contextlib.ExitStack() as held:
        lock = path.with_name(f".{path.name}.lock")
        try:
            held.enter_context(locked(lock))
        except BlockingIOError:
            raise UserError(f"another process is writing {path}; wait for its end") from None
        except IsADirectoryError:
            raise UserError(f"{lock} is a directory in place of a lock; remove it") from None
        if old.is_dir() and not old.is_symlink() and not path.exists():
            os.replace(old, path)
        for leftover in (partial, old):
            remove(leftover)
        partial.mkdir()
        try:
            yield partial
            for file in partial.rglob("*"):
                sync(file)
        except BaseException as error:
            remove(partial)
            # Errors of writes name no file.
            if isinstance(error, OSError) and error.errno and error.filename is None:
                error.filename = os.fspath(path)
            raise
        if path.exists():
            found, new = ({p.relative_to(d) for p in d.rglob("*")} for d in (path, partial))
            if others := found - new:
                remove(partial)
                raise UserError(
                    f"{path} holds {min(others)}, which would be lost; choose another directory, "
                    "or empty it"
                )
            os.replace(path, old)
        os.replace(partial, path)
        sync(path.parent)
        remove(old)


def remove(path: str | os.PathLike) -> None:
    """Remove a directory with its content, or whatever is in its place; ignore errors."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
    else:  # `rmtree` would wait for a writer of a FIFO
        with contextlib.suppress(OSError):
            os.unlink(path)


def read_bytes(path: str | os.PathLike, most: int | None = None) -> bytes:
    """Read a regular file.

    Raises:
        OSError: it has more bytes than `most`, by default `MAX_BYTES`, or as in `open_regular`.
    """
    with open(open_regular(path), "rb") as file:
        if os.fstat(file.fileno()).st_size > (MAX_BYTES if most is None else most):
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), os.fspath(path))
        try:
            return file.read()
        except OSError as error:  # of some devices; it names no file
            raise OSError(error.errno, error.strerror, os.fspath(path)) from None


def open_to_append(path: str | os.PathLike, mode: str = "a", buffering: int = -1) -> IO[Any]:
    """Open a regular file to append to it, without following a symbolic link.

    Args:
        path: the file, which need not exist.
        mode, buffering: as for `open`.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
    return open(open_regular(path, flags), mode, buffering)


def open_regular(path: str | os.PathLike, flags: int = os.O_RDONLY) -> int:
    """Open a regular file, and return its descriptor.

    Raises:
        OSError: it cannot be opened, or is something else, such as a FIFO, which would block.
    """
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file", os.fspath(path))
    return descriptor


def is_full(error: BaseException) -> bool:
    """Return whether an exception reports a full disk or quota, also one of TensorFlow's."""
    if isinstance(error, OSError):
        return error.errno in _FULL
    return any(os.strerror(number) in str(error) for number in _FULL)
