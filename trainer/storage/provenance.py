"""Where, when and by which command a run was made."""

import contextlib
import datetime
import functools
import pathlib
import platform
import re
import resource
import shlex
import subprocess
import sys
from typing import Any

from trainer import names
from trainer.display.words import printable

MIB = 2**20


def now() -> str:
    """Return the time in UTC, in ISO format, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


@functools.cache
def of_process() -> dict[str, Any]:
    """Return host, command and commit of this process, as fields of a `RunRecord`."""
    return {"host": platform.node(), "command": command(sys.argv), "commit": commit()}


def command(argv: list[str]) -> str:
    """Return a command line as it was typed, up to quotes, with escapes for what is not text.

    Args:
        argv: as `sys.argv`, where the program is the path of a script or module.
    """
    program = pathlib.Path(argv[0])
    names, folder = [program.stem], program.parent
    # The parent of "." is "." again.
    while folder != folder.parent and (folder / "__init__.py").exists():
        names, folder = [folder.name, *names], folder.parent
    if len(names) > 1:
        start = ["python", "-m", ".".join(name for name in names if name != "__main__")]
    else:
        start = ["python", program.name] if program.suffix == ".py" else [program.name]
    return printable(shlex.join([*start, *argv[1:]]))


def commit(directory: str = ".") -> str | None:
    """Return the git commit of a directory, with "-dirty" if files differ.

    None without git, and in a directory that is only looked at: git runs programs that a repository
    names in its settings.
    """
    if names.is_looked_at(directory):
        return None
    describe = ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    call = ["git", "-c", "core.fsmonitor=false", *describe]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            call, cwd=directory, capture_output=True, text=True, check=True, timeout=10
        )
        return done.stdout.strip()
    return None


def peak_memory(device_bytes: int | None) -> int:
    """Return the most memory in MiB that was in use.

    Args:
        device_bytes: peak on the GPU; if None, that of this process is returned.
    """
    if device_bytes is not None:
        return round(device_bytes / MIB)
    with contextlib.suppress(OSError):
        # Unlike `getrusage`, it does not include the process that started this one.
        found = re.search(r"VmHWM:\s*(\d+) kB", pathlib.Path("/proc/self/status").read_text())
        if found:
            return round(int(found[1]) * 1024 / MIB)
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MIB)
