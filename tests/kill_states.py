"""States that a kill of this process could leave a directory in."""

import contextlib
import os
import sys
import threading

#: Audit events of operations that change files; see the table of audit events in Python's docs.
_CHANGES = {
    *("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate"),
    *("os.chmod", "os.utime", "shutil.move", "shutil.rmtree", "shutil.copyfile"),
}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
#: Functions to call before each operation. A hook can never be removed: there is one for all.
_watchers: list = []


@contextlib.contextmanager
def recorded(directory):
    """Record the content of a directory before each operation of this thread that changes files.

    Yields:
        A list that is filled in the meantime with different states, in order. A state is a dict:
        relative path -> bytes of a file, or None for a directory. Where a file grew, a state with
        half of the new bytes precedes the one with all of them.
    """
    states, sizes, thread = [read(directory)], _sizes(directory), threading.get_ident()

    def watch():
        nonlocal sizes
        if threading.get_ident() == thread and (state := read(directory)) != states[-1]:
            before, sizes = sizes, _sizes(directory)
            states.extend(_torn(state, before, sizes))
            states.append(state)

    if not _watchers:
        sys.addaudithook(_hook)
        _watchers.append(lambda: None)
    _watchers.append(watch)
    try:
        yield states
    finally:
        _watchers.remove(watch)
        watch()


def read(directory):
    """Return the state of a directory; see `recorded`."""
    paths = sorted(directory.rglob("*"))
    return {
        path.relative_to(directory): None if path.is_dir() else path.read_bytes() for path in paths
    }


def write(state, directory):
    """Make a directory with a state, in which the owner of a lease is dead."""
    directory.mkdir(parents=True)
    for path, content in state.items():
        if content is None:
            (directory / path).mkdir()
        else:
            # A process of another start time has the id.
            alive = b'"start": '
            content = content.replace(alive, alive + b"1") if path.name == "lease.json" else content
            (directory / path).write_bytes(content)
    return directory


def _hook(event, arguments):
    is_change = event in _CHANGES or (event == "open" and (arguments[2] or 0) & _WRITES)
    if is_change:
        for watcher in tuple(_watchers):
            watcher()


def _sizes(directory):
    """Return relative path of a file -> (its inode, its size)."""
    files = [(path, path.stat()) for path in directory.rglob("*") if path.is_file()]
    return {path.relative_to(directory): (found.st_ino, found.st_size) for path, found in files}


def _torn(state, before, after):
    """Yield the state with half of what a file has more than before, for each that was written."""
    before = dict(before.values())
    for path, (inode, size) in after.items():
        # A file that was renamed has the size that it had.
        old = before.get(inode, 0)
        if size > old:
            yield state | {path: state[path][: (old + size) // 2]}
