"""Places where worker processes run: a share of the cores, or a GPU."""

import contextlib
import functools
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import traceback
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

from trainer import compiled, names
from trainer.config import TrainConfig
from trainer.errors import UserError
from trainer.storage.files import is_full

_THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# Allocate GPU memory as needed rather than all at once: other workers may share the GPU.
_GPU_MEMORY = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
# A new interpreter otherwise searches the working directory before Python's own modules. Once it
# has started, it gets the path of its parent.
_SAFE_PATH = {"PYTHONSAFEPATH": "1"}


class WorkerError(Exception):
    """A bug in a worker process; the message is its traceback. Divergence is not a bug."""


@functools.cache
def gpus() -> list[str]:
    """List the ids of the NVIDIA GPUs that were visible at the first call."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [each for each in chosen.split(",") if each.strip() and each.strip() != "-1"]
    if not shutil.which("nvidia-smi"):
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    whole = [line for line in listed.stdout.splitlines() if line.startswith("GPU ")]
    return [str(i) for i, _ in enumerate(whole)]


def default_workers() -> int:
    """Return the number of GPUs, or else of cores: two threads are slower than two processes."""
    return len(gpus()) or len(os.sched_getaffinity(0))


def default_lanes(config: TrainConfig, num_steps: int) -> int:
    """Choose the number of lanes of a worker.

    On a GPU, the latency of a time step hardly depends on its width, so lanes are nearly free. On a
    CPU, lanes help only the smallest models: where parameters times time steps times samples exceed
    about a million, arithmetic costs more than launching operations.
    """
    if gpus():
        return 32
    return 4 if config.num_params * num_steps * config.batch_size <= 1_000_000 else 1


class Place(NamedTuple):
    """Resources of one worker.

    Attributes:
        cores: indices of its CPU cores.
        device: id of its GPU, or empty.
    """

    cores: list[int]
    device: str

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that confine numeric libraries to this place."""
        threads = dict.fromkeys(_THREADS, str(len(self.cores))) | {"TF_NUM_INTEROP_THREADS": "1"}
        return threads | {"CUDA_VISIBLE_DEVICES": self.device} | _GPU_MEMORY


def places(workers: int) -> list[Place]:
    """Distributes cores and GPUs among workers."""
    cores, devices = sorted(os.sched_getaffinity(0)), gpus()
    share = max(1, len(cores) // workers)
    return [
        Place(
            [cores[(i * share + j) % len(cores)] for j in range(share)],
            devices[i % len(devices)] if devices else "",
        )
        for i in range(workers)
    ]


def start(
    place: Place, work: Callable[..., None], *arguments: Any
) -> tuple[BaseProcess, Connection]:
    """Start a process that calls `work(connection, *arguments)` in a place.

    The process sends messages (kind, content), which `receive` reads. Exceptions raised by `work`
    are sent as well.

    Returns:
        (the process, this end of its connection).
    """
    context = multiprocessing.get_context("spawn")
    near, far = context.Pipe()
    # Bytes, so that the process can first import the modules whose names the arguments have.
    content = (names.known(), pickle.dumps((work, arguments)))
    process = context.Process(target=_enter, args=(far, place.cores, *content), daemon=True)
    with _environment(place.environment | _SAFE_PATH), _ignored(signal.SIGINT):
        process.start()
    far.close()
    return process, near


def receive(connection: Connection) -> tuple[str, Any]:
    """Read the next message of a process.

    Raises:
        EOFError, OSError: the process has died.
        UserError: the process raised it.
        WorkerError: the process raised another exception.
    """
    kind, content = connection.recv()
    if kind == "refused":
        raise UserError(content)
    if kind == "failed":
        raise WorkerError(content)
    return kind, content


def _enter(connection, cores, known, call):
    # Ctrl-C reaches the whole process group, but only the parent decides when workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, cores)
    # If the parent is gone, nobody reads the messages.
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            names.adopt(known)
            work, arguments = pickle.loads(call)
            work(connection, *arguments)
        except UserError as error:
            connection.send(("refused", str(error)))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise
        except Exception as error:
            if is_full(error):
                connection.send(("refused", compiled.NO_SPACE))
            else:
                connection.send(("failed", traceback.format_exc()))


@contextlib.contextmanager
def _ignored(number: int) -> Iterator[None]:
    """Ignore a signal, so that processes started in this context ignore it from the start."""
    try:
        before = signal.signal(number, signal.SIG_IGN)
    except ValueError:  # only the main thread may set handlers
        yield
        return
    try:
        yield
    finally:
        signal.signal(number, before)


@contextlib.contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for processes started in this context."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
