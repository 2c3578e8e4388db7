"""Loop of a sweep's process: take a free study, run it, look for the next."""

import collections
import contextlib
import dataclasses
import errno
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from trainer.callbacks import DEFAULT
from trainer.errors import UserError
from trainer.storage.files import is_full, open_to_append
from trainer.storage.lease import PATIENCE, Lease, LeaseLost, Watch
from tuning.sweep import transfer
from tuning.sweep.config import Spec
from tuning.sweep.directory import DONE, WAITING, State, Sweep

if TYPE_CHECKING:
    from tuning.study.executors import Executor

#: Shortest and longest pause in seconds between checks while all studies have an owner.
PAUSES = (0.5, 5.0)
#: Seconds that engines wait for a study to stop; it has to finish a call of the compiled program.
GRACE = 60.0

Stop = Callable[[], object]


class Runner(Protocol):
    """Interface of objects that run single studies: `Studies`, or a stand-in without training."""

    def prepare(self, spec: Spec) -> None:
        """Check that this machine can run a study, before the study is touched."""

    def run(self, sweep: Sweep, name: str, lease: Lease, stop: Stop) -> tuple[bool, str]:
        """Run a study; return whether it is complete, and the note of its state if so."""


def free_studies(
    sweep: Sweep, stop: Stop, patience: float = PATIENCE
) -> Iterator[tuple[str, bytes | None]]:
    """Yield studies that seem to be free, until all are over or `stop()` is true.

    The order is that of the sweep. A study with a transfer waits until its source is over. A study
    that is not over after its turn is yielded again, after all others.

    Args:
        sweep: the sweep.
        stop: returns whether to stop.
        patience: seconds without a heartbeat after which a remote owner is considered dead.

    Yields:
        (name, lease of a dead remote owner to pass to `run`, or None).
    """
    watch, pause, turns = Watch(patience), PAUSES[0], collections.Counter[str]()
    while not stop():
        sweep.refresh()
        is_over, found, waiting = True, False, False
        for name in sorted(sweep.runnable, key=turns.__getitem__):
            if sweep.state(name).is_over:
                continue
            is_over, path = False, sweep.study_path(name)
            if sweep.waits_for(name):
                waiting = True
            elif watch.is_free(path):
                found = True
                turns[name] += 1
                yield name, watch.silent(path)
                if stop():
                    return
                if waiting:
                    break  # a study that waited may be free now, and may be longer than the rest
        if is_over:
            return
        if found:
            pause = PAUSES[0]
        else:
            time.sleep(pause)
            pause = min(1.5 * pause, PAUSES[1])


def run(
    sweep: Sweep, name: str, runner: Runner, stop: Stop, silent: bytes | None = None
) -> State | None:
    """Run a study, unless another process owns it.

    Args:
        sweep: the sweep.
        name: name of the study.
        runner: runs the study.
        stop: returns whether to stop before the study is complete.
        silent: the lease of a dead remote owner, from `Watch.silent`.

    Returns:
        The study's state; None if another process owns it.

    Raises:
        UserError: this machine or the directory is unusable; the study is intact.
    """
    path = sweep.study_path(name)
    sweep.refresh()
    try:
        runner.prepare(sweep.specs[name])
        path.mkdir(parents=True, exist_ok=True)
        lease = Lease(path)
        try:
            lease.acquire(silent)
        except UserError as error:
            # The lease turns both an unusable directory and a living owner into a UserError.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            return None
        try:
            return _run_owned(sweep, name, runner, lease, stop)
        except LeaseLost:
            return None
        finally:
            lease.release()
    except OSError as error:
        raise unusable(sweep, error) from None


def unusable(sweep: Sweep, error: OSError) -> UserError:
    """Return a `UserError` for an OSError that is not a study's fault."""
    if is_full(error):
        return UserError(
            f"{sweep.path}: no space left on device; the sweep is intact: free some space and run "
            "the same command again"
        )
    return UserError(
        f"cannot use {error.filename or sweep.path}: {error.strerror or error}; the sweep is "
        "intact: fix that and run the same command again"
    )


