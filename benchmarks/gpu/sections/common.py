"""The device, and how a rate is measured on it."""

import os
import pathlib
import statistics
import subprocess
import time

import jax
import keras
import numpy as np

from trainer.storage.files import whole

assert keras.backend.backend() == "jax", "benchmarks.gpu measures JAX: set KERAS_BACKEND=jax"

REPEATS = 3
_QUERY = ("nvidia-smi", "--format=csv,noheader,nounits")


def artefacts():
    """The directory of what goes into the archive."""
    return pathlib.Path(os.environ["RNN_ZOO_GPU_SCRATCH"], "artefacts")


def text():
    """A file of random characters: for speed, one text is as good as another."""
    path = pathlib.Path(os.environ["RNN_ZOO_GPU_SCRATCH"], "text")
    if not path.exists():
        codes = np.random.default_rng(0).integers(ord("a"), ord("z") + 1, 2**20, "uint8")
        with whole(path) as file:
            file.write(codes.tobytes())
    return str(path)


def device():
    """The device that programs run on."""
    return jax.devices()[0]


def on_gpu():
    return device().platform == "gpu"


def rate(run, seconds):
    """Steps per second of `run(steps)`, which returns when they are done: a median of repeats."""
    steps, elapsed = 1, _timed(run, 1)
    while elapsed < seconds / (2 * REPEATS):
        steps *= max(2, min(10, int(seconds / REPEATS / max(elapsed, 1e-6) / 2)))
        elapsed = _timed(run, steps)
    rates = [steps / elapsed, *(steps / _timed(run, steps) for _ in range(REPEATS - 1))]
    return statistics.median(rates)


def _timed(run, steps):
    began = time.perf_counter()
    run(steps)
    return time.perf_counter() - began


def peak_megabytes():
    """The largest memory that this process has taken of the device; None where it is not known."""
    used = (device().memory_stats() or {}).get("peak_bytes_in_use")
    return used and round(used / 2**20)


def query(*fields):
    """Asks nvidia-smi for fields of the first GPU; an empty list where there is none."""
    try:
        done = subprocess.run(
            [*_QUERY, f"--query-gpu={','.join(fields)}"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [field.strip() for field in done.stdout.splitlines()[0].split(",")]


class Utilization:
    """Samples, within a `with` block, the share of the time in which the GPU computes.

    Attributes:
        busy: the mean share, 0 to 1; None where there is no nvidia-smi.
    """

    busy = None

    def __enter__(self):
        command = [*_QUERY, "--query-gpu=utilization.gpu", "--loop-ms=100"]
        try:
            self._process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
        except OSError:
            self._process = None
        return self

    def __exit__(self, *_):
        if self._process:
            self._process.terminate()
            lines, _ = self._process.communicate()
            samples = [float(line) for line in lines.splitlines() if line.strip().isdigit()]
            self.busy = round(statistics.mean(samples) / 100, 3) if samples else None
