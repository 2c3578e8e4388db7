"""The local engine: a process a core, or a GPU, each of which takes studies until all are over.

A process keeps what it has imported and compiled from study to study. It is replaced when it dies,
and between two studies when it has grown. If the engine's own process dies, they end as well.
"""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import threading
import time

from trainer.errors import UserError
from trainer.signals import Signals
from tuning import pool
from tuning.sweep import worker
from tuning.sweep.directory import Sweep
from tuning.sweep.status import report

#: Seconds that a process has to end in good order; longest is the end of a compiled call.
GRACE = 60.0
#: How many processes in a row may die before they are up.
MAX_STILLBORN = 20


def run(sweep, runner, workers, max_megabytes, display):
    """Runs what is left of a sweep.

    Args:
        sweep: the `Sweep`.
        runner: as of `worker.run`; it is sent to the processes.
        workers: number of processes; one a core or a GPU if None.
        max_megabytes: memory above which a process is replaced when its study is over.
        display: a `status.SweepDisplay`.

    Returns:
        Whether all studies are over: done, or set aside.

    Raises:
        UserError: there is no room for the results; or processes die before they are up.
    """
    workers = workers or min(pool.default_workers(), len(sweep.specs))
    display.say(f"{workers} processes on this machine")
    with Signals() as signals, _Crew(sweep, runner, workers, max_megabytes) as crew:
        while crew.members and not signals.received:
            for message in crew.hear():
                display.say(message)
            display.update()
        if signals.received:
            display.say("ending; what trains is trained again later")
            crew.dismiss()
    display.update()
    return all(sweep.state(name).is_over for name in sweep.specs)


class _Crew:
    """The processes: place -> (process, connection)."""

    def __init__(self, sweep, runner, workers, max_megabytes):
        self.sweep, self._arguments = sweep, (str(sweep.path), runner, max_megabytes)
        self._places, self.members, self._stillborn = pool.places(workers), {}, 0

    def __enter__(self):
        for place in range(len(self._places)):
            self._start(place)
        return self

    def __exit__(self, *_):
        for process, connection in self.members.values():
            process.kill()
            process.join()
            connection.close()

    def hear(self):
        """Yields what processes have to say, for about a second; replaces those that ended."""
        connections = {connection: place for place, (_, connection) in self.members.items()}
        for connection in multiprocessing.connection.wait(list(connections), timeout=1.0):
            place = connections[connection]
            try:
                kind, content = connection.recv()
            except (EOFError, OSError):
                yield from self._replace(place)
                continue
            if kind == "refused":
                raise UserError(content)
            if kind == "up":
                self._stillborn = 0
            elif kind == "says":
                yield content
            elif kind == "over":
                self._remove(place)
            elif kind == "grown":
                self._remove(place)
                self._start(place)

    def dismiss(self):
        """Ends all processes in good order."""
        for process, _ in self.members.values():
            process.terminate()
        deadline = time.monotonic() + GRACE
        for process, connection in self.members.values():
            while process.is_alive() and time.monotonic() < deadline:
                # One that waits to be heard would never end.
                with contextlib.suppress(EOFError, OSError):
                    while connection.poll(0.1):
                        connection.recv()

    def _start(self, place):
        self.members[place] = pool.start(self._places[place], _live, *self._arguments)
        self._stillborn += 1

    def _remove(self, place):
        process, connection = self.members.pop(place)
        connection.close()
        process.join(GRACE)
        process.kill()
        return process.exitcode

    def _replace(self, place):
        code = self._remove(place)
        if self._stillborn >= MAX_STILLBORN:
            raise UserError(
                f"{self._stillborn} processes died before they were up (exit code {code}; -9 is "
                "often want of memory); try fewer --workers"
            )
        self._start(place)
        yield f"a process died (exit code {code}); another takes its place"


def _live(connection, path, runner, max_megabytes):
    """A process's life."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sweep = Sweep.open(path)
    connection.send(("up", None))
    with Signals() as signals, contextlib.suppress(BrokenPipeError, ConnectionResetError):

        def stop():
            return signals.received is not None

        for name in worker.free_studies(sweep, stop):
            try:
                state = worker.run(sweep, name, runner, stop)
            except worker.DiskFull as error:
                connection.send(("refused", worker.no_space(error)))
                return
            if state is not None:
                connection.send(("says", report(sweep, name, state)))
            if worker.resident_megabytes() > max_megabytes:
                connection.send(("grown", None))
                return
        connection.send(("over", None))


def _end_with_parent():
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
