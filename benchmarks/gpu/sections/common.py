"""The device, and measurement of rates on it."""

import contextlib
import os
import pathlib
import statistics
import threading
import time

import jax
import keras
import numpy as np
import pynvml

from rnn_zoo.files import whole

assert keras.backend.backend() == "jax", "benchmarks.gpu measures JAX: set KERAS_BACKEND=jax"

REPEATS = 3
SAMPLING_SECONDS = 0.05


def artefacts():
    """The directory of files for the archive."""
    return pathlib.Path(os.environ["RNN_ZOO_GPU_SCRATCH"], "artefacts")


def text():
    """Path of a file of random characters; the text does not affect speed."""
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
    """Measure steps per second of `run(steps)`, which blocks until they are done: a median."""
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
    """Peak memory that this process has used on the device; None if unknown."""
    used = (device().memory_stats() or {}).get("peak_bytes_in_use")
    return used and round(used / 2**20)


def gpu():
    """NVML's handle of the first GPU; None if there is none."""
    try:
        pynvml.nvmlInit()
        return pynvml.nvmlDeviceGetHandleByIndex(0)
    except pynvml.NVMLError:
        return None


class Utilization:
    """Sampler, within a `with` block, of the share of the time in which the GPU computes.

    Attributes:
        busy: mean share, from 0 to 1; None without a GPU.
    """

    busy = None

    def __enter__(self):
        self._gpu, self._samples, self._ended = gpu(), [], threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()
        if self._samples:
            self.busy = round(statistics.mean(self._samples) / 100, 3)

    def _sample(self):
        with contextlib.suppress(pynvml.NVMLError):
            while self._gpu and not self._ended.wait(SAMPLING_SECONDS):
                self._samples.append(pynvml.nvmlDeviceGetUtilizationRates(self._gpu).gpu)
