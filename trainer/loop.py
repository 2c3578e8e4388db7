"""Trains one configuration: from the first step, or from where an earlier process was stopped."""

import datetime
import math
import os
import time

import keras

from trainer.display import curves
from trainer.display.progress import Display, headline
from trainer.errors import UserError
from trainer.program import WINDOWS, window_start
from trainer.signals import Signals
from trainer.storage import checkpoints, records
from trainer.storage.events import Events
from trainer.trial import Trial

#: One in so many measurements of the training loss also has the validation loss.
VALID_EVERY = 10
CHECKPOINT_SECONDS = 30.0
#: How long one compiled call should take, so that progress shows about every second.
CHUNK_SECONDS = 1.0


def _documents(config):
    """What a run that was started from Python leaves where the command leaves its gin files."""
    return dict.fromkeys(("config.gin", "operative_config.gin"), config.as_gin())


def default_run_dir(config):
    """`runs/<task>-<arch>-<date>-<time>`, a name of its own for every run."""
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    return os.path.join("runs", f"{config.task}-{config.arch}-{stamp}-{os.getpid()}")


def train(config, run_dir=None, resume=False, documents=None, display=None):
    """Trains a configuration and leaves a run directory.

    Args:
        config: the `TrainConfig`.
        run_dir: where; a new directory under `runs/` if None.
        resume: whether to continue the run that `run_dir` holds, bit for bit.
        documents: dict from file name to text, written beside the record; the configuration as gin
            if None.
        display: a `progress.Display`.

    Returns:
        The `RunRecord`; its status says whether the run ended, diverged or was interrupted.

    Raises:
        UserError: the directory cannot be used, or holds a run of another configuration.
    """
    directory = records.RunDirectory(run_dir or default_run_dir(config))
    earlier = directory.check(resume)
    run = _Run(config, directory, display or Display())
    if earlier is None:
        directory.create(run.record, documents or _documents(config))
    else:
        run.restore(earlier)
    run.introduce()
    if run.record.status == "interrupted":
        with Signals() as signals:
            run.advance(signals)
    run.conclude()
    return run.record


