"""The local engine: a process a core, or a GPU, each of which takes studies until all are over.

A process keeps what it has imported and compiled from study to study. It is replaced when it dies,
and between two studies when it has grown. If the engine's own process dies, they end as well.
"""

import contextlib
import dataclasses
import json
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import time

from trainer.errors import UserError
from trainer.signals import Signals
from tuning.study import places
from tuning.study.lease import PATIENCE
from tuning.sweep import worker
from tuning.sweep.directory import RUNNING, WAITING, Sweep
from tuning.sweep.status import report

#: How many processes in a row may die before they are up.
MAX_STILLBORN = 20


def run(sweep, runner, workers, max_megabytes, display, patience=PATIENCE):
    """Runs what is left of a sweep.

    Args:
        sweep: the `Sweep`.
        runner: as of `worker.run`; it is sent to the processes.
        workers: number of processes; one a core or a GPU if None.
        max_megabytes: memory above which a process is replaced when its study is over.
        display: a `status.SweepDisplay`.
        patience: seconds of silence after which an owner elsewhere counts as dead.

    Returns:
        Whether all studies are over: done, or set aside.

    Raises:
        UserError: this machine or the directory does not serve; processes die before they are up.
        WorkerError: a bug of the engine's, with its traceback.
    """
    workers = workers or min(places.default_workers(), len(sweep.specs))
    display.say(f"{workers} processes on this machine")
    crew = _Crew(sweep, runner, workers, max_megabytes, patience)
    with Signals() as signals, crew:
        while crew.members and not signals.received:
            for message in crew.hear():
                display.say(message)
            display.update()
        if signals.received:
            display.say("ending; what trains is trained again later")
    return all(sweep.state(name).is_over for name in sweep.specs)


class _Crew:
    """The processes: place -> (process, connection)."""

    def __init__(self, sweep, runner, workers, max_megabytes, patience):
        self._arguments = (str(sweep.path), runner, max_megabytes, patience)
        self._places, self.members = places.places(workers), {}
        self._starting, self._stillborn = set(), 0

    def __enter__(self):
        for place in range(len(self._places)):
            self._start(place)
        return self

    def __exit__(self, *_):
        """Ends all processes, in good order if they can."""
        for process, _ in self.members.values():
            process.terminate()
        deadline = time.monotonic() + worker.GRACE
        for process, connection in self.members.values():
            while process.is_alive() and time.monotonic() < deadline:
                # One that waits to be heard would never end.
                with contextlib.suppress(EOFError, OSError):
                    while connection.poll():
                        connection.recv()
                process.join(0.1)
            process.kill()
            process.join()
            connection.close()

    def hear(self):
        """Yields what processes have to say, for about a second; replaces those that ended."""
        connections = {connection: place for place, (_, connection) in self.members.items()}
        for connection in multiprocessing.connection.wait(list(connections), timeout=1.0):
            place = connections[connection]
            try:
                kind, content = places.receive(connection)
            except (EOFError, OSError):
                yield from self._replace(place)
                continue
            if kind == "up":
                self._starting.discard(place)
                self._stillborn = 0
            elif kind == "says":
                yield content
            elif kind == "over":
                self._remove(place)
            elif kind == "grown":
                self._remove(place)
                self._start(place)

    def _start(self, place):
        self.members[place] = places.start(self._places[place], _live, *self._arguments)
        self._starting.add(place)

    def _remove(self, place):
        process, connection = self.members.pop(place)
        connection.close()
        process.join(worker.GRACE)
        process.kill()
        process.join()
        return process.exitcode

    def _replace(self, place):
        code = self._remove(place)
        self._stillborn += place in self._starting
        if self._stillborn >= MAX_STILLBORN:
            raise UserError(
                f"{self._stillborn} processes died before they were up (exit code {code}; -9 is "
                "often want of memory); try fewer --workers"
            )
        self._start(place)
        yield f"a process ended (exit code {code}); another takes its place"


def _live(connection, path, runner, max_megabytes, patience):
    """A process's life."""
    ending, sweep = threading.Event(), Sweep.open(path)
    # However often: a batch system and the engine's own process may both say so.
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    life = _Life()
    threading.Thread(target=life.end_with_parent, args=(sweep,), daemon=True).start()
    connection.send(("up", None))
    try:
        for name, silent in worker.free_studies(sweep, ending.is_set, patience):
            life.study = name
            state = worker.run(sweep, name, runner, ending.is_set, silent)
            life.study = None
            if state is not None:
                connection.send(("says", report(sweep, name, state)))
            if worker.resident_megabytes() > max_megabytes:
                connection.send(("grown", None))
                return
    except (BrokenPipeError, ConnectionResetError):
        raise
    except OSError as error:
        raise worker.unusable(sweep, error) from None
    # Otherwise it was told to end, and another is to take its place.
    if not ending.is_set():
        connection.send(("over", None))


class _Life:
    """What a process is at, for the thread that ends it when the engine's process has died."""

    study = None

    def end_with_parent(self, sweep):
        multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
        if self.study is not None:
            # Of this the study is not to blame.
            with contextlib.suppress(Exception):
                state = sweep.state(self.study)
                owner = json.loads((sweep.study_path(self.study) / "lease.json").read_bytes())
                if state.status == RUNNING and owner["pid"] == os.getpid():
                    sweep.write_state(self.study, dataclasses.replace(state, status=WAITING))
        os._exit(1)
