"""Facts about the machine of a benchmark, and limits on the threads of a process."""

import os
import platform
import resource
import time
from importlib import metadata


def cores():
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def environment(threads):
    """Return environment variables that limit a process to a number of threads."""
    names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    limited = dict.fromkeys(names, str(threads)) | {"TF_NUM_INTEROP_THREADS": "1"}
    return os.environ | limited | {"TF_CPP_MIN_LOG_LEVEL": "3"}


def peak_megabytes():
    """Return the peak resident memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def matmul_rate(size=1024, seconds=1.0):
    """Measure FLOP per second of float32 matrix products on all cores, with NumPy's BLAS."""
    import numpy as np

    a = np.ones((size, size), "float32")
    a @ a
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        a @ a
        count += 1
    return 2 * size**3 * count / (time.perf_counter() - began)


def facts():
    """Return the machine and the versions of packages as a dict."""
    found = {"cores": cores(), "cpu": _cpu(), "python": platform.python_version()}
    for name in ("keras", "tensorflow", "jax", "torch", "torchrecurrent", "optax", "numpy"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def describe():
    """Return `facts` as one line."""
    return ", ".join(f"{name} {value}" for name, value in facts().items())


def _cpu():
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":")[1].strip() for line in file if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor()
