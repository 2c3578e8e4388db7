"""One process's part in a sweep: it takes a study that is free, runs it, and looks for the next."""

import collections
import contextlib
import dataclasses
import errno
import time
import traceback

from trainer.errors import UserError
from tuning.lease import Lease, LeaseLost, Watch
from tuning.sweep.directory import DONE, WAITING

#: Seconds between looks at studies that all have an owner.
PAUSE = 0.5


class DiskFull(Exception):
    """The sweep's directory takes no more; that is no study's fault."""


def free_studies(sweep, stop):
    """Yields names of studies that are worth a try, until all are over or `stop()` is true.

    One that is not over after its try comes again, after all others.
    """
    names, watch = collections.deque(sweep.specs), Watch()
    while names and not stop():
        found = False
        for _ in range(len(names)):
            name = names.popleft()
            if sweep.state(name).is_over:
                continue
            names.append(name)
            if watch.is_free(sweep.study_path(name)):
                found = True
                yield name
                if stop():
                    return
        if names and not found:
            time.sleep(PAUSE)


def run(sweep, name, runner, stop):
    """Runs a study as far as it goes, if no other process owns it.

    Args:
        sweep: the `Sweep`.
        name: of the study.
        runner: called as runner(sweep, name, lease, stop); returns (is it complete, dict of
            `State` fields to set then). As `run_study`.
        stop: called without arguments; true ends it before its end.

    Returns:
        Its `State`, or None if another process owns it.

    Raises:
        DiskFull: there is no room for its results; the study is intact.
    """
    path = sweep.study_path(name)
    try:
        path.mkdir(parents=True, exist_ok=True)
        lease = Lease(path)
        try:
            lease.acquire()
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
        if _is_full(error):
            raise DiskFull(str(sweep.path)) from None
        raise


def _run_owned(sweep, name, runner, lease, stop):
    began, state = time.monotonic(), sweep.state(name)
    if state.is_over:
        return state
    state = state.taken(sweep.num_ended(name))
    try:
        sweep.write_state(name, state)
        if not state.is_over:
            state = _attempt(sweep, name, runner, lease, stop, state)
            spent = state.seconds + time.monotonic() - began
            state = dataclasses.replace(state, seconds=spent, trials=sweep.num_ended(name))
            lease.check()
            sweep.write_state(name, state)
    except OSError:
        # Not a death of the study's, if there is room to say so.
        with contextlib.suppress(OSError):
            sweep.write_state(name, dataclasses.replace(state, status=WAITING))
        raise
    return state


def _attempt(sweep, name, runner, lease, stop, state):
    """The state after an attempt; what is nobody's but the study's error is in it."""
    try:
        is_complete, results = runner(sweep, name, lease, stop)
    except LeaseLost:
        raise
    except KeyboardInterrupt:
        # How Ray cancels a task.
        is_complete, results = False, {}
    except UserError as error:
        # What a user has to mend no other attempt does.
        return state.failed(str(error), is_final=True)
    except Exception as error:
        if _is_full(error):
            raise
        # What it will have said is of use to whoever looks for the cause.
        with contextlib.suppress(OSError), open(sweep.log_path(name), "a") as file:
            file.write(traceback.format_exc())
        return state.failed(traceback.format_exc(), is_final=False)
    if not is_complete:
        return dataclasses.replace(state, status=WAITING, deaths=0)
    return dataclasses.replace(state, status=DONE, deaths=0, **results)


def run_study(sweep, name, lease, stop, lanes=None):
    """Searches, and trains the best again if that is asked for, in this process.

    Args:
        sweep, name, stop: as of `run`.
        lease: the `Lease` on the study's directory.
        lanes: as of `training.InProcess`.

    Returns:
        As `run` has it of a runner.
    """
    from trainer import cli

    cli.start_backend()
    from rich.console import Console

    from trainer.config import TrainConfig
    from tuning import given
    from tuning.progress import StudyDisplay
    from tuning.study import Study
    from tuning.training import InProcess

    spec, trainer = sweep.specs[name], InProcess(lanes, stop)
    with open(sweep.log_path(name), "a", buffering=1) as file:
        display = StudyDisplay(Console(file=file, width=120, highlight=False))
        study = Study(sweep.study_path(name), spec.config, spec.study)
        best, is_complete = study.run(trainer, display, lease)
        if is_complete and spec.reruns and best:
            path = sweep.study_path(name) / given.RERUNS
            configs = given.variations(TrainConfig(**best.config), spec.reruns, given.VARY)
            records = given.train_all(path, configs, trainer, display, keep=False, lease=lease)
            is_complete = len(records) == len(configs)
    infeasible = sum(record.objective is None for record in study.log.records.values())
    return is_complete, {"infeasible": infeasible, "best": best and best.objective}


def resident_megabytes():
    """Memory of this process that is in use now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 2**20


def no_space(error):
    """What a user is told of a `DiskFull`."""
    return (
        f"{error}: no space left on device; the sweep is intact: free some space and run the same "
        "command again"
    )


def _is_full(error):
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
