"""Trains one configuration, from the first step or from the last checkpoint."""

import dataclasses
import datetime
import itertools
import math
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from trainer import initial_weights, names
from trainer.callbacks import DEFAULT, Callback, Callbacks
from trainer.chunks import Chunks
from trainer.config import OPTIONS, TrainConfig
from trainer.display import curves
from trainer.display.progress import Display, headline
from trainer.display.words import count
from trainer.errors import UserError
from trainer.signals import Signals
from trainer.storage import checkpoints
from trainer.storage.differences import refuse_difference
from trainer.storage.lease import Lease
from trainer.storage.records import CURVES, DOCUMENTS, RunDirectory, RunRecord
from trainer.trial import Trial
from trainer.windows import WINDOWS, window_start

#: Number of measurements of the training loss per measurement of the validation loss.
VALID_EVERY = 10
CHECKPOINT_SECONDS = 30.0
#: Target duration of one compiled call, so that progress is shown about every second.
CHUNK_SECONDS = 1.0
#: Fields of a record that follow from its configuration.
_DERIVED = ("units", "num_params", "input_dim", "output_dim", "chance_loss")


def default_run_dir(config: TrainConfig) -> str:
    """Return a new path, `runs/<task>-<arch>-<date>-<time>-<pid>`, ending in -2 if it exists."""
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    path = os.path.join("runs", f"{config.task}-{config.arch}-{stamp}-{os.getpid()}")
    others = (f"{path}-{number}" for number in itertools.count(2))
    return next(each for each in itertools.chain([path], others) if not os.path.exists(each))


def train(
    config: TrainConfig,
    run_dir: str | os.PathLike | None = None,
    resume: bool = False,
    documents: Mapping[str, str] | None = None,
    display: Display | None = None,
    callbacks: Sequence[Callback | str] = DEFAULT,
    profile: str | None = None,
) -> RunRecord:
    """Train a configuration and write a run directory.

    Args:
        config: the configuration.
        run_dir: directory to write; a new one under `runs/` if None.
        resume: whether to continue the run in `run_dir`. The result equals that of an
            uninterrupted run bit for bit.
        documents: file name -> text, written beside the record; if None, the configuration as gin.
        display: where progress is shown; standard output if None.
        callbacks: instances of `trainer.Callback`, or names as for --log_to, called in this order.
            They replace the default, TensorBoard.
        profile: name of the profile that the configuration comes from, for its record.

    Returns:
        The record. Its status says whether the training finished, diverged or was interrupted.

    Raises:
        UserError: the directory cannot be used, holds a run of another configuration, or is in use
            by another process.

    Example:
        record = trainer.train(trainer.TrainConfig(task="parens", arch="ugrnn"))
        print(record.status, record.eval_loss)
    """
    directory = RunDirectory(run_dir or default_run_dir(config))
    held = directory.check(resume)
    if held is None:
        config = initial_weights.pinned(config)
    elif config.weights_from and config.weights_sha256 is None:
        config = dataclasses.replace(config, weights_sha256=held.config.get("weights_sha256"))
    run = _Run(config, directory, display or Display(), Callbacks(callbacks))
    directory.path.mkdir(parents=True, exist_ok=True)
    with run.lease:
        # Again, because another process may have begun or continued the run meanwhile.
        earlier = directory.check(resume)
        if earlier is None:
            run.record.profile = profile
            with run.lease.held():
                directory.create(run.record, documents or _documents(config))
        else:
            run.restore(earlier)
        return run.train()


def _documents(config):
    """Return the gin files that the command line would write for this configuration."""
    return dict.fromkeys(DOCUMENTS, config.as_gin())


