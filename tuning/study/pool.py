"""A pool of worker processes that train trials, each in lanes of one compiled program.

A worker gets a trial whenever one of its lanes is free. If it runs out of memory or is killed,
another takes its place and its trials start again.
"""

import collections
import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from trainer.callbacks import Callback
from trainer.config import TrainConfig
from trainer.errors import UserError
from trainer.storage.records import RunRecord
from tuning.study.places import places, receive, start

if TYPE_CHECKING:
    from trainer.trial import Trial

#: A trial is an error once this many workers have died while training it.
ATTEMPTS = 3


class Job(NamedTuple):
    """A trial to train.

    Attributes:
        run_id: its id.
        config: its configuration.
        stop_above: training loss above which it is pruned, by share of its steps.
        optimizers: optimizers that any job of its executor may use; its own if None.
    """

    run_id: str
    config: TrainConfig
    stop_above: dict[float, float]
    optimizers: tuple[str, ...] | None = None

    def trial(self) -> "Trial":
        """Return the trial, without importing the trainer before it is needed."""
        from trainer.trial import Trial

        return Trial(self.config, self.run_id, self.stop_above, self.optimizers)


NextJob = Callable[[], Job | None]
Ended = Callable[[RunRecord, Any], None]


class _Worker(NamedTuple):
    process: BaseProcess
    connection: Connection
    jobs: dict[str, Job]


class Pool:
    """Worker processes, which live from `__enter__` to `__exit__`.

    Args:
        workers: number of processes.
        lanes: number of trials that each process trains at once.
        callback: called for the trials, in the pool's process.

    Attributes:
        steps: the step of each trial that a process is ready to train, by run id.
    """

    def __init__(self, workers: int, lanes: int, callback: Callback):
        self.lanes, self._places, self._callback = lanes, places(workers), callback
        self._workers: dict[int, _Worker] = {}
        self._again: collections.deque[Job] = collections.deque()
        self._attempts: collections.Counter[int | str] = collections.Counter()
        self._ready: set[int] = set()
        self.steps: dict[str, int] = {}

    def __enter__(self) -> Self:
        for place in range(len(self._places)):
            self._start(place)
        return self

    def __exit__(self, *_) -> None:
        for worker in self._workers.values():
            worker.process.kill()
        for worker in self._workers.values():
            worker.process.join()
            worker.connection.close()

    def train(self, next_job: NextJob, ended: Ended, tick: Callable[[], bool]) -> None:
        """Train jobs until none is left and none is in training.

        Args:
            next_job: returns the next job, or None if none is ready yet.
            ended: called with the record and the weights of each finished trial.
            tick: called about once per second; returns whether to stop.

        Raises:
            WorkerError: the model has a bug; the message is the traceback.
            UserError: the task's data is unavailable, or a trial's worker has died too often.
        """
        while True:
            self._hand_out(next_job)
            if not any(worker.jobs for worker in self._workers.values()) or tick():
                return
            ready = wait([worker.connection for worker in self._workers.values()], timeout=1.0)
            for place, worker in list(self._workers.items()):
                if worker.connection not in ready:
                    continue
                try:
                    kind, content = receive(worker.connection)
                except (EOFError, OSError):
                    self._replace(place)
                else:
                    self._heard(place, kind, content, next_job, ended)

    def _heard(self, place, kind, content, next_job, ended):
        if kind == "ready":
            self._ready.add(place)
            self.steps |= dict.fromkeys(self._workers[place].jobs, 0)
            return
        if kind == "calls":
            for method, values in content:
                getattr(self._callback, method)(values)
            return
        self._attempts[place] = 0
        if kind == "steps":
            self.steps |= dict(content)
            return
        record, weights = content
        del self._workers[place].jobs[record.run_id]
        self.steps.pop(record.run_id, None)
        # Refill the lane first: `ended` writes files and may run the search.
        self._hand_out(next_job)
        ended(record, weights)
        self._callback.on_end(dataclasses.asdict(record))

    def _hand_out(self, next_job):
        for place, worker in self._workers.items():
            jobs = []
            while len(worker.jobs) < self.lanes:
                job = self._again.popleft() if self._again else next_job()
                if job is None:
                    break
                worker.jobs[job.run_id] = job
                if place in self._ready:
                    self.steps[job.run_id] = 0
                jobs.append(job)
            if jobs:
                # A dead worker is noticed when its connection is read.
                with contextlib.suppress(OSError):
                    worker.connection.send(jobs)

    def _start(self, place):
        process, connection = start(self._places[place], _work, self.lanes)
        self._workers[place] = _Worker(process, connection, {})

    def _replace(self, place):
        worker = self._workers[place]
        self._ready.discard(place)
        worker.process.kill()  # its end of the connection is closed, but it may still be alive
        worker.process.join()
        worker.connection.close()
        # A worker may die before it has any jobs: count its deaths as well.
        self._attempts.update([place, *worker.jobs])
        for run_id in worker.jobs:
            self.steps.pop(run_id, None)
        names = {run_id: f"trial {run_id}" for run_id in worker.jobs} | {place: f"worker {place}"}
        for name, what in names.items():
            if self._attempts[name] >= ATTEMPTS:
                raise UserError(
                    f"{what} ended its process {ATTEMPTS} times (exit code "
                    f"{worker.process.exitcode}; -9 is usually out of memory); try fewer --lanes "
                    "or --workers"
                )
        self._again.extend(worker.jobs.values())
        self._start(place)


def _work(connection: Connection, lanes: int) -> None:
    """Train the pool's jobs until the pool's process ends or kill this one."""
    from trainer.cli import main as cli

    cli.start_backend()
    from trainer.lanes import train_lanes

    connection.send(("ready", None))
    inbox = _Inbox(connection)
    for _, record, weights in train_lanes(inbox.trials(), lanes, inbox.report, [inbox]):
        inbox.num_busy -= 1
        connection.send(("ended", (record, weights)))


class _Inbox(Callback):
    """Jobs that arrive at a worker; calls of callbacks are sent to the pool."""

    def __init__(self, connection: Connection):
        self._connection, self.num_busy = connection, 0
        self._rows: list[tuple[str, dict[str, Any]]] = []

    def trials(self) -> "Iterator[Trial | None]":
        """Yield trials as they arrive, or None if others are in training and none has arrived."""
        waiting: collections.deque[Job] = collections.deque()
        while True:
            # Block only when idle: while lanes are busy, an empty inbox must not stop them.
            while self._connection.poll() or not (waiting or self.num_busy):
                waiting.extend(self._connection.recv())
            if waiting:
                job = waiting.popleft()
                self.num_busy += 1
                yield job.trial()
            else:
                yield None

    def on_start(self, info: dict[str, Any]) -> None:
        self._connection.send(("calls", [("on_start", info)]))

    def on_measure(self, row: dict[str, Any]) -> None:
        self._rows.append(("on_measure", row))

    def report(self, progress: "Iterable[tuple[Trial, int]]") -> None:
        """Send the measurements and the steps of trials in training."""
        self._connection.send(("calls", self._rows))
        self._rows = []
        self._connection.send(("steps", [(trial.run_id, step) for trial, step in progress]))
