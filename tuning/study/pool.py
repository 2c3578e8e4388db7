"""Trains many trials at once: worker processes, each with lanes of one compiled program.

A worker has its own cores, or its own GPU, and gets a trial whenever one of its lanes is free. One
that dies, by want of memory or by a signal, is started again and its trials with it.
"""

import collections
import contextlib
import functools
import multiprocessing
import multiprocessing.connection
import os
import shutil
import signal
import subprocess
import traceback
from typing import NamedTuple

from trainer.config import TrainConfig
from trainer.errors import UserError

#: How often a trial may take its worker with it before that is an error.
ATTEMPTS = 3
_THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# As much of a GPU's memory as is needed, not all of it at once: others may share the GPU.
_GPU_MEMORY = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


class Job(NamedTuple):
    """A trial to be trained: its id, its configuration, and the losses above which it is pruned."""

    run_id: str
    config: TrainConfig
    stop_above: dict


class WorkerError(Exception):
    """A bug that a worker met, with its traceback; a divergence is none."""


@functools.cache
def gpus():
    """The ids of the NVIDIA GPUs that this process could use when it was first asked."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [each for each in chosen.split(",") if each.strip() and each.strip() != "-1"]
    if not shutil.which("nvidia-smi"):
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    whole = [line for line in listed.stdout.splitlines() if line.startswith("GPU ")]
    return [str(i) for i, _ in enumerate(whole)]


def default_workers():
    """One process a GPU; without one, a process a core: at these sizes two threads lose to it."""
    return len(gpus()) or len(os.sched_getaffinity(0))


def default_lanes(config, num_steps):
    """Lanes of a worker: as many as fill the machine and no more.

    A GPU waits for the next time step whatever the width, so many lanes are nearly free. On a CPU
    only the smallest models leave room: below some ten thousand products of a weight and a step,
    starting the operations costs more than they do.
    """
    if gpus():
        return 32
    return 4 if config.num_params * num_steps <= 20_000 else 1


class Place(NamedTuple):
    """Where a worker runs."""

    cores: list
    device: str  # id of its GPU, or empty

    @property
    def environment(self):
        """The variables that keep numeric libraries to these cores and this GPU."""
        threads = dict.fromkeys(_THREADS, str(len(self.cores))) | {"TF_NUM_INTEROP_THREADS": "1"}
        return threads | {"CUDA_VISIBLE_DEVICES": self.device} | _GPU_MEMORY


def places(workers):
    """A `Place` for each of so many workers: cores and GPUs are dealt out in turn."""
    cores, devices = sorted(os.sched_getaffinity(0)), gpus()
    share = max(1, len(cores) // workers)
    return [
        Place(
            [cores[(i * share + j) % len(cores)] for j in range(share)],
            devices[i % len(devices)] if devices else "",
        )
        for i in range(workers)
    ]


def start(place, work, *arguments):
    """Starts a process that calls `work(connection, *arguments)` in a `Place`.

    What `work` raises comes through the connection: ("refused", the message) of a `UserError`, else
    ("failed", the traceback).

    Returns:
        (the process, this end of the connection).
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_settle, args=(work, theirs, place.cores, arguments), daemon=True
    )
    with _environment(place.environment), _ignored(signal.SIGINT):
        process.start()
    theirs.close()
    return process, ours


@contextlib.contextmanager
def _ignored(number):
    """A signal that processes started within ignore: who started them decides what it does."""
    try:
        before = signal.signal(number, signal.SIG_IGN)
    except ValueError:  # not the main thread, which alone may say so
        yield
        return
    try:
        yield
    finally:
        signal.signal(number, before)


def _settle(work, connection, cores, arguments):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, cores)
    # Whoever sends reads no more once it is gone.
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            work(connection, *arguments)
        except UserError as error:
            connection.send(("refused", str(error)))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise
        except Exception:
            connection.send(("failed", traceback.format_exc()))


