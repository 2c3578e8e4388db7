"""The Ray engine: every study is a task, on one machine or on a cluster that shares the directory.

A task whose process or machine dies runs again elsewhere: Ray retries it for ever, and the study's
lease and files see to it that nothing is lost or doubled. A cluster of its own listens on loopback
alone and asks for a token, made for this run.
"""

import functools
import os
import secrets
import time
from typing import NamedTuple

from trainer.errors import UserError
from trainer.signals import Signals
from tuning.study.lease import Watch
from tuning.study.places import Place
from tuning.sweep import worker
from tuning.sweep.directory import Sweep
from tuning.sweep.status import report


class Settings(NamedTuple):
    """What the command line says of Ray.

    Attributes:
        address: of a running cluster; None starts one on this machine.
        workers: tasks at once on a cluster of its own; one a core if None, as far as GPUs go.
        gpus_per_study: share of a GPU that a task reserves; a whole one where there are any, if
            None.
        max_megabytes: memory above which a process leaves the next task to a fresh one.
    """

    address: str | None
    workers: int | None
    gpus_per_study: float | None
    max_megabytes: int


def run(sweep, runner, settings, display):
    """Runs what is left of a sweep.

    Args:
        sweep: the `Sweep`; all machines must see its directory under the same path.
        runner: as of `worker.run`; it is sent to the tasks.
        settings: the `Settings`.
        display: a `status.SweepDisplay`.

    Returns:
        Whether all studies are over: done, or set aside.

    Raises:
        UserError: Ray is not installed, does not answer, or lacks GPUs; a machine, or the
            directory, does not serve.
    """
    ray = _connect(settings, sweep.backend)
    try:
        resources = ray.cluster_resources()
        cpus, gpus = resources.get("CPU", 0.0), resources.get("GPU", 0.0)
        share = settings.gpus_per_study
        if share is None:
            share = 1.0 if gpus else 0.0
        if share > gpus:
            raise UserError(f"--gpus_per_study={share:g}, but Ray has {gpus:g} GPUs")
        display.say(f"Ray with {cpus:g} CPUs and {gpus:g} GPUs")
        task = ray.remote(num_cpus=1, num_gpus=share, max_retries=-1)(_run)
        arguments = (runner, settings.max_megabytes)
        with Signals() as signals:
            _follow(ray, task, arguments, sweep, signals, display)
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, UserError):
            raise cause from None
        raise
    finally:
        ray.shutdown()
    return all(sweep.state(name).is_over for name in sweep.specs)


def _follow(ray, task, arguments, sweep, signals, display):
    """Submits every study that is free, again and again, until all are over."""
    path, watch, running = str(sweep.path.absolute()), Watch(), {}
    left = list(sweep.specs)
    while left and not signals.received:
        submitted = set(running.values())
        for name in left:
            if name not in submitted and watch.is_free(sweep.study_path(name)):
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
        left = [name for name in left if not sweep.state(name).is_over]
        display.update()
    if signals.received:
        display.say("ending; what trains is trained again later")
    for reference in running:
        ray.cancel(reference)
    if running:
        ray.wait(list(running), num_returns=len(running), timeout=worker.GRACE)


def _connect(settings, backend):
    if settings.address is None:
        # Read when Ray is imported: its servers bind to the loopback address alone.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise UserError("--engine=ray needs Ray: pip install 'rnn-zoo[ray]'") from None
    variables = Place([0], "").environment | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    del variables["CUDA_VISIBLE_DEVICES"]  # Ray's to set
    variables["KERAS_BACKEND"] = backend
    if "PYTHONPATH" in os.environ:
        variables["PYTHONPATH"] = os.environ["PYTHONPATH"]
    own = {
        "num_cpus": settings.workers or len(os.sched_getaffinity(0)),
        "include_dashboard": False,
        # Results go to files: Ray's own memory holds a few lines.
        "object_store_memory": 80 * 2**20,
    }
    try:
        ray.init(
            address=settings.address or "local",
            runtime_env={"env_vars": variables},
            log_to_driver=False,
            logging_level="ERROR",
            **({} if settings.address else own),
        )
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        reason = str(error).strip().splitlines()[0]
        if settings.address is None:
            raise UserError(f"Ray does not start here: {reason}") from None
        raise UserError(
            f"no Ray at --ray_address={settings.address}: {reason}; start it there (with the same "
            "token, RAY_AUTH_MODE), or leave --ray_address out"
        ) from None
    return ray


def _run(path, name, silent, runner, max_megabytes):
    """The task: the study's `State`, or None if another process owns it."""
    if _had and worker.resident_megabytes() > max_megabytes:
        # Nothing is begun yet, and Ray tries again in another process.
        os._exit(0)
    _had.add(name)
    return worker.run(_open(path), name, runner, lambda: False, silent)


#: Studies that this process has run.
_had: set[str] = set()
_open = functools.lru_cache(maxsize=1)(Sweep.open)
