"""Executors of trials: a pool of worker processes, or this process."""

import dataclasses
from collections.abc import Callable, Mapping

from trainer.callbacks import Callback
from trainer.config import TrainConfig
from trainer.display.words import count
from trainer.signals import Signals
from trainer.storage.lease import Lease
from trainer.storage.records import RunRecord
from tuning.study.places import default_lanes, default_workers, gpus
from tuning.study.pool import Ended, NextJob, Pool
from tuning.study.progress import StudyDisplay
from tuning.study.step_time import guess

Tick = Callable[[Mapping[str, int]], None]
#: Seconds of training, as guessed, below which another process takes longer to start than it saves.
LITTLE = 15.0


@dataclasses.dataclass(frozen=True)
class Processes:
    """Trains in worker processes until all jobs are done or a signal arrives.

    Attributes:
        workers: number of processes; if None, one per GPU or core, or this process for little work.
        lanes: number of trials that each process trains at once; if None, by machine and model.
        are_here: whether this process trains.
    """

    workers: int | None = None
    lanes: int | None = None
    are_here: bool = False

    def sized(self, config: TrainConfig, num_steps: int, num_trials: int) -> "Processes":
        """Return a copy with defaults in place of None."""
        lanes = self.lanes or default_lanes(config, num_steps)
        work = num_trials * config.train_steps * guess(config, num_steps)
        if self.workers is None and work < LITTLE and not gpus():
            return Processes(1, lanes, are_here=True)
        return Processes(self.workers or min(default_workers(), num_trials), lanes)

    @property
    def slots(self) -> int:
        """Number of trials that train at once, once sized."""
        assert self.workers and self.lanes
        return self.workers * self.lanes

    def __str__(self):
        assert self.workers and self.lanes
        if self.are_here:
            return str(InProcess(self.lanes))
        return f"{count(self.workers, 'process', 'processes')} of {count(self.lanes, 'lane')}"

    def train(self, next_job: NextJob, ended: Ended, tick: Tick, callback: Callback) -> bool:
        """Train jobs until none is left.

        Args:
            next_job: returns the next job, or None if none is ready yet.
            ended: called with the record and the weights of each finished trial.
            tick: called about once per second with the step of each trial that a
                process is ready to train, by id.
            callback: called for the trials, in this process.

        Returns:
            Whether all jobs were trained; False if stopped before.
        """
        assert self.workers and self.lanes
        with Signals() as signals:
            if self.are_here:
                here = InProcess(self.lanes, lambda: signals.received is not None)
                return here.train(next_job, ended, tick, callback)

            def stop():
                tick(pool.steps)
                return signals.received is not None

            with Pool(self.workers, self.lanes, callback) as pool:
                pool.train(next_job, ended, stop)
        return not signals.received


@dataclasses.dataclass(frozen=True)
class InProcess:
    """Trains in this process, which keeps its compiled programs for the next study.

    Attributes:
        lanes: number of trials that train at once; if None, by machine and model.
        stop: polled between calls of the compiled program; returns whether to stop.
    """

    lanes: int | None = None
    stop: Callable[[], object] = lambda: False

    def sized(self, config: TrainConfig, num_steps: int, num_trials: int) -> "InProcess":
        """Return a copy with defaults in place of None."""
        return InProcess(self.lanes or default_lanes(config, num_steps), self.stop)

    @property
    def slots(self) -> int:
        """Number of trials that a default batch must fill: 1 for any number of lanes.

        Sweeps train in process, and their trials must not depend on the machine.
        """
        return 1

    def __str__(self):
        assert self.lanes
        return f"one process of {count(self.lanes, 'lane')}"

    def train(self, next_job: NextJob, ended: Ended, tick: Tick, callback: Callback) -> bool:
        """Train jobs until none is left; see `Processes.train`."""
        assert self.lanes
        from trainer.lanes import train_lanes

        steps: dict[str, int] = {}

        def trials():
            while True:
                job = next_job()
                if job is not None:
                    steps[job.run_id] = 0
                    tick(steps)
                    yield job.trial()
                elif steps:
                    yield None
                else:
                    return

        def report(progress):
            steps.update({trial.run_id: step for trial, step in progress})
            tick(steps)
            if self.stop():
                raise _Stopped

        try:
            for _, record, weights in train_lanes(trials(), self.lanes, report, [callback]):
                del steps[record.run_id]
                ended(record, weights)
        except _Stopped:
            return False
        return True


Executor = Processes | InProcess


class _Stopped(Exception):
    """Raised when `stop` returns true."""


def run_jobs(
    executor: Executor,
    lease: Lease,
    display: StudyDisplay,
    progress: Callable[[], tuple[Mapping[str, RunRecord], int]],
    next_job: NextJob,
    ended: Ended,
    callback: Callback,
) -> bool:
    """Train jobs under a lease on their directory, and show the progress.

    Args:
        executor: a sized executor.
        lease: the lease on the directory, which is checked about once per second.
        display: a display that has begun.
        progress: returns (finished records by id, number of trials wanted).
        next_job, ended, callback: see `Processes.train`.

    Returns:
        Whether all jobs were trained; False if stopped before.
    """

    def tick(steps):
        lease.check()
        display.update(*progress(), steps)

    try:
        return executor.train(next_job, ended, tick, callback)
    finally:
        display.end()
