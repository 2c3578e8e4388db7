"""One process's part in a sweep: it takes a study that is free, runs it, and looks for the next."""

import collections
import contextlib
import dataclasses
import os
import time
import traceback

from trainer.errors import UserError
from trainer.storage.files import is_full
from tuning.study.lease import PATIENCE, Lease, LeaseLost, Watch
from tuning.sweep.directory import DONE, WAITING

#: Seconds between looks at studies that all have an owner: at first, and in the end.
PAUSES = (0.5, 5.0)
#: Seconds that engines give a study to end in good order; longest is the end of a compiled call.
GRACE = 60.0


def free_studies(sweep, stop, patience=PATIENCE):
    """Yields studies that are worth a try, until all are over or `stop()` is true.

    One that is not over after its try comes again, after all others.

    Yields:
        (name, lease of an owner elsewhere that has died, for `run`, or None).
    """
    names, watch, pause = collections.deque(sweep.specs), Watch(patience), PAUSES[0]
    while names and not stop():
        found = False
        for _ in range(len(names)):
            name = names.popleft()
            if sweep.state(name).is_over:
                continue
            names.append(name)
            path = sweep.study_path(name)
            if watch.is_free(path):
                found = True
                yield name, watch.silent(path)
                if stop():
                    return
        if found:
            pause = PAUSES[0]
        elif names:
            time.sleep(pause)
            pause = min(1.5 * pause, PAUSES[1])


def run(sweep, name, runner, stop, silent=None):
    """Runs a study as far as it goes, if no other process owns it.

    Args:
        sweep: the `Sweep`.
        name: of the study.
        runner: as `Studies`: it has `prepare(spec)`, and `run(sweep, name, lease, stop)`, which
            returns (is it complete, dict of `State` fields to set then).
        stop: called without arguments; true ends it before its end.
        silent: of `Watch.silent`.

    Returns:
        Its `State`, or None if another process owns it.

    Raises:
        UserError: this machine, or the directory, does not serve; the study is intact.
    """
    path = sweep.study_path(name)
    try:
        runner.prepare(sweep.specs[name])
        path.mkdir(parents=True, exist_ok=True)
        lease = Lease(path)
        try:
            lease.acquire(silent)
        except UserError as error:
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


def unusable(sweep, error):
    """The `UserError` of an OSError that is no study's."""
    if is_full(error):
        return UserError(
            f"{sweep.path}: no space left on device; the sweep is intact: free some space and run "
            "the same command again"
        )
    return UserError(
        f"cannot use {error.filename or sweep.path}: {error.strerror or error}; the sweep is "
        "intact: mend that and run the same command again"
    )


def _run_owned(sweep, name, runner, lease, stop):
    began, before = time.monotonic(), sweep.state(name)
    if before.is_over:
        return before
    state = before.taken(sweep.num_ended(name))
    try:
        sweep.write_state(name, state)
        if not state.is_over:
            state = _attempt(sweep, name, runner, lease, stop, state)
            spent = state.seconds + time.monotonic() - began
            state = dataclasses.replace(state, seconds=spent, trials=sweep.num_ended(name))
            lease.check()
            sweep.write_state(name, state)
        if len(state.failures) > len(before.failures):
            with open(sweep.log_path(name), "a") as file:
                file.write(f"error {len(state.failures)}: {state.failures[-1].strip()}\n")
    except OSError:
        # Not a death of the study's, if there is room to say so.
        with contextlib.suppress(OSError):
            sweep.write_state(name, dataclasses.replace(state, status=WAITING))
        raise
    return state


def _attempt(sweep, name, runner, lease, stop, state):
    """The state after an attempt; what is nobody's but the study's error is in it."""
    try:
        is_complete, results = runner.run(sweep, name, lease, stop)
    except LeaseLost:
        raise
    except KeyboardInterrupt:
        # How Ray cancels a task.
        is_complete, results = False, {}
    except UserError as error:
        # What a user has to mend no other attempt does.
        return state.failed(str(error), is_final=True)
    except Exception as error:
        if is_full(error):
            raise
        return state.failed(traceback.format_exc(), is_final=False)
    if not is_complete:
        return dataclasses.replace(state, status=WAITING, deaths=0)
    return dataclasses.replace(state, status=DONE, deaths=0, **results)


@dataclasses.dataclass(frozen=True)
class Studies:
    """Runs studies in this process: the search, and the reruns of its best if there are to be any.

    Attributes:
        lanes: as of `training.InProcess`.
    """

    lanes: int | None = None

    def prepare(self, spec):
        """Starts the backend, and reads the task's data.

        Raises:
            UserError: this machine lacks either.
        """
        from trainer.cli import main as cli

        cli.start_backend()
        spec.config.make_task()

    def run(self, sweep, name, lease, stop):
        """As `run` has it of a runner."""
        from rich.console import Console

        from trainer.config import TrainConfig
        from tuning.study import log, reruns
        from tuning.study.executors import InProcess
        from tuning.study.progress import StudyDisplay
        from tuning.study.study import Study

        spec, trainer = sweep.specs[name], InProcess(self.lanes, stop)
        with open(sweep.log_path(name), "a", buffering=1) as file:
            display = StudyDisplay(Console(file=file, width=200, highlight=False))
            study = Study(sweep.study_path(name), spec.config, spec.study)
            best, is_complete = study.run(trainer, display, lease)
            if is_complete and spec.reruns and best:
                path = sweep.study_path(name) / log.RERUNS
                configs = reruns.variations(TrainConfig(**best.config), spec.reruns, reruns.VARY)
                records = reruns.train_all(path, configs, trainer, display, keep=False, lease=lease)
                is_complete = len(records) == len(configs)
        infeasible = sum(record.objective is None for record in study.log.records.values())
        return is_complete, {"infeasible": infeasible, "best": best and best.objective}


def resident_megabytes():
    """Memory of this process that is in use now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