class Pool:
    """Worker processes.

    Args:
        workers: how many.
        lanes: trials that each trains at once.
    """

    def __init__(self, workers, lanes):
        self.lanes, self._places = lanes, places(workers)
        self._workers, self._again = {}, collections.deque()
        self._attempts = collections.Counter()
        #: run id -> step, of the trials in training.
        self.steps = {}

    def __enter__(self):
        for place in range(len(self._places)):
            self._start(place)
        return self

    def __exit__(self, *_):
        for worker in self._workers.values():
            worker.process.kill()
        for worker in self._workers.values():
            worker.process.join()
            worker.connection.close()

    def train(self, next_job, ended, tick):
        """Trains jobs until there are none and none is in training.

        Args:
            next_job: called without arguments for the next `Job`; None if there is none now.
            ended: called with each trial's `RunRecord` and weights.
            tick: called about every second; true ends the training.

        Raises:
            WorkerError: a bug in the model; its traceback is in the message.
            UserError: the task's data cannot be had; or a trial ended its worker too often.
        """
        while True:
            self._hand_out(next_job)
            if not any(worker.jobs for worker in self._workers.values()) or tick():
                return
            handles = {worker.connection: place for place, worker in self._workers.items()}
            for connection in multiprocessing.connection.wait(list(handles), timeout=1.0):
                try:
                    kind, content = connection.recv()
                except (EOFError, OSError):
                    self._replace(handles[connection])
                    continue
                self._heard(handles[connection], kind, content, next_job, ended)

    def _heard(self, place, kind, content, next_job, ended):
        self._attempts[place] = 0
        if kind == "steps":
            self.steps |= dict(content)
        elif kind == "ended":
            record, weights = content
            del self._workers[place].jobs[record.run_id]
            self.steps.pop(record.run_id, None)
            # What waits starts before the record is filed and a next proposal thought about.
            self._hand_out(next_job)
            ended(record, weights)
        elif kind == "refused":
            raise UserError(content)
        else:
            raise WorkerError(content)

    def _hand_out(self, next_job):
        for worker in self._workers.values():
            jobs = []
            while len(worker.jobs) < self.lanes:
                job = self._again.popleft() if self._again else next_job()
                if job is None:
                    break
                worker.jobs[job.run_id] = job
                self.steps[job.run_id] = 0
                jobs.append(job)
            if jobs:
                # Who does not listen has died, which is noticed when its answer is read.
                with contextlib.suppress(OSError):
                    worker.connection.send(jobs)

    def _start(self, place):
        process, connection = start(self._places[place], _work, self.lanes)
        self._workers[place] = _Worker(process, connection, {})

    def _replace(self, place):
        worker = self._workers[place]
        worker.process.kill()  # It no longer talks; if it lives at all, it is about to end.
        worker.process.join()
        worker.connection.close()
        self._attempts.update([place, *worker.jobs])
        for run_id in worker.jobs:
            self.steps.pop(run_id, None)
        names = {run_id: f"trial {run_id}" for run_id in worker.jobs} | {place: f"worker {place}"}
        for name, what in names.items():
            if self._attempts[name] >= ATTEMPTS:
                raise UserError(
                    f"{what} ended its process {ATTEMPTS} times (exit code "
                    f"{worker.process.exitcode}; -9 is often want of memory); try fewer --lanes or "
                    "--workers"
                )
        self._again.extend(worker.jobs.values())
        self._start(place)


class _Worker(NamedTuple):
    process: multiprocessing.Process
    connection: multiprocessing.connection.Connection
    jobs: dict


@contextlib.contextmanager
def _environment(changes):
    """Environment variables for the processes that are started within."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _work(connection, lanes):
    """The worker's life: ends when the pool's process ends or kills it."""
    from trainer.cli import main as cli

    cli.start_backend()
    from trainer.lanes import train_lanes

    inbox = _Inbox(connection)
    for _, record, weights in train_lanes(inbox.trials(), lanes, inbox.report):
        inbox.num_busy -= 1
        connection.send(("ended", (record, weights)))


class _Inbox:
    """The pool's end as an iterable of trials."""

    def __init__(self, connection):
        self._connection, self.num_busy = connection, 0

    def trials(self):
        """The trials as they come; None while others train and none has come."""
        from trainer.trial import Trial

        waiting = collections.deque()
        while True:
            while self._connection.poll() or not (waiting or self.num_busy):
                waiting.extend(self._connection.recv())
            if waiting:
                job = waiting.popleft()
                self.num_busy += 1
                yield Trial(job.config, job.run_id, job.stop_above)
            else:
                yield None

    def report(self, progress):
        self._connection.send(("steps", [(trial.run_id, step) for trial, step in progress]))