def _run_owned(sweep, name, runner, lease, stop):
    began, before = (time.monotonic(), time.process_time()), sweep.state(name)
    if before.is_over:
        return before
    state = before.taken(sweep.num_ended(name))
    try:
        with lease.held():
            sweep.write_state(name, state)
        if not state.is_over:
            state = _attempt(sweep, name, runner, lease, stop, state)
            state = dataclasses.replace(
                state,
                seconds=state.seconds + time.monotonic() - began[0],
                core_seconds=state.core_seconds + time.process_time() - began[1],
                trials=sweep.num_ended(name),
            )
            if state.status == DONE:
                state = dataclasses.replace(state, **sweep.results(name))
            with lease.held():
                sweep.write_state(name, state)
        if len(state.failures) > len(before.failures):
            with open_to_append(sweep.log_path(name)) as file:
                file.write(f"error {len(state.failures)}: {state.failures[-1].strip()}\n")
    except OSError:
        # Not the study's fault: without this, it may count as a death. A full disk may prevent it.
        with contextlib.suppress(OSError, LeaseLost), lease.held():
            sweep.write_state(name, dataclasses.replace(state, status=WAITING))
        raise
    return state


def _attempt(sweep, name, runner, lease, stop, state):
    """Attempt a study; return its new state, including errors that are its own fault."""
    wanted = sweep.specs[name].num_runs
    try:
        is_complete, note = runner.run(sweep, name, lease, stop)
    except LeaseLost:
        raise
    except KeyboardInterrupt:  # how Ray cancels a task
        is_complete, note = False, ""
    except UserError as error:  # another attempt would fail in the same way
        return state.failed(str(error), is_final=True)
    except Exception as error:
        if is_full(error):  # of the results, or of the compiled programs
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        return state.failed(traceback.format_exc(), is_final=False)
    if not is_complete:
        return dataclasses.replace(state, status=WAITING, deaths=0)
    return dataclasses.replace(state, status=DONE, deaths=0, wanted=wanted, note=note)


@dataclasses.dataclass(frozen=True)
class Studies:
    """Runs studies in this process: the search, then the reruns of its best trial.

    Attributes:
        lanes: see `InProcess`.
        callbacks: names of callbacks, since each process makes its own; see `trainer.callbacks`.
        argv: command line of the sweep, which records name.
    """

    lanes: int | None = None
    callbacks: Sequence[str] = DEFAULT
    argv: Sequence[str] = dataclasses.field(default_factory=lambda: tuple(sys.argv))

    def prepare(self, spec: Spec) -> None:
        """Start the backend and read the task's data.

        Raises:
            UserError: one of them is not available on this machine.
        """
        from trainer.cli import main as cli

        # Ray's workers have a command line of their own.
        sys.argv = list(self.argv)
        cli.start_backend()
        spec.config.make_task()

    def run(self, sweep: Sweep, name: str, lease: Lease, stop: Stop) -> tuple[bool, str]:
        """Run a study; see `Runner`."""
        from rich.console import Console

        from tuning.study.progress import StudyDisplay
        from tuning.study.study import Study

        spec, executor = sweep.specs[name], self.executor(stop)
        # Callbacks may print. Ray would drop that, and other processes print beside this one.
        log = open_to_append(sweep.log_path(name), buffering=1)
        with log as file, contextlib.redirect_stdout(file):
            display = StudyDisplay(Console(file=file, width=200, highlight=False))
            search, origin, note = transfer.begin(
                sweep.specs, name, sweep.sources.get(name), sweep.study_path
            )
            if note:
                display.say(note)
            path = sweep.study_path(name)
            calls = self.callbacks
            study = Study(
                path,
                spec.config,
                search,
                transferred_from=origin,
                callbacks=calls,
                profile=sweep.profile,
                held=(),
            )
            best, is_complete = study.run(executor, display, lease)
            if is_complete and spec.reruns and best:
                settings = {"display": display, "lease": lease, "callbacks": calls}
                is_complete = _rerun(study, spec.reruns, executor, **settings)
        return is_complete, note

    def executor(self, stop: Stop) -> "Executor":
        """Return the executor that trains the trials of a study."""
        from tuning.study.executors import InProcess

        return InProcess(self.lanes, stop)


def _rerun(study, count, executor, **settings):
    """Rerun the best trial of a study; return whether all reruns are done."""
    from trainer.config import TrainConfig
    from tuning.study import log, reruns

    configs = reruns.variations(TrainConfig(**study.best.config), count, reruns.VARY)
    path = study.path / log.RERUNS
    marks = reruns.repeated(study.best, count)
    records = reruns.train_all(path, configs, executor, keep=False, marks=marks, **settings)
    return len(records) == len(configs)


def resident_megabytes() -> float:
    """Return the resident memory of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
