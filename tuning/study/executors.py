"""Who trains a study's trials: processes of its own, or this very process.

Both have `sized(config, num_steps, num_trials)`, `slots` and `train(next_job, ended, tick)`.
"""

import dataclasses
from collections.abc import Callable

from trainer.signals import Signals
from tuning.study.pool import Pool, default_lanes, default_workers


@dataclasses.dataclass(frozen=True)
class Processes:
    """Worker processes, until a signal ends them.

    Attributes:
        workers: how many; one a core or a GPU if None.
        lanes: trials that each trains at once; chosen for the machine and model if None.
    """

    workers: int | None = None
    lanes: int | None = None

    def sized(self, config, num_steps, num_trials):
        """The same, with numbers where there was None."""
        workers = self.workers or min(default_workers(), num_trials)
        return Processes(workers, self.lanes or default_lanes(config, num_steps))

    @property
    def slots(self):
        """Trials that train at once."""
        return self.workers * self.lanes

    def __str__(self):
        return f"{self.workers} processes of {_lanes(self.lanes)}"

    def train(self, next_job, ended, tick):
        """Trains jobs to their end.

        Args:
            next_job: called without arguments for the next `pool.Job`; None if there is none now.
            ended: called with each trial's `RunRecord` and weights.
            tick: called about every second with the steps of the trials in training, by id.

        Returns:
            Whether it came to the end.
        """
        with Signals() as signals, Pool(self.workers, self.lanes) as pool:

            def stop():
                tick(pool.steps)
                return signals.received

            pool.train(next_job, ended, stop)
        return not signals.received


@dataclasses.dataclass(frozen=True)
class InProcess:
    """This process, which then has all that its last trials compiled.

    Attributes:
        lanes: trials that train at once; chosen for the machine and model if None.
        stop: called without arguments; true ends the training.
    """

    lanes: int | None = None
    stop: Callable = lambda: False

    def sized(self, config, num_steps, num_trials):
        """As of `Processes`."""
        return InProcess(self.lanes or default_lanes(config, num_steps), self.stop)

    @property
    def slots(self):
        return self.lanes

    def __str__(self):
        return f"one process of {_lanes(self.lanes)}"

    def train(self, next_job, ended, tick):
        """As of `Processes`."""
        from trainer.lanes import train_lanes
        from trainer.trial import Trial

        steps = {}

        def trials():
            while True:
                job = next_job()
                if job is not None:
                    steps[job.run_id] = 0
                    yield Trial(job.config, job.run_id, job.stop_above)
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
            for _, record, weights in train_lanes(trials(), self.lanes, report):
                del steps[record.run_id]
                ended(record, weights)
        except _Stopped:
            return False
        return True


class _Stopped(Exception):
    """The training is to end."""


def train(trainer, lease, display, progress, next_job, ended):
    """Trains jobs for the owner of a directory, and shows how far it is, to their end or a signal.

    Args:
        trainer: `Processes` or `InProcess`, sized.
        lease: the `Lease`, which must stay this process's.
        display: a `progress.StudyDisplay` that has begun.
        progress: called for (finished records by id, number of trials wanted).
        next_job, ended: as of `Processes.train`.

    Returns:
        Whether it came to the end.
    """

    def tick(steps):
        lease.check()
        display.update(*progress(), steps)

    try:
        return trainer.train(next_job, ended, tick)
    finally:
        display.end()


def _lanes(count):
    return f"{count} lane{'s'[: count > 1]}"
