"""The local engine: one process per GPU or core, each taking studies until all are over.

Processes keep imported modules and compiled programs from study to study. A process is replaced
when it dies, and between studies when it has grown too large. All end if the engine's process dies.
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
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Self

from trainer.display.words import count
from trainer.errors import UserError
from trainer.signals import Signals
from trainer.storage.lease import PATIENCE
from tuning.study import places
from tuning.sweep import worker
from tuning.sweep.directory import RUNNING, WAITING, Sweep
from tuning.sweep.status import SweepDisplay, report

#: Number of processes that may die in a row while starting.
MAX_STILLBORN = 20
#: Seconds for which a process whose engine has died looks for a study that it is just taking.
LAST_LOOK = 1.0


def run(
    sweep: Sweep,
    runner: worker.Runner,
    workers: int | None,
    max_megabytes: int,
    display: SweepDisplay,
    patience: float = PATIENCE,
) -> bool:
    """Run the studies of a sweep that are not over.

    Args:
        sweep: the sweep.
        runner: runs single studies; it is pickled and sent to the processes.
        workers: number of processes; one per GPU or core if None.
        max_megabytes: memory above which a process is replaced between studies.
        display: shows the progress.
        patience: seconds without a heartbeat after which a remote owner is considered dead.

    Returns:
        Whether all studies are over: done or failed.

    Raises:
        UserError: this machine or the directory is unusable, or processes die while starting.
        WorkerError: the engine has a bug; the message is its traceback.
    """
    workers = workers or min(places.default_workers(), len(sweep.specs))
    display.say(f"{count(workers, 'process', 'processes')} on this machine")
    crew = _Crew(sweep, runner, workers, max_megabytes, patience)
    with Signals() as signals, crew:
        while crew.members and not signals.received:
            for message in crew.hear():
                display.say(message)
        if signals.received:
            display.say("stopping; trials in training will be trained again")
    return all(sweep.state(name).is_over for name in sweep.runnable)


class _Crew:
    """The engine's processes.

    Attributes:
        members: (process, connection) by place.
    """

    def __init__(self, sweep, runner, workers, max_megabytes, patience):
        self._arguments = (str(sweep.path), runner, max_megabytes, patience)
        self._places = places.places(workers)
        self.members: dict[int, tuple[BaseProcess, Connection]] = {}
        self._starting: set[int] = set()
        self._stillborn = 0

    def __enter__(self) -> Self:
        for place in range(len(self._places)):
            self._start(place)
        return self

    def __exit__(self, *exception: object) -> None:
        """Terminates all processes, and kills those that do not stop in time."""
        for process, _ in self.members.values():
            process.terminate()
        deadline = time.monotonic() + worker.GRACE
        for process, connection in self.members.values():
            while process.is_alive() and time.monotonic() < deadline:
                # Read its messages: a process that blocks while sending would never end.
                with contextlib.suppress(EOFError, OSError):
                    while connection.poll():
                        connection.recv()
                process.join(0.1)
            process.kill()
            process.join()
            connection.close()

    def hear(self) -> Iterator[str]:
        """Yield messages of processes for up to a second, and replace processes that died."""
        connections = [connection for _, connection in self.members.values()]
        ready = multiprocessing.connection.wait(connections, timeout=1.0)
        for place in [p for p, (_, connection) in self.members.items() if connection in ready]:
            try:
                kind, content = places.receive(self.members[place][1])
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
                f"{self._stillborn} processes died while starting (exit code {code}; -9 is usually "
                "out of memory); try fewer --workers"
            )
        self._start(place)
        yield f"a process died (exit code {code}) and is replaced"


def _live(connection, path, runner, max_megabytes, patience):
    """Run in each process: take studies until all are over."""
    ending, sweep = threading.Event(), Sweep.open(path, lenient=True)
    # With `Signals` a second SIGTERM kills, but a batch system and the engine may both send one.
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    life = _Life()
    threading.Thread(target=life.end_with_parent, args=(sweep, ending), daemon=True).start()
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
    # If it was told to end, studies are left, and the engine must not count this place as done.
    if not ending.is_set():
        connection.send(("over", None))


class _Life:
    """State of a process, for the thread that ends it when the engine's process dies.

    Attributes:
        study: name of the study that it runs, or None.
    """

    study: str | None = None

    def end_with_parent(self, sweep: Sweep, ending: threading.Event) -> None:
        """Wait until the parent process has died, then end this one."""
        parent = multiprocessing.parent_process()
        assert parent is not None
        multiprocessing.connection.wait([parent.sentinel])
        ending.set()
        # The other thread may be about to take a study.
        last = time.monotonic() + LAST_LOOK
        while not self._give_back(sweep) and time.monotonic() < last:
            time.sleep(LAST_LOOK / 20)
        os._exit(1)

    def _give_back(self, sweep):
        """Set the study that runs to waiting, if there is one; return whether there is.

        It is not the study's fault, and would count as a death otherwise.
        """
        with contextlib.suppress(Exception):
            name = self.study
            state = sweep.state(name)
            owner = json.loads((sweep.study_path(name) / "lease.json").read_bytes())
            if state.status == RUNNING and owner["pid"] == os.getpid():
                sweep.write_state(name, dataclasses.replace(state, status=WAITING))
                return True
        return False
