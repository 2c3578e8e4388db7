"""Many trials in one program: lanes train side by side, and one that ends takes the next trial.

A lane ends with the numbers that its trial would have alone, to rounding: lanes share the program
and nothing else. One that diverges is frozen where it stood. A lane costs a program's P-th part in
time and memory: weights, gradients and two optimizer slots, and at most (2 S + 3 G) T B N numbers a
layer between the passes, with S states, G gates, T steps, B samples and N units (the states twice,
and of every gate the first product, the pre-activation and its gradient), of four bytes each.
"""

import itertools
import time

import keras
import numpy as np
from keras import ops

from trainer.config import ACTIVATIONS, OPTIMIZERS
from trainer.errors import UserError
from trainer.program import stack

#: Longest time of one compiled call, so that callers hear of finished trials soon.
CHUNK_SECONDS = 5.0
#: Lanes are given up, at the price of compiling again, if that should save this much time.
SHRINK_SECONDS = 10.0


def train_lanes(trials, lanes, report=None):
    """Trains trials of one shape, `lanes` of them at a time.

    Args:
        trials: iterable of `Trial`; the next is asked for when a lane is free. They may differ in
            everything but task, architecture, depth, units and batch size. None says that there is
            none just now; it is asked again after the next compiled call of the others.
        lanes: P.
        report: called as report(list of (trial, step)) after each compiled call, if given.

    Yields:
        (trial, `RunRecord`, weights as of `rnn_zoo.model.get_weights`, NumPy arrays) of each trial,
        in the order in which they end.

    Raises:
        UserError: trials of different shapes.
    """
    waiting = _Waiting(trials)
    first = []
    while not (first or waiting.is_over):
        first = waiting.take(lanes)
    if not first:
        return
    lanes = len(first) if waiting.is_over else lanes
    pool = Lanes(first, lanes)
    while pool.busy or not waiting.is_over:
        if pool.busy:
            pool.advance()
        if report:
            report(pool.progress())
        yield from pool.collect(pool.ended())
        idle = pool.idle
        for lane, trial in zip(idle, waiting.take(len(idle)), strict=False):
            pool.refill(lane, trial)
        if waiting.is_over:
            pool.drop_idle()


_kept = {}


def _program(trial):
    """The program of its shape; the last one is kept, with all that it has compiled."""
    # A cell that was registered anew, as in a notebook, has its name and other equations.
    key = repr(trial.shape), type(trial.cells[0])
    if key not in _kept:
        _kept.clear()
        _kept[key] = trial.program(OPTIMIZERS, ACTIVATIONS)
    return _kept[key]


class _Waiting:
    """The trials that have no lane yet."""

    def __init__(self, trials):
        self._trials, self.is_over = iter(trials), False

    def take(self, count):
        """At most so many trials: those that there are now."""
        taken = []
        for trial in itertools.islice(self._trials, count):
            if trial is None:
                return taken
            taken.append(trial)
        self.is_over = len(taken) < count
        return taken


