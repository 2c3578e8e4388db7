"""The Ray engine: each study is a task, on one machine or on a cluster that shares the directory.

Ray retries a task whose process or machine dies, without limit; the study's lease and files make
sure that nothing is lost or done twice. A cluster that the engine starts listens only on loopback
and requires a token, which is made for each run.
"""

import contextlib
import functools
import os
import pathlib
import secrets
import sys
import tempfile
import time
from typing import NamedTuple

from rnn_zoo.files import locked
from trainer import names
from trainer.errors import UserError, extra
from trainer.signals import Signals
from trainer.storage.files import remove
from trainer.storage.lease import Watch
from tuning.study.places import Place
from tuning.sweep import worker
from tuning.sweep.directory import Sweep
from tuning.sweep.status import SweepDisplay, report

#: Beginning of the names of Ray's directories, and the file in each that its driver locks.
_PREFIX, _LOCK = "rnn-zoo-", "driver.lock"


class Settings(NamedTuple):
    """Settings of Ray from the command line.

    Attributes:
        address: a running cluster; None starts one on this machine.
        workers: number of tasks at once on this machine's cluster; one per core if None, and no
            more than the GPUs allow.
        gpus_per_study: share of a GPU that a task reserves; if None, a whole one if there are GPUs.
        max_megabytes: memory above which a process is replaced before its next task.
    """

    address: str | None
    workers: int | None
    gpus_per_study: float | None
    max_megabytes: int


def run(sweep: Sweep, runner: worker.Runner, settings: Settings, display: SweepDisplay) -> bool:
    """Run the studies of a sweep that are not over.

    Args:
        sweep: the sweep; its directory must have the same path on all machines.
        runner: runs single studies; it is pickled and sent to the tasks.
        settings: settings of Ray.
        display: shows the progress.

    Returns:
        Whether all studies are over: done or failed.

    Raises:
        UserError: Ray is not installed, does not answer, or lacks GPUs; or a machine or the
            directory is unusable.
    """
    # Ray lets every user write to its own directory: it is in one that only this user can enter.
    # Not in TMPDIR, as the path of a socket has at most 107 characters.
    parent = os.environ.get("RAY_TMPDIR", "/tmp")
    _remove_leftovers(parent)
    place = {"prefix": _PREFIX, "dir": parent}
    with (
        tempfile.TemporaryDirectory(**place, ignore_cleanup_errors=True) as private,
        locked(os.path.join(private, _LOCK)),
    ):
        return _run_on(_connect(settings, sweep.backend, private), sweep, runner, settings, display)


def _remove_leftovers(parent):
    """Remove the directories of drivers that were killed: their locks are free."""
    with contextlib.suppress(OSError):
        for lock in pathlib.Path(parent).glob(f"{_PREFIX}*/{_LOCK}"):
            with contextlib.suppress(OSError):
                if lock.parent.lstat().st_uid == os.getuid():
                    with locked(lock):
                        remove(lock.parent)


def _run_on(ray, sweep, runner, settings, display):
    try:
        resources = ray.cluster_resources()
        cpus, gpus = resources.get("CPU", 0.0), resources.get("GPU", 0.0)
        share = settings.gpus_per_study
        if share is None:
            share = 1.0 if gpus else 0.0
        if share > gpus:
            raise UserError(
                f"--gpus_per_study={share:g}, but Ray has {gpus:g} GPUs; choose at most that, or "
                "omit it"
            )
        display.say(f"Ray with {cpus:g} CPUs and {gpus:g} GPUs")
        task = ray.remote(num_cpus=1, num_gpus=share, max_retries=-1)(_run)
        place = (os.getcwd(), "" in sys.path)
        arguments = (runner, settings.max_megabytes, names.known(), *place)
        with Signals() as signals:
            _follow(ray, task, arguments, sweep, signals, display)
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, UserError):
            raise cause from None
        if isinstance(error, ray.exceptions.RayTaskError):  # an error of this project
            raise
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"Ray has failed: {reason}; the same command continues the sweep") from None
    finally:
        ray.shutdown()
    return all(sweep.state(name).is_over for name in sweep.runnable)


