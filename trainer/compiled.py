"""Compiled programs on disk, so that a program is compiled once per machine, not per process.

XLA takes seconds to compile a training program, and a study's processes all need the same one.
TensorFlow and JAX can both keep compiled programs in a directory; this module chooses it.
"""

import contextlib
import hashlib
import math
import os
import pathlib
import platform
import resource
import shutil
import sys
from importlib import metadata

#: Environment variable: a directory in place of the user's cache directory, or "off".
VARIABLE = "RNN_ZOO_CACHE"
#: What to do if TensorFlow cannot write a file.
NO_SPACE = (
    f"no space left for a file: free some, raise the limit of ulimit -f, or set {VARIABLE}=off"
)
#: The programs that have not been used for longest are removed above this size.
MAX_BYTES = 500_000_000
#: TensorFlow fails if it cannot write a program, so nothing is kept on a disk with less than this.
FREE_BYTES = 1_000_000_000
#: TensorFlow's flag in TF_XLA_FLAGS.
FLAG = "--tf_xla_persistent_cache_directory="
#: Programs that JAX compiles in fewer seconds are not kept.
JAX_SECONDS = "0.2"

#: Lines of /proc/cpuinfo that change from moment to moment.
_CHANGING = ("cpu MHz", "bogomips")


def keep(backend: str) -> None:
    """Let a backend keep its compiled programs on disk; call it before the backend is imported.

    Does nothing if `RNN_ZOO_CACHE` is "off", if the user has set the backend's own directory, or if
    the disk is not writable or almost full, or takes no large files. TensorFlow keeps only programs
    for CPUs.

    Args:
        backend: the Keras backend.
    """
    root = directory()
    if root is None or backend not in ("tensorflow", "jax"):
        return
    if backend == "tensorflow" and (shutil.which("nvidia-smi") or " " in str(root)):
        return
    try:
        path = root / f"{backend}-{_key(backend)}"
        # Programs are executed, so nobody else may write them.
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        has_space = shutil.disk_usage(path).free >= FREE_BYTES and _largest_file() >= FREE_BYTES
    except (OSError, metadata.PackageNotFoundError):
        return
    if has_space and os.access(path, os.W_OK):
        (_for_tensorflow if backend == "tensorflow" else _for_jax)(root, path)
        prune(root, MAX_BYTES)


def _largest_file():
    """Return how many bytes a file of this process may have."""
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    return math.inf if limit == resource.RLIM_INFINITY else limit


def directory() -> pathlib.Path | None:
    """Return the directory of compiled programs, or None if they are not kept."""
    if own := os.environ.get(VARIABLE):
        chosen = pathlib.Path(os.path.expanduser(own)).absolute()
        return None if own == "off" else chosen / "rnn-zoo" / "programs"
    base = os.environ.get("XDG_CACHE_HOME")
    if not base:
        base = "~/Library/Caches" if sys.platform == "darwin" else "~/.cache"
    path = pathlib.Path(os.path.expanduser(base))
    return path / "rnn-zoo" / "programs" if path.is_absolute() else None


def prune(root: pathlib.Path, max_bytes: int) -> None:
    """Remove the files that have not been used for longest if all are larger than `max_bytes`.

    Other processes may use the directory meanwhile; a program that is gone is compiled again.
    """
    files, total = [], 0
    for path in root.rglob("*"):
        with contextlib.suppress(OSError):
            found = path.stat()
            # JAX expects a time of last use beside each program.
            if path.is_file() and not path.name.endswith("-atime"):
                files.append((max(found.st_atime, found.st_mtime), found.st_size, path))
                total += found.st_size
    if total <= max_bytes:
        return
    for _, size, path in sorted(files):
        with contextlib.suppress(OSError):
            path.unlink()
        total -= size
        # A margin, so that not every process that starts has to remove files.
        if total <= 0.8 * max_bytes:
            return


def _for_tensorflow(root, path):
    flags = os.environ.get("TF_XLA_FLAGS", "").split()
    # A parent process sets its own directory, which may be for another number of threads.
    others = [flag for flag in flags if not flag.startswith(f"{FLAG}{root}")]
    if not any(flag.startswith(FLAG) for flag in others):
        os.environ["TF_XLA_FLAGS"] = " ".join([*others, f"{FLAG}{path}"])


def _for_jax(root, path):
    if os.environ.get("JAX_COMPILATION_CACHE_DIR", str(root)).startswith(str(root)):
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(path)
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", JAX_SECONDS)
        # Only with a limit does JAX lock the directory; else a process may read half a program.
        os.environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(MAX_BYTES))
        _remove_unfinished(path)


def _remove_unfinished(path):
    """Remove JAX's programs that lack their time of last use.

    A process that is killed while it writes one leaves it so, and then no process can write others.
    """
    for program in path.glob("*-cache"):
        if not program.with_name(program.name.removesuffix("cache") + "atime").exists():
            with contextlib.suppress(OSError):
                program.unlink()


def _key(backend):
    """Return a hash of everything that programs depend on, besides what they compute.

    Programs are written without fsync, and TensorFlow fails on a damaged one, so programs from
    before the last start of the machine are not used.
    """
    threads = [os.environ.get(name) for name in ("TF_NUM_INTRAOP_THREADS", "XLA_FLAGS")]
    # The threads of a process determine how XLA divides an operation.
    has_affinity = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count()
    facts = [metadata.version(backend), platform.machine(), threads, cores]
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/cpuinfo"):
        with contextlib.suppress(OSError), open(path) as file:
            facts.append([line for line in file if not line.startswith(_CHANGING)])
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
