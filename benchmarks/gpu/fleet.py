"""Worker processes that prepare items side by side and measure them one at a time.

Compilation takes most of a short run, so all cores share it. A figure is valid only if nothing else
runs while it is measured. A worker keeps prepared items until it is told to measure them. A worker
that dies or exceeds its time is replaced, and only its own items are lost.
"""

import collections
import contextlib
import importlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import time
import traceback

#: Imported once, in a server process that forks workers within milliseconds.
_PRELOADED = ("jax", "keras", "benchmarks.gpu.sections.common", "trainer.lanes")
#: Share of a section's time after which its remaining items are no longer compiled.
PREPARING_SHARE = 0.6
#: Seconds within which a killed process must have released the device.
ENDING_SECONDS = 10.0
#: A measurement is stopped after this many times its share of the time, plus these seconds.
PATIENCE = (3.0, 5.0)
#: Extra seconds for an item that has to be prepared again.
PREPARING_PATIENCE = 30.0
#: Maximum seconds for which one figure is measured.
MEASURING_SECONDS = 1.0


def warm_up(seconds=90.0):
    """Wait until one process has imported everything and used the device.

    Returns:
        The device's platform, such as "gpu"; None if that failed or took longer than `seconds`.
    """
    ours, theirs = _context().Pipe(duplex=False)
    process = _context().Process(target=_touch, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    try:
        return ours.recv() if ours.poll(seconds) else None
    except EOFError:
        return None
    finally:
        process.kill()
        process.join(ENDING_SECONDS)


def _touch(connection):
    import jax

    x = jax.numpy.ones((256, 256))
    jax.block_until_ready(jax.jit(lambda x: x @ x)(x))
    connection.send(jax.devices()[0].platform)


def _context():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_PRELOADED))
    return context


class Fleet:
    """Worker processes that live as long as a `with` block.

    Args:
        size: number of processes.
        slow_compiler: seconds to wait before each preparation, to test that deadlines are kept.
    """

    def __init__(self, size, slow_compiler=0.0):
        self._context = _context()
        self._slow_compiler = slow_compiler
        self._workers = [self._start() for _ in range(size)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for worker in self._workers:
            worker.send_kill()
        for worker in self._workers:
            worker.kill()

    def run(self, section, items, deadline, write, parallel=False, seconds=MEASURING_SECONDS):
        """Prepare and measure a section's items, most important first, until a deadline.

        Args:
            section: name of the section's module.
            items: list of dicts.
            deadline: time of `time.monotonic` by which everything must end.
            write: called with the fields of each figure, error or omission.
            parallel: whether to measure each item in its worker as soon as it is prepared.
            seconds: maximum time for which an item is measured.
        """
        began = time.monotonic()
        until = deadline if parallel else began + PREPARING_SHARE * (deadline - began)
        prepared = self._prepare(section, items, until, write, parallel, seconds)
        # Items of killed workers come last: they are prepared again, mostly from the cache.
        places = sorted(prepared, key=lambda place: (not prepared[place].is_alive, place))
        for count, place in enumerate(places):
            worker, left = prepared[place], deadline - time.monotonic()
            if left <= 0:
                write(**items[place], skipped="the section's time is used up")
                continue
            share = min(seconds, left / (len(places) - count))
            limit = time.monotonic() + PATIENCE[0] * share + PATIENCE[1]
            if worker.is_alive:
                worker.send("measure", place, share)
            else:
                worker = next(worker for worker in self._workers if worker.is_idle)
                worker.send("run", place, section, items[place], share)
                limit += PREPARING_PATIENCE
            self._collect([worker], min(deadline, limit), items, write)

    def _prepare(self, section, items, until, write, parallel, seconds):
        """Hand items to idle workers; return the worker that holds each prepared item."""
        waiting, prepared, longest = collections.deque(range(len(items))), {}, 0.0
        while True:
            for worker in self._workers:
                # Start only items likely to finish: a stopped worker loses all that it holds.
                has_time = time.monotonic() + longest < until
                if waiting and worker.is_idle and has_time:
                    place = waiting.popleft()
                    order = "run" if parallel else "prepare"
                    worker.send(order, place, section, items[place], seconds)
            busy = [worker for worker in self._workers if not worker.is_idle]
            if not busy:
                break
            for worker, place in self._collect(busy, until, items, write, first=True):
                prepared[place] = worker
                longest = max(longest, time.monotonic() - worker.began)
        for place in waiting:
            write(**items[place], skipped="not compiled in the section's time")
        return prepared

    def _collect(self, workers, until, items, write, first=False):
        """Wait for the answers of busy workers; with `first`, for at least one.

        Returns:
            List of (worker, place) of the prepared items.
        """
        prepared, busy = [], list(workers)
        while busy and not (first and len(busy) < len(workers)):
            left = until - time.monotonic()
            ready = multiprocessing.connection.wait([w.connection for w in busy], max(0, left))
            if not ready:
                for worker in busy:
                    write(**items[worker.place], error="took longer than the section's time")
                    self._replace(worker)
                break
            for worker in [worker for worker in busy if worker.connection in ready]:
                busy.remove(worker)
                place = worker.place
                try:
                    kind, fields = worker.receive()
                except (EOFError, ConnectionError):
                    kind, fields = "error", {"error": f"its process ended ({worker.ending})"}
                    self._replace(worker)
                if kind == "prepared":
                    prepared.append((worker, place))
                else:
                    write(**items[place], **fields)
        return prepared

    def _replace(self, worker):
        worker.kill()
        self._workers[self._workers.index(worker)] = self._start()

    def _start(self):
        return _Worker(self._context, self._slow_compiler)


class _Worker:
    """The fleet's end of a process."""

    def __init__(self, context, slow_compiler):
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, slow_compiler), daemon=True)
        self._process.start()
        theirs.close()
        self.place, self.began, self.is_alive = None, None, True

    @property
    def is_idle(self):
        return self.place is None

    @property
    def ending(self):
        self._process.join(5)
        return f"exit code {self._process.exitcode}"

    def send(self, order, place, *arguments):
        self.place, self.began = place, time.monotonic()
        with contextlib.suppress(OSError):  # A death is noticed when the answer is read.
            self.connection.send((order, place, *arguments))

    def receive(self):
        answer = self.connection.recv()
        self.place = None
        return answer

    def send_kill(self):
        self._process.kill()

    def kill(self):
        self.is_alive = False
        self._process.kill()
        self._process.join(ENDING_SECONDS)
        self.connection.close()


def _work(connection, slow_compiler):
    """Serve the fleet until its connection closes; the main function of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    held = {}
    with contextlib.suppress(EOFError):
        while True:
            order, place, *arguments = connection.recv()
            try:
                answer = _obey(order, place, arguments, held, slow_compiler)
            except Exception as error:
                answer = "error", {"error": describe(error)}
            connection.send(answer)


def _obey(order, place, arguments, held, slow_compiler):
    if order == "measure":
        return "measured", held.pop(place)(*arguments)
    section, item, seconds = arguments
    began = time.perf_counter()
    time.sleep(slow_compiler)
    measure = importlib.import_module(section).prepare(**item)
    compile_seconds = round(time.perf_counter() - began, 2)
    held[place] = lambda seconds: {"compile_seconds": compile_seconds} | measure(seconds)
    if order == "run":
        return "measured", held.pop(place)(seconds)
    return "prepared", None


def describe(error):
    """Describe an exception in one line, with its place in the project's code."""
    frames = [
        f for f in traceback.extract_tb(error.__traceback__) if "site-packages" not in f.filename
    ]
    place = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}{place}"