class _Run:
    """The part of a run that one process trains."""

    def __init__(self, config, directory, display, callback):
        self.config, self.directory, self.lease = config, directory, Lease(directory.path)
        self.display, self.callback = display, callback
        self.trial = Trial(config, directory.name)
        self.task = self.trial.task
        self.program = self.trial.program()
        # A checkpoint replaces the weights, so the preset or run that they come from may be gone.
        draw = self.trial.random_weights if directory.has_checkpoint else self.trial.draw_weights
        self.state = self.program.start(draw())
        self.hparams = self.trial.hparams(self.program)
        self.measurements: list[dict[str, Any]] = []
        self.record = self.trial.record()
        self.chunks = Chunks()

    @property
    def step(self):
        return int(self.state["step"])

    @property
    def is_over(self):
        """Whether nothing is left to train or to evaluate."""
        status = self.record.status
        return status == "infeasible" or (status == "ok" and self.record.eval_loss is not None)

    def train(self):
        """Train and evaluate as far as there is something left to do; return the record."""
        self.introduce()
        if self.is_over:
            self.display.say("the run is finished: nothing is left to train or to log")
            self.conclude()
            return self.record
        self.callback.on_start(self.info())
        if self.record.status == "interrupted":
            with Signals() as signals:
                self.advance(signals)
        self.trial.complete(self.record, self._evaluate)
        # First: once the record says that the run is over, nothing calls it again.
        self.callback.on_end(dataclasses.asdict(self.record))
        with self.lease.held():
            self.directory.write_record(self.record)
        self.conclude()
        return self.record

    def info(self):
        """Argument of the callbacks' `on_start`."""
        place = {"run_dir": str(self.directory.path), "first_step": self.step}
        return dataclasses.asdict(self.record) | place

    def restore(self, earlier):
        """Continue from the state of an earlier process."""
        self._refuse_differences(earlier)
        self.record = earlier
        state, problems = checkpoints.latest(
            self.directory.checkpoints, self.state, run=earlier.identity
        )
        for problem in problems:
            self.display.say(f"damaged checkpoint, which is not used: {problem}")
        if state is None and problems:
            raise UserError(
                f"no readable checkpoint in {self.directory.checkpoints}; "
                "train again with another --run_dir"
            )
        if state is not None:
            self.state = state
        self.measurements = self.directory.read_metrics(earlier.identity, self.step)
        self._say_losses(earlier)
        if self.step < earlier.steps_done:
            # The results are of steps that are trained again, perhaps on another device.
            earlier.status, earlier.infeasible_at = "interrupted", None
            earlier.stopped_early = False
            earlier.metrics, earlier.lengths, earlier.objective = {}, [], None
            earlier.train_loss = earlier.valid_loss = earlier.eval_loss = None

    def _refuse_differences(self, earlier):
        """Raise a `UserError` if this process would not continue an earlier one's run."""
        if earlier.origin is not None:
            raise UserError(
                f"{self.directory.path} is a trial of a study, of which only the weights are kept; "
                f"continue the study, or start from them: --init_from={self.directory.path}"
            )
        held, wanted = (
            record.config
            # An option at its default may be set or not.
            | {
                name: {**record.defaults.get(name, {}), **record.config.get(name, {})}
                for name in OPTIONS
            }
            | {"data": record.data, "backend": record.backend}
            for record in (earlier, self.record)
        )
        path, steps = self.directory.path, self.config.train_steps
        way_out = "resume it with its own settings, or choose another --run_dir"
        if steps > earlier.train_steps:  # the learning rate has decayed by the last step
            way_out = (
                "to train longer, start a new run from its weights: "
                f"--init_from={path} --train_steps={steps} --run_dir=NEW"
            )
        refuse_difference(f"{path} holds a run", held, wanted, way_out)
        if edited := names.edited(earlier.code, earlier.config):
            raise UserError(
                f"{path} cannot go on with other code, {edited}; restore it, or start a new run "
                f"from its weights: --init_from={path} --run_dir=NEW"
            )
        for name in _DERIVED:
            stored, own = getattr(earlier, name), getattr(self.record, name)
            if not math.isclose(stored, own, rel_tol=1e-6):
                raise UserError(
                    f"{path} holds a record with {name} {stored}, and its configuration gives "
                    f"{own}; restore its record.json, or choose another --run_dir"
                )

    def _say_losses(self, earlier):
        """Print which steps and measurements of the record have no files."""
        if self.step < earlier.steps_done:
            self.display.say(
                f"the record has {count(earlier.steps_done, 'step')}, and the checkpoints "
                f"{self.step:,}: the others are trained again"
            )
        if gaps := self.directory.gaps(earlier, self.step, self.measurements):
            self.display.say(gaps)

    def introduce(self):
        """Print the model, the settings and the run directory."""
        record = self.record
        self.display.say(
            f"{headline(record)}   steps {record.train_steps:,}   batch {self.config.batch_size}"
        )
        self.display.say(
            f"{record.backend}, chance loss {record.chance_loss:.4f}, writing to "
            f"{self.directory.path}" + (f", from step {self.step:,}" if self.step else "")
        )
        if self.config.weights_from and not self.step:
            self.display.say(f"starting from the weights of {self.config.weights_from}")
            if source := self.config.init_from:
                start = RunDirectory(source).read_record()
                if edited := names.edited(start.code, start.config):
                    self.display.say(edited)

    def advance(self, signals):
        """Train until the last step, a divergence or a signal."""
        total, saved = self.config.train_steps, time.monotonic()
        self._began = saved - self.record.seconds
        with self.display.steps(total, self.step) as progress:
            while self.step < total and bool(self.state["feasible"]) and not signals.received:
                window = self._window()
                self._run_chunk(window.stop)
                loss = self._mean_loss(window)
                if self.step == window.stop:
                    self._measure(loss)
                if time.monotonic() - saved > CHECKPOINT_SECONDS and self.step < total:
                    self._save()
                    saved = time.monotonic()
                if self.chunks.steps_per_second:
                    progress.update(self.step, loss, self.chunks.steps_per_second)
        self._save()

    def conclude(self):
        """Draw the curves and print where the files are."""
        record, where = self.record, self.directory.path
        if self.measurements:
            with self.display.phase("drawing the curves"):
                curves.plot(where / CURVES, record, self.measurements)
        if record.status == "interrupted":
            self.display.say(
                f"interrupted at step {self.step:,}; continue with --resume --run_dir={where}"
            )
        elif record.status == "infeasible":
            self.display.say(
                f"infeasible: training diverged at step {record.infeasible_at:,}; see {where}"
            )
        else:
            self.display.splits(record)
            self.display.say(
                f"{count(record.train_steps, 'step')} in {record.seconds:.0f} s; record, "
                f"{CURVES} and checkpoints are in {where}"
            )

    def _run_chunk(self, limit):
        """Train for one compiled call, at most up to the step `limit`."""
        start, called = self.step, time.monotonic()
        stop = min(start + self.chunks.size(CHUNK_SECONDS), limit)
        self.state = self.program.run(self.state, self.hparams, self.task.device_data, stop)
        self.chunks.add(self.step - start, time.monotonic() - called)

    def _window(self):
        """The steps averaged by the next measurement; the configuration alone sets their bounds."""
        total = self.config.train_steps
        index = min(self.step, total - 1) * WINDOWS // total
        return range(window_start(index, total), window_start(index + 1, total))

    def _mean_loss(self, window):
        """Mean training loss of the window's steps so far."""
        total = self.state["loss_sums"][window.start * WINDOWS // self.config.train_steps]
        return float(total) / max(self.step - window.start, 1)

    def _measure(self, loss):
        """Write a measurement, without times, so that a resumed run writes the same file."""
        measurement = {
            "step": self.step,
            "train_loss": loss,
            "gradient_norm": float(self.state["gradient_norm"]),
            "learning_rate": self.trial.learning_rate(self.step),
        }
        last = self.step == self.config.train_steps
        if (len(self.measurements) + 1) % VALID_EVERY == 0 or last:
            metrics = self.task.summarise(
                self._evaluate("valid", self.config.eval_samples),
                self.record.units,
                self.record.num_params,
            )
            if not math.isfinite(metrics["loss"]):
                # The last update left finite weights with a non-finite loss; another would diverge.
                self.state["feasible"] = keras.ops.zeros_like(self.state["feasible"])
                return
            for name, value in metrics.items():
                measurement[f"valid_{name}"] = value
        self.measurements.append(measurement)
        with self.lease.held():
            self.directory.write_metrics(self.measurements, self.record.identity)
        try:
            self.callback.on_measure({"run_id": self.record.run_id} | measurement)
        except BaseException:
            self._save()  # the run can be continued from here
            raise

    def _evaluate(self, split, num_samples, whole=False, multiple=1):
        task = self.trial.task_at(multiple)
        arguments = (task.device_data, split, num_samples, whole, task)
        length = f", {multiple} times as long" if multiple > 1 else ""
        with self.display.phase(f"measuring the split {split}{length}"):
            return self.program.evaluate(self.state["weights"], self.hparams, *arguments)

    def _save(self):
        self.trial.update(self.record, self.state, time.monotonic() - self._began)
        with self.lease.held():
            checkpoints.write(self.directory.checkpoints, self.state, self.record.identity)
            held = self.record
            if held.status == "infeasible":  # until its end is logged, too
                held = dataclasses.replace(held, status="interrupted", infeasible_at=None)
            self.directory.write_record(held)