def _follow(ray, task, arguments, sweep, signals, display):
    """Submit studies whenever they are free, until all are over."""
    path, watch, running = str(sweep.path.absolute()), Watch(), {}
    left = sweep.runnable
    while left and not signals.received:
        submitted = set(running.values())
        for name in left:
            can_start = name not in submitted and not sweep.waits_for(name)
            if can_start and watch.is_free(sweep.study_path(name)):
                silent = watch.silent(sweep.study_path(name))
                running[task.remote(path, name, silent, *arguments)] = name
        if running:
            ready, _ = ray.wait(list(running), num_returns=len(running), timeout=1.0)
            for reference in ready:
                name, state = running.pop(reference), ray.get(reference)
                if state is not None:
                    display.say(report(sweep, name, state))
        else:
            time.sleep(1.0)
        sweep.refresh()
        left = [name for name in sweep.runnable if not sweep.state(name).is_over]
    if signals.received:
        display.say("stopping; trials in training will be trained again")
    for reference in running:
        ray.cancel(reference)
    if running:
        ray.wait(list(running), num_returns=len(running), timeout=worker.GRACE)


def _connect(settings, backend, private):
    """Start Ray in a private directory or connect to it, and return the module."""
    if settings.address is None:
        # Makes Ray's servers bind to the loopback address only; Ray reads it when imported.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    with extra("ray", "--engine=ray"):
        import ray
    own = {
        "num_cpus": settings.workers or len(os.sched_getaffinity(0)),
        "include_dashboard": False,
        "_temp_dir": os.path.join(private, "ray"),
        # Results go to files: Ray's object store holds only a few lines.
        "object_store_memory": 80 * 2**20,
    }
    environment = _task_environment(backend)
    try:
        # Tasks search the directory in which Ray starts before all others.
        with contextlib.chdir(private):
            ray.init(
                address=settings.address or "local",
                runtime_env={"env_vars": environment},
                log_to_driver=False,
                logging_level="ERROR",
                **({} if settings.address else own),
            )
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        reason = str(error).strip().splitlines()[0]
        if settings.address is None:
            raise UserError(f"Ray cannot be started: {reason}") from None
        raise UserError(
            f"no Ray at --ray_address={settings.address}: {reason}; start it there (with the same "
            "token, RAY_AUTH_MODE), or omit --ray_address"
        ) from None
    return ray


def _task_environment(backend):
    variables = Place([0], "").environment | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    del variables["CUDA_VISIBLE_DEVICES"]  # Ray sets it
    variables["KERAS_BACKEND"] = backend
    # `python -m` searches the working directory first, and may find this project there.
    first = [os.getcwd(), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    searched = [path for path in map(os.path.abspath, first) if path in sys.path]
    variables["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(searched))
    return variables


def _run(path, name, silent, runner, max_megabytes, known, here, is_searched):
    """Run a study as a Ray task.

    Args:
        path, name, silent, runner, max_megabytes: the sweep and the study.
        known: modules to import, and directories that are only looked at.
        here: the driver's working directory.
        is_searched: whether the driver searches it for modules, after all other directories.

    Returns:
        The study's `State`; None if another process owns it.
    """
    if _had and worker.resident_megabytes() > max_megabytes:
        # Ray retries the task, which has not done anything yet, in another process.
        os._exit(0)
    _had.add(name)
    with contextlib.suppress(OSError):  # another machine may lack it
        os.chdir(here)
    if is_searched and here not in sys.path:
        sys.path.append(here)
    names.adopt(known)
    return worker.run(_open(path), name, runner, lambda: False, silent)


#: Studies that this process has run.
_had: set[str] = set()
_open = functools.lru_cache(maxsize=1)(functools.partial(Sweep.open, lenient=True))
