"""Trains many trials in one program, side by side in lanes.

A trial gets the same result in a lane as alone, up to rounding, which SOAP's eigenvectors and rates
at the edge of divergence amplify. When a trial ends, its lane takes the next one. A diverged lane
is frozen.

Each of P lanes costs 1/P of the program's time and memory. A lane's memory holds its weights,
gradients and optimizer slots. Between the forward and the backward pass it also holds at most
(2 S + 3 G) T B N float32 numbers per layer, for S states, G gates, T steps, B samples and N units:
the states twice, and each gate's input product, pre-activation and gradient.

Legend: P lanes.
"""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from trainer.callbacks import Callback, Callbacks
from trainer.chunks import Chunks
from trainer.errors import UserError
from trainer.program import stack
from trainer.storage.records import RunRecord
from trainer.trial import PROGRESS, Trial

#: Target duration of one compiled call, short so that finished trials are reported soon.
CHUNK_SECONDS = 5.0
#: Idle lanes are dropped, which compiles a smaller program, if that saves more time than this.
SHRINK_SECONDS = 10.0


def train_lanes(
    trials: Iterable[Trial | None],
    lanes: int,
    report: Callable[[list[tuple[Trial, int]]], None] | None = None,
    callbacks: Sequence[Callback | str] = (),
) -> Iterator[tuple[Trial, RunRecord, dict]]:
    """Train trials, up to `lanes` of them at a time.

    Args:
        trials: the next one is taken when a lane is free. One of another `Trial.shape` waits until
            all lanes are free, because it needs another program. The iterable yields None when no
            trial is ready yet, and is advanced again after the next compiled call.
        lanes: P.
        report: called with a list of (trial, step) after each compiled call.
        callbacks: callbacks, or names of them. `on_end` is called for a trial when the next result
            is asked for, so that its record can be completed and written first.

    Yields:
        (trial, record, weights as NumPy arrays) of each trial, in the order in which they end.

    Example:
        configs = [TrainConfig("parens", "gru", seed=seed) for seed in range(3)]
        for trial, record, weights in train_lanes(map(Trial, configs), lanes=3):
            print(trial.config.seed, record.eval_loss)
    """
    callback = Callbacks(callbacks)
    waiting = _Waiting(trials, callback)
    while not waiting.is_over:
        if first := waiting.take(lanes):
            yield from _train_shape(first, waiting, lanes, report, callback)


def _train_shape(first, waiting, lanes, report, callback):
    """Train `first` and what follows, up to a trial of another shape."""
    pool = Lanes(first, len(first) if waiting.is_over else lanes)
    while pool.busy or not (waiting.is_over or waiting.held):
        if pool.busy:
            pool.advance()
        for row in pool.rows():
            callback.on_measure(row)
        if report:
            report(pool.progress())
        for trial, record, weights in pool.collect(pool.ended()):
            yield trial, record, weights
            callback.on_end(dataclasses.asdict(record))
        idle = pool.idle
        for lane, trial in zip(idle, waiting.take(len(idle), pool.shape), strict=False):
            pool.refill(lane, trial)
        if waiting.is_over or waiting.held:
            pool.drop_idle()


class _Waiting:
    """Trials that have no lane yet.

    Attributes:
        held: a trial of another shape than those taken last, or None.
        is_over: whether there are no more.
    """

    def __init__(self, trials, callback):
        self._trials, self._callback = iter(trials), callback
        self.held, self.is_over = None, False

    def take(self, count, shape=None):
        """Take up to `count` of the trials that are ready, all of one shape."""
        taken = []
        while len(taken) < count:
            try:
                trial = self.held or next(self._trials)
            except StopIteration:
                self.is_over = True
                break
            if trial is None:
                break
            shape = shape or trial.shape
            self.held = None if trial.shape == shape else trial
            if self.held:
                break
            self._callback.on_start(dataclasses.asdict(trial.record()))
            taken.append(trial)
        return taken


