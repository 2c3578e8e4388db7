"""What a run leaves behind: its directory, its record, its measurements."""

import dataclasses
import json
import os
import pathlib

from trainer.errors import UserError
from trainer.storage.files import whole, write_json


@dataclasses.dataclass
class RunRecord:
    """One training and its result, as `record.json` holds it.

    Losses are cross-entropies in nats or squared errors; None where there is none, as after a
    divergence. `status` is "ok", "infeasible" (diverged at step `infeasible_at`) or "interrupted".
    `stopped_early` marks one that was given up as pruned after `steps_done`, and measured there.
    `curve` has the mean training losses of the twentieths of its steps. `objective` is the number
    that tuning minimises, of the split valid. `device` is the model of the GPU, or "cpu".
    """

    run_id: str
    task: str
    arch: str
    depth: int
    units: int
    max_params: int
    num_params: int
    hparams: dict
    seed: int
    train_steps: int
    input_dim: int
    output_dim: int
    chance_loss: float
    config: dict
    data: dict
    backend: str
    versions: dict
    device: str = ""
    steps_done: int = 0
    status: str = "interrupted"
    infeasible_at: int | None = None
    train_loss: float | None = None
    valid_loss: float | None = None
    eval_loss: float | None = None
    objective: float | None = None
    stopped_early: bool = False
    metrics: dict = dataclasses.field(default_factory=dict)
    curve: list = dataclasses.field(default_factory=list)
    seconds: float = 0.0
    steps_per_second: float | None = None


class RunDirectory:
    """The files of one run.

    Args:
        path: the directory; it need not exist.
    """

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.record_path = self.path / "record.json"
        self.metrics_path = self.path / "metrics.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.events = self.path / "events"
        self.config_path = self.path / "config.gin"

    def check(self, resume):
        """Returns the record of the run to resume, or None; writes nothing.

        Raises:
            UserError: the directory holds a run and `resume` is false; it holds something else; it
                cannot be written.
        """
        existing = next(p for p in (self.path, *self.path.absolute().parents) if p.exists())
        if not existing.is_dir() or not os.access(existing, os.W_OK):
            raise UserError(f"cannot write to {self.path}; choose another --run_dir")
        if self.record_path.exists():
            if resume:
                return self.read_record()
            raise UserError(
                f"{self.path} already holds a run; continue it with --resume, "
                "or choose another --run_dir"
            )
        # A run that was killed before its record was written has left this much.
        begun = resume and self.config_path.exists()
        if self.path.exists() and not begun:
            strangers = [p.name for p in self.path.iterdir() if not p.name.startswith(".")]
            if strangers:
                raise UserError(
                    f"{self.path} holds {strangers[0]} but no run; choose another --run_dir"
                )
        return None

    def create(self, record, documents):
        """Makes the directory, with the documents (file name -> text) and then the record in it."""
        self.path.mkdir(parents=True, exist_ok=True)
        for name, text in documents.items():
            with whole(self.path / name, "w") as file:
                file.write(text)
        self.write_record(record)

    def read_record(self):
        """Reads `record.json`.

        Raises:
            UserError: it is missing or not a record.
        """
        try:
            return RunRecord(**json.loads(self.record_path.read_text()))
        except FileNotFoundError:
            raise UserError(f"{self.path} holds no run (no record.json)") from None
        except (ValueError, TypeError) as error:
            raise UserError(f"{self.record_path} is not a run's record: {error}") from None

    def write_record(self, record):
        write_json(self.record_path, dataclasses.asdict(record))

    def write_metrics(self, measurements):
        """Writes all measurements, a line each; a few hundred lines are cheap to write whole."""
        with whole(self.metrics_path, "w") as file:
            for measurement in measurements:
                file.write(json.dumps(measurement, allow_nan=False) + "\n")

    def read_metrics(self, up_to_step=None):
        """Reads the measurements, those up to a step only if one is given.

        Raises:
            UserError: the file is not what was written.
        """
        if not self.metrics_path.exists():
            return []
        try:
            lines = self.metrics_path.read_text().splitlines()
            measurements = [json.loads(line) for line in lines]
        except ValueError as error:
            raise UserError(f"{self.metrics_path} is damaged: {error}") from None
        return [m for m in measurements if up_to_step is None or m["step"] <= up_to_step]


def versions():
    """Versions of what the numbers depend on."""
    import platform
    from importlib import metadata

    names = ("rnn-zoo", "keras", "tensorflow", "jax", "numpy")
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