class Lanes:
    """The lanes' state, and the trial that each trains; None where a lane idles.

    Args:
        trials: list of `Trial`, of one shape.
        lanes: P, at least as many.
    """

    def __init__(self, trials, lanes):
        self.program, self.shape = _program(trials[0]), trials[0].shape
        self.shared = trials[0].task.device_data
        for trial in trials:
            self._check(trial)
        self.trials = [*trials, *[None] * (lanes - len(trials))]
        self.began = [time.monotonic()] * lanes
        weights = [trial.draw_weights() for trial in trials]
        self.state = self.program.start(stack([*weights, *weights[:1] * (lanes - len(trials))]))
        self.steps_per_second, self.measured = None, False
        self._gather()

    @property
    def steps(self):
        return ops.convert_to_numpy(self.state["step"])

    @property
    def busy(self):
        return [lane for lane, trial in enumerate(self.trials) if trial is not None]

    @property
    def idle(self):
        return [lane for lane, trial in enumerate(self.trials) if trial is None]

    def progress(self):
        """(trial, step) of each busy lane."""
        return [(self.trials[lane], int(self.steps[lane])) for lane in self.busy]

    def advance(self, seconds=CHUNK_SECONDS):
        """Trains all lanes for about so long, at most to where the first of them ends."""
        steps, began = self.steps, time.monotonic()
        chunk = min(self.trials[lane].config.train_steps - steps[lane] for lane in self.busy)
        compiling = self.steps_per_second is None
        limit = 10 if compiling else max(1, round(self.steps_per_second * seconds))
        chunk = min(chunk, limit)
        stop = [
            step + chunk if trial is not None else 0
            for trial, step in zip(self.trials, steps, strict=True)
        ]
        self.state = self.program.run(self.state, self.hparams, self.data, stop)
        done = int((self.steps - steps).max())
        # The call that compiles says nothing of the rate: the next one starts from a small guess.
        self.steps_per_second = 10.0 if compiling else max(done, 1) / (time.monotonic() - began)
        self.measured = not compiling

    def ended(self):
        """The lanes whose trial is trained to its end, has diverged or is hopeless."""
        state, steps = self.state, self.steps
        over = ops.convert_to_numpy(~state["feasible"] | state["hopeless"])
        return [
            lane
            for lane in self.busy
            if over[lane] or steps[lane] >= self.trials[lane].config.train_steps
        ]

    def collect(self, ended):
        """Yields (trial, record, weights) of these lanes, and leaves them idle."""
        feasible = ops.convert_to_numpy(self.state["feasible"])
        sizes = [self.trials[lane].task.num_samples for lane in ended]
        largest = max((size for size in sizes if size is not None), default=None)
        measured = {}

        def evaluate(lane, split, num_samples, whole):
            arguments = (split, largest if whole else num_samples, whole)
            if arguments not in measured:
                measured[arguments] = self.program.evaluate(
                    self.state["weights"], self.hparams, self.data, *arguments
                )
            return {name: values[lane] for name, values in measured[arguments].items()}

        for lane in ended:
            trial, step = self.trials[lane], int(self.steps[lane])
            record = trial.record()
            record.steps_done, record.seconds = step, time.monotonic() - self.began[lane]
            record.steps_per_second = step / record.seconds
            record.curve = trial.curve(self.state["loss_sums"][lane], step)
            record.stopped_early = bool(feasible[lane]) and step < trial.config.train_steps
            if feasible[lane]:
                record.status = "ok"
                trial.complete(record, lambda *args, lane=lane: evaluate(lane, *args))
            else:
                record.status, record.infeasible_at = "infeasible", step
            self.trials[lane] = None
            yield trial, record, self._weights(lane)

    def _weights(self, lane):
        return keras.tree.map_structure(
            lambda array: ops.convert_to_numpy(array[lane]), self.state["weights"]
        )

    def refill(self, lane, trial):
        """Gives an idle lane its next trial."""
        self._check(trial)
        self.trials[lane], self.began[lane] = trial, time.monotonic()
        fresh = self.program.start(trial.draw_weights())
        self.state = keras.tree.map_structure(
            lambda held, new: _with_row(held, lane, new), self.state, fresh
        )
        self._gather()

    def drop_idle(self):
        """Gives up idle lanes, if what they would cost is worth compiling a smaller program."""
        busy = self.busy
        if not busy or len(busy) == len(self.trials):
            return
        left = max(self.trials[lane].config.train_steps - int(self.steps[lane]) for lane in busy)
        saving = left / self.steps_per_second * (1 - len(busy) / len(self.trials))
        if self.measured and saving > SHRINK_SECONDS:
            self.trials = [self.trials[lane] for lane in busy]
            self.began = [self.began[lane] for lane in busy]
            self.state = keras.tree.map_structure(
                lambda held: ops.take(held, np.array(busy), axis=0), self.state
            )
            self.steps_per_second = None
            self._gather()

    def _check(self, trial):
        if trial.shape != self.shape:
            raise UserError(
                f"lanes share one program: {trial.shape} cannot train beside {self.shape}"
            )

    def _gather(self):
        """Stacks the trials' numbers; an idle lane keeps its last ones, which nothing looks at."""
        trials = list(self.trials)
        some = next(trial for trial in trials if trial is not None)
        trials = [trial or some for trial in trials]
        self.hparams = stack([trial.hparams(self.program) for trial in trials])
        self.data = {
            name: np.stack([trial.task.data[name] for trial in trials])
            if np.ndim(array) == 0
            else array
            for name, array in self.shared.items()
        }


def _with_row(array, row, value):
    """A copy of an array (P, ...) with one row replaced."""
    array = np.array(ops.convert_to_numpy(array))
    array[row] = ops.convert_to_numpy(value)
    return ops.convert_to_tensor(array)