class _Run:
    """One process's part of a run."""

    def __init__(self, config, directory, display):
        self.config, self.directory, self.display = config, directory, display
        self.trial = Trial(config, directory.path.name)
        self.task = self.trial.task
        self.program = self.trial.program()
        self.state = self.program.start(self.trial.draw_weights())
        self.hparams = self.trial.hparams(self.program)
        self.measurements = []
        self.events = None
        self.record = self.trial.record()

    @property
    def step(self):
        return int(self.state["step"])

    def restore(self, earlier):
        """Takes up an earlier process's state."""
        for field in ("config", "data", "backend"):
            _refuse_difference(
                self.directory.path, getattr(earlier, field), getattr(self.record, field), field
            )
        self.record = earlier
        state, problems = checkpoints.latest(self.directory.checkpoints, self.state)
        for problem in problems:
            self.display.say(f"damaged checkpoint, using the one before it: {problem}")
        if state is None and problems:
            raise UserError(
                f"no readable checkpoint in {self.directory.checkpoints}; "
                "train again with another --run_dir"
            )
        if state is not None:
            self.state = state
        if self.step < earlier.steps_done:
            earlier.status, earlier.infeasible_at = "interrupted", None
        self.measurements = self.directory.read_metrics(up_to_step=self.step)

    def introduce(self):
        record = self.record
        self.display.say(
            f"{headline(record)}   steps {record.train_steps:,}   batch {self.config.batch_size}"
        )
        self.display.say(
            f"{record.backend}, chance loss {record.chance_loss:.4f}, writing to "
            f"{self.directory.path}" + (f", from step {self.step:,}" if self.step else "")
        )
        if self.config.preset and not self.step:
            self.display.say(f"starting from the weights of the preset {self.config.preset}")

    def advance(self, signals):
        """Trains to the end, to a divergence, or to a signal."""
        total, chunk = self.config.train_steps, 1
        began, first_step, earlier_seconds = time.monotonic(), self.step, self.record.seconds
        saved = began
        self.events = Events(self.directory.events, first_step)
        with self.display.steps(total, first_step) as progress:
            while self.step < total and bool(self.state["feasible"]) and not signals.received:
                start, window = self.step, self._window()
                called = time.monotonic()
                self.state = self.program.run(
                    self.state,
                    self.hparams,
                    self.task.device_data,
                    min(start + chunk, window.stop),
                )
                loss = self._mean_loss(window)
                now = time.monotonic()
                rate = (self.step - start) / (now - called)
                # The first call compiles; it says little about the rate.
                chunk = 10 if start == first_step else max(1, round(rate * CHUNK_SECONDS))
                self.record.seconds = earlier_seconds + now - began
                if self.step == window.stop:
                    self._measure(loss)
                if now - saved > CHECKPOINT_SECONDS and self.step < total:
                    self._save()
                    saved = now
                if rate > 0:
                    progress.update(self.step, loss, rate)
        self.record.status = (
            "infeasible"
            if not bool(self.state["feasible"])
            else "ok"
            if self.step == total
            else "interrupted"
        )
        self.record.infeasible_at = None if bool(self.state["feasible"]) else self.step
        self.record.seconds = earlier_seconds + time.monotonic() - began
        self.record.steps_per_second = self.step / self.record.seconds
        self._save()
        self.events.close()

    def conclude(self):
        """Measures the finished run and says where everything lies."""
        record = self.record
        if record.status == "ok" and record.eval_loss is None:
            self.trial.complete(record, self._evaluate)
            self.directory.write_record(record)
        if self.measurements:
            curves.plot(self.directory.path / "curves.png", record, self.measurements)
        where = self.directory.path
        if record.status == "interrupted":
            self.display.say(
                f"interrupted at step {self.step:,}; continue with --resume --run_dir={where}"
            )
        elif record.status == "infeasible":
            self.display.say(
                f"infeasible: training diverged at step {record.infeasible_at:,}; see {where}"
            )
        else:
            self._show_result()

    def _show_result(self):
        record = self.record
        self.display.splits(record)
        self.display.say(
            f"{record.train_steps:,} steps in {record.seconds:.0f} s; record, curves.png, "
            f"checkpoints and TensorBoard events are in {self.directory.path}"
        )

    def _window(self):
        """The steps whose mean is the next measurement; a function of the configuration alone."""
        total = self.config.train_steps
        index = min(self.step, total - 1) * WINDOWS // total
        return range(window_start(index, total), window_start(index + 1, total))

    def _mean_loss(self, window):
        """Mean training loss of the window's steps so far."""
        total = self.state["loss_sums"][window.start * WINDOWS // self.config.train_steps]
        return float(total) / max(self.step - window.start, 1)

    def _measure(self, loss):
        """Records a window's mean loss; no clock goes in, so a resumed run writes the same file."""
        measurement = {
            "step": self.step,
            "train_loss": loss,
            "gradient_norm": float(self.state["gradient_norm"]),
            "learning_rate": self.config.lr_init
            * self.config.lr_decay_rate ** (self.step / self.config.train_steps),
        }
        last = self.step == self.config.train_steps
        if (len(self.measurements) + 1) % VALID_EVERY == 0 or last:
            metrics = self.task.summarise(
                self._evaluate("valid", self.config.eval_samples),
                self.record.units,
                self.record.num_params,
            )
            if not math.isfinite(metrics["loss"]):
                # The last update's weights are finite, their loss is not: the next would find it.
                self.state["feasible"] = keras.ops.zeros_like(self.state["feasible"])
                return
            for name, value in metrics.items():
                measurement[f"valid_{name}"] = value
        self.measurements.append(measurement)
        self.directory.write_metrics(self.measurements)
        self.events.scalars(
            self.step, {k: v for k, v in measurement.items() if isinstance(v, float)}
        )

    def _evaluate(self, split, num_samples, whole=False):
        return self.program.evaluate(
            self.state["weights"], self.hparams, self.task.device_data, split, num_samples, whole
        )

    def _save(self):
        checkpoints.write(self.directory.checkpoints, self.state)
        self.record.steps_done = self.step
        self.record.curve = self.trial.curve(self.state["loss_sums"], self.step)
        self.directory.write_record(self.record)


def _refuse_difference(path, old, new, what):
    if isinstance(old, dict) and isinstance(new, dict):
        old, new = records.plain(old), records.plain(new)
        names = [name for name in new if old.get(name) != new[name]]
        if not names:
            return
        name = names[0]
        old, new, what = old.get(name), new[name], name
    if old != new:
        raise UserError(
            f"{path} holds a run with {what} {old!r}, not {new!r}; "
            "resume it with its own settings, or choose another --run_dir"
        )