class Lanes:
    """The state of all lanes, and the trials in them.

    Args:
        trials: trials of one shape.
        lanes: P, at least the number of trials.

    Attributes:
        trials: lane -> the trial in it; idle lanes are absent.
    """

    def __init__(self, trials: Sequence[Trial], lanes: int):
        self.program = trials[0].program(trials[0].optimizers, trials[0].activations)
        self.shape = trials[0].shape
        self._shared: dict[int, dict[str, Any]] = {}
        for trial in trials:
            self._check(trial)
        self.trials, self.num_lanes = dict(enumerate(trials)), lanes
        self.began, self._measured = [time.monotonic()] * lanes, [0] * lanes
        weights = [trial.draw_weights() for trial in trials]
        self.state = self.program.start(stack([*weights, *weights[:1] * (lanes - len(trials))]))
        self.chunks = Chunks()
        self._gather()

    @property
    def steps(self) -> np.ndarray:
        return ops.convert_to_numpy(self.state["step"])

    @property
    def busy(self) -> list[int]:
        return sorted(self.trials)

    @property
    def idle(self) -> list[int]:
        return [lane for lane in range(self.num_lanes) if lane not in self.trials]

    def progress(self) -> list[tuple[Trial, int]]:
        """Return (trial, step) of each busy lane."""
        steps = self.steps
        return [(self.trials[lane], int(steps[lane])) for lane in self.busy]

    def rows(self) -> list[dict[str, Any]]:
        """Return the measurements that the busy lanes have made since the last call."""
        steps, sums, rows = self.steps, ops.convert_to_numpy(self.state["loss_sums"]), []
        for lane in self.busy:
            rows += self.trials[lane].rows(sums[lane], self._measured[lane], int(steps[lane]))
            self._measured[lane] = int(steps[lane])
        return rows

    def advance(self, seconds: float = CHUNK_SECONDS) -> None:
        """Train all lanes for about `seconds`, at most until the first of them ends."""
        steps, began = self.steps, time.monotonic()
        left = min(self.trials[lane].config.train_steps - steps[lane] for lane in self.busy)
        chunk = min(left, self.chunks.size(seconds))
        stop = [steps[lane] + chunk if lane in self.trials else 0 for lane in range(self.num_lanes)]
        self.state = self.program.run(self.state, self.hparams, self.data, stop)
        self.chunks.add(int((self.steps - steps).max()), time.monotonic() - began)

    def ended(self) -> list[int]:
        """Return the lanes whose trial has finished, diverged or been pruned."""
        state, steps = self.state, self.steps
        over = ops.convert_to_numpy(~state["feasible"] | state["pruned"])
        return [
            lane
            for lane in self.busy
            if over[lane] or steps[lane] >= self.trials[lane].config.train_steps
        ]

    def collect(self, ended: Sequence[int]) -> Iterator[tuple[Trial, RunRecord, dict]]:
        """Yield (trial, record, weights) of these lanes, and leave them idle."""
        sizes = [self.trials[lane].task.num_samples for lane in ended]
        largest = max((size for size in sizes if size is not None), default=None)
        # Those that end are removed meanwhile.
        trials = dict(self.trials)

        @functools.cache
        def measure_lanes(split, num_samples, whole, multiple):
            task, data = self._task_and_data(trials, multiple)
            return self.program.evaluate(
                self.state["weights"], self.hparams, data, split, num_samples, whole, task
            )

        def evaluate(lane, split, num_samples, whole, multiple):
            measured = measure_lanes(split, largest if whole else num_samples, whole, multiple)
            return {name: values[lane] for name, values in measured.items()}

        for lane in ended:
            trial = self.trials.pop(lane)
            record = trial.record()
            progress = {name: self.state[name][lane] for name in PROGRESS}
            trial.update(record, progress, time.monotonic() - self.began[lane])
            trial.complete(record, functools.partial(evaluate, lane))
            weights = keras.tree.map_structure(
                lambda array, lane=lane: ops.convert_to_numpy(array[lane]), self.state["weights"]
            )
            yield trial, record, weights

    def refill(self, lane: int, trial: Trial) -> None:
        """Start a trial in an idle lane."""
        self._check(trial)
        self.trials[lane], self.began[lane], self._measured[lane] = trial, time.monotonic(), 0
        fresh = self.program.start(trial.draw_weights())
        self.state = keras.tree.map_structure(
            lambda held, new: _with_row(held, lane, new), self.state, fresh
        )
        self._gather()

    def drop_idle(self) -> None:
        """Drop idle lanes if that saves more time than compiling a smaller program costs."""
        busy, rate = self.busy, self.chunks.steps_per_second
        if not busy or not self.idle or rate is None:
            return
        left = max(self.trials[lane].config.train_steps - int(self.steps[lane]) for lane in busy)
        if left / rate * len(self.idle) / self.num_lanes > SHRINK_SECONDS:
            self.trials = dict(enumerate(self.trials[lane] for lane in busy))
            self.num_lanes = len(busy)
            self.began = [self.began[lane] for lane in busy]
            self._measured = [self._measured[lane] for lane in busy]
            self.state = keras.tree.map_structure(
                lambda held: ops.take(held, np.array(busy), axis=0), self.state
            )
            self.chunks = Chunks()
            self._gather()

    def _check(self, trial):
        if trial.shape != self.shape:
            raise UserError(
                f"lanes share one program: {trial.shape} cannot train beside {self.shape}"
            )

    def _gather(self):
        """Stack hyperparameters and data; idle lanes get an unused copy of a busy lane's."""
        some = next(iter(self.trials.values()))
        trials = [self.trials.get(lane, some) for lane in range(self.num_lanes)]
        self.hparams = stack([trial.hparams(self.program) for trial in trials])
        _, self.data = self._task_and_data(self.trials, 1)

    def _task_and_data(self, trials, multiple):
        """Return a trial's task at a multiple of its length, and the data of all lanes for it."""
        some = next(iter(trials.values()))
        tasks = [trials.get(lane, some).task_at(multiple) for lane in range(self.num_lanes)]
        if multiple not in self._shared:
            self._shared[multiple] = tasks[0].device_data
        data = {
            name: np.stack([task.data[name] for task in tasks]) if np.ndim(array) == 0 else array
            for name, array in self._shared[multiple].items()
        }
        return tasks[0], data


def _with_row(array, row, value):
    """Return a copy of an array (P, ...) with one row replaced."""
    array = np.array(ops.convert_to_numpy(array))
    array[row] = ops.convert_to_numpy(value)
    return ops.convert_to_tensor(array)
