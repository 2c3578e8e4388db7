"""A run's directory, record and measurements."""

import dataclasses
import errno
import hashlib
import itertools
import json
import math
import os
import pathlib
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Required, TypedDict

from rnn_zoo.files import check_replaceable, whole
from rnn_zoo.json_types import LARGEST, Count, FileName, Name, Size
from rnn_zoo.names import home_of
from trainer.display.words import count
from trainer.errors import UserError
from trainer.storage import json_files
from trainer.storage.differences import plain, refuse_difference
from trainer.storage.files import refuse_links
from trainer.windows import CURVE_POINTS, window_ends

#: Fields in which equal runs may differ.
INCIDENTAL = (
    "date", "host", "command", "commit", "peak_memory", "seconds", "steps_per_second", "crc32",
)  # fmt: skip
#: Fields that may name machines and paths. Only a run's own `record.json` has them: the logs of
#: studies are meant to be published.
PRIVATE = ("host", "command")
#: Files of a run that exist before its record.
DOCUMENTS = ("config.gin", "operative_config.gin")
_LEASE = ("lease.json", "lease.lock")
#: File name of the picture of a run's learning curves.
CURVES = "curves.png"
#: Field of a record -> that of its configuration, which has the same value.
SHARED = {"task": "task", "arch": "arch", "depth": "depth", "max_params": "num_params"}
#: The same, for fields that differ between the trials of a study too.
OF_CONFIG = SHARED | {name: name for name in ("seed", "train_steps")}
#: Name of a trial's directory in a study.
_TRIAL = re.compile("trial_([0-9]{5})")
_FINITE = "of finite numbers"


def _are_finite(values: Any) -> bool:
    if isinstance(values, (list, dict)):
        return all(map(_are_finite, values.values() if isinstance(values, dict) else values))
    return not isinstance(values, float) or abs(values) <= LARGEST


class TaskOptions(TypedDict, total=False):
    """Options of a task, of which some are read by name."""

    num_samples: Count | None
    num_steps: Count | None


class _Hparams(TypedDict, total=False):
    """Hyperparameters of a record, of which some are read by name."""

    task_options: Required[TaskOptions]
    activation: Required[Name | None]
    optimizer: Name
    lr_init: float
    gate_bias: float | dict[str, float]


class _Fields(TypedDict, total=False):
    """Fields of a record's configuration, of which some are read by name."""

    task: Name
    arch: Name
    optimizer: Name
    task_options: dict[str, Any]
    data_seed: Count | None
    eval_samples: Count
    preset: str | None
    init_from: str | None
    precision: Name


class _Metrics(TypedDict, total=False):
    loss: float
    mutual_information: float
    bits_per_parameter: float
    bits_per_character: float


#: Where the hyperparameters of a trial come from.
Origin = Literal["first", "random", "search", "transfer"]
Hparams = Annotated[_Hparams, _are_finite, _FINITE]
Fields = Annotated[_Fields, _are_finite, _FINITE]
#: Metrics of a split; each task has its own besides the loss.
Metrics = Annotated[_Metrics, _are_finite, _FINITE]


class AtLength(TypedDict):
    """Measurement of the split eval at a multiple of the trained length.

    The metrics are None if the loss is not finite.
    """

    multiple: Size
    num_steps: Size
    chance_loss: float
    metrics: Metrics | None


class Measurement(TypedDict, total=False):
    """A line of `metrics.jsonl`; it has metrics of the split valid as well.

    Gradient norm and learning rate are those of the step. Files of earlier versions have the
    learning rate of the next step.
    """

    step: Required[Count]
    train_loss: Required[float]
    gradient_norm: float
    learning_rate: float
    valid_loss: float


@dataclasses.dataclass
class RunRecord:
    """One training run and its result, the content of `record.json`.

    Attributes:
        versions: those of Python, of packages that affect the numbers, and of the modules that
            define the user's task, cell and optimizer; see `trainer.names.code_of`.
        status: "ok", "infeasible" (diverged at step `infeasible_at`) or "interrupted".
        train_loss, valid_loss, eval_loss: cross-entropies in nats or squared errors; None if the
            loss is not finite.
        objective: the number that tuning minimises, on the split valid.
        stopped_early: whether the trial was pruned; it is measured after `steps_done` steps.
        metrics: split -> metrics.
        lengths: measurements on the split eval at multiples of the trained length, dicts of
            `multiple`, `num_steps`, `chance_loss` and `metrics`, which are None if the loss is not
            finite; older records have none.
        curve: mean training loss of each twentieth of the steps.
        origin: where a trial's hyperparameters come from: "first" (given by the user or the
            configuration), "random" (drawn), "search" (proposed by the model) or "transfer" (best
            of another study); None outside a study, and in records of older versions.
        transferred_from: STUDY/RUN_ID of the source trial, if the origin is "transfer".
        held: names of the hyperparameters that the user fixed, as the search space spells them.
        searched: names of those that the study searched.
        outside: names of those, held or searched, whose values are outside the paper's ranges or
            which the paper does not tune.
        defaults: field of options -> option -> default when the run started, for all options of
            task, cell and optimizer; older records have none.
        device: model of the GPU, or "cpu".
        date: UTC time at which the run started, in ISO format.
        host: name of the machine; None in the log of a study.
        command: command line that started the run; None in the log of a study.
        commit: git commit of the working directory, followed by "-dirty" if files differ from it;
            None without git.
        peak_memory: most memory in use, in MiB: that of the GPU, or of the process on a CPU or if
            the GPU does not count it. Lanes of one process share it.
        profile: amount of work that the command chose with --profile; None if it started from a
            preset or a run, from Python, and in the log of a study, whose study.json has it.
        crc32: checksum, which only files have.
    """

    run_id: FileName
    task: Name
    arch: Name
    depth: Size
    units: Size
    max_params: Size
    num_params: Size
    hparams: Annotated[dict[str, Any], Hparams]
    seed: Count
    train_steps: Size
    input_dim: Size
    output_dim: Size
    chance_loss: float
    config: Annotated[dict[str, Any], Fields]
    data: dict[str, Any]
    backend: str
    versions: dict[str, str]
    device: str = ""
    steps_done: Count = 0
    status: Annotated[str, Literal["ok", "infeasible", "interrupted"]] = "interrupted"
    infeasible_at: Count | None = None
    train_loss: float | None = None
    valid_loss: float | None = None
    eval_loss: float | None = None
    objective: float | None = None
    stopped_early: bool = False
    metrics: Annotated[dict[str, dict], dict[str, Metrics]] = dataclasses.field(
        default_factory=dict
    )
    lengths: Annotated[list[dict], list[AtLength]] = dataclasses.field(default_factory=list)
    curve: list[float] = dataclasses.field(default_factory=list)
    seconds: float = 0.0
    steps_per_second: float | None = None
    origin: Annotated[str | None, Origin | None] = None
    transferred_from: str | None = None
    held: list[str] = dataclasses.field(default_factory=list)
    searched: list[str] = dataclasses.field(default_factory=list)
    outside: list[str] = dataclasses.field(default_factory=list)
    defaults: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    date: str | None = None
    host: str | None = None
    command: str | None = None
    commit: str | None = None
    peak_memory: Count | None = None
    profile: str | None = None
    crc32: str | None = None

    def __post_init__(self):
        for problem in self._contradictions():
            raise UserError(problem)

    def _contradictions(self):
        """Yield what does not fit together, which a checksum cannot tell, if there is one."""
        named = {name: (getattr(self, name), field) for name, field in OF_CONFIG.items()}
        named |= {f"the hyperparameter {name}": (v, name) for name, v in self.hparams.items()}
        for name, (held, field) in named.items():
            wanted = self.config.get(field, held)
            if held != wanted and plain(held) != plain(wanted):
                yield f"it has {name} {_brief(held)}, and its configuration {_brief(wanted)}"
        if (self.status == "infeasible") != (self.infeasible_at is not None):
            article = "no" if self.infeasible_at is None else "an"
            yield f"its status is {self.status}, and it has {article} infeasible_at"
        if self.status == "infeasible" and self.objective is not None:
            yield "its status is infeasible, and it has an objective"
        if self.infeasible_at is not None and self.infeasible_at > self.steps_done:
            done = count(self.steps_done, "step")
            yield f"it diverged at step {self.infeasible_at:,}, and has done {done}"
        if self.chance_loss <= 0:
            yield f"its chance_loss is {self.chance_loss}"
        yield from self._contradictory_metrics()
        done = f"it has done {self.steps_done:,} of {count(self.train_steps, 'step')}"
        if self.steps_done > self.train_steps:
            yield done
        elif self.status == "ok" and self.steps_done < self.train_steps and not self.stopped_early:
            yield f"its status is ok, and {done}"
        if self.seconds < 0:
            yield f"it took {self.seconds} seconds"
        multiples = [each["multiple"] for each in self.lengths]
        if len(set(multiples)) < len(multiples):
            yield "it has several measurements at one length"
        most = len(window_ends(self.train_steps, CURVE_POINTS))
        if len(self.curve) > most:
            yield f"its curve has {len(self.curve)} points, of at most {most}"

    def _contradictory_metrics(self):
        for name in ("valid_loss", "eval_loss"):
            if self.objective is not None and getattr(self, name) is None:
                yield f"it has an objective, and no {name}"
        for split, metrics in self.metrics.items():
            held = getattr(self, f"{split}_loss", None)
            if metrics.get("loss", held) != held:
                yield f"its {split}_loss is {held}, and that of its metrics {metrics['loss']}"
            bits, rate = metrics.get("mutual_information"), metrics.get("bits_per_parameter")
            if bits and rate and not math.isclose(rate * self.num_params, bits, rel_tol=1e-6):
                yield f"it has {bits} bits on {split}, and {rate} in each of its parameters"

    @property
    def code(self) -> dict[str, str | None]:
        """Module -> version of those that define the user's task, cell and optimizer."""
        named = (self.task, self.arch, self.config.get("optimizer"))
        return {home: self.versions.get(home) for home in map(home_of, named) if home}

    def check_data(self, data: Mapping[str, Any], path: str | os.PathLike) -> None:
        """Raise a `UserError` if the data are not those that the run in `path` was measured on.

        Args:
            data: what the task says about its data now, from `Task.describe`.
        """
        way_out = "restore the former data"
        refuse_difference(f"{path} was measured", {"data": self.data}, {"data": data}, way_out)

    @property
    def identity(self) -> str:
        """Hash of configuration and data, which equal runs share and checkpoints name."""
        # The data have the hash of a text, whose location may change.
        options = {**self.config.get("task_options", {}), "path": None}
        config = self.config | {"task_options": options}
        text = json.dumps(plain([config, self.data]), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def _brief(value):
    return textwrap.shorten(str(value), 80, placeholder="...")


class RunDirectory:
    """The files of one run.

    Args:
        path: the directory; it need not exist.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = pathlib.Path(path)
        self.record_path = self.path / "record.json"
        self.metrics_path = self.path / "metrics.jsonl"
        self.checkpoints = self.path / "checkpoints"

    @property
    def name(self) -> str:
        """Name of the directory, the `run_id` of its run."""
        return os.path.basename(os.path.abspath(self.path))

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is a checkpoint, readable or not."""
        return any(self.checkpoints.glob("step-*.safetensors"))

    def check(self, resume: bool) -> RunRecord | None:
        """Return the record of the run to resume, or None for a new run; write nothing.

        Raises:
            UserError: the directory holds a run and `resume` is false, holds something else or
                links, or cannot be written.
        """
        refuse_links(self.path)
        existing = next(p for p in (self.path, *self.path.absolute().parents) if p.exists())
        if not existing.is_dir() or not os.access(existing, os.W_OK):
            raise UserError(f"cannot write to {self.path}; choose another --run_dir")
        for path in (self.record_path, self.metrics_path, self.path / CURVES):
            check_replaceable(path)
        if self.record_path.exists():
            if resume:
                return self.read_record()
            raise UserError(
                f"{self.path} already holds a run; continue it with --resume, "
                "or choose another --run_dir"
            )
        names = sorted(p.name for p in self.path.iterdir()) if self.path.exists() else []
        # A run that was killed before its record was written leaves the documents.
        own = (*_LEASE, *DOCUMENTS) if resume else _LEASE
        strangers = [name for name in names if name not in own and name[0] != "."]
        if strangers:
            way_out = "restore its record.json, or " if resume else ""
            raise UserError(
                f"{self.path} holds {strangers[0]} but no run; {way_out}choose another --run_dir"
            )
        return None

    def create(self, record: RunRecord, documents: Mapping[str, str]) -> None:
        """Make the directory, write the documents (file name -> text), then the record."""
        self.path.mkdir(parents=True, exist_ok=True)
        for name, text in documents.items():
            with whole(self.path / name, "w") as file:
                file.write(text)
        self.write_record(record)

    def read_record(self) -> RunRecord:
        """Read `record.json`.

        Raises:
            UserError: it is missing or invalid.
        """
        try:
            return json_files.read(self.record_path, RunRecord)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
                raise
            reason = "holds no run (no record.json)"
            if os.path.isfile(self.path):
                reason = "is a file; a run is a directory"
            elif os.path.isdir(self.path) and (self.path.parent / "study.json").exists():
                reason = (
                    "is a trial that was not kept (no record.json): its study keeps the runs of as "
                    "many best trials as --keep says; its record is in trials.jsonl"
                )
            raise UserError(f"{self.path} {reason}") from None

    def write_record(self, record: RunRecord) -> None:
        json_files.write(self.record_path, dataclasses.asdict(record))

    def write_metrics(self, measurements: Sequence[dict], run: str) -> None:
        """Write all measurements of the run with this `identity`, one line each."""
        json_files.write_lines(self.metrics_path, measurements, run)

    def read_metrics(self, run: str, up_to_step: int | None = None) -> list[dict]:
        """Read the measurements of a run.

        Args:
            run: `identity` of its record.
            up_to_step: the last step to read; all if None.

        Raises:
            UserError: the file is damaged, is another run's or has a step twice.
        """
        try:
            measurements, problems = json_files.read_lines(self.metrics_path, Measurement, run)
        except FileNotFoundError:
            return []
        steps = [each["step"] for each in measurements]
        problems += [
            f"step {step} follows step {before}"
            for before, step in itertools.pairwise(steps)
            if step <= before
        ]
        if problems:
            raise UserError(f"{self.metrics_path} is damaged: {problems[0]}")
        return [m for m in measurements if up_to_step is None or m["step"] <= up_to_step]

    def stranger(self, record: RunRecord) -> str | None:
        """Say that the directory of a trial holds another run's record; None if it does not."""
        trial = _TRIAL.fullmatch(self.name)
        if not trial or trial[1] == record.run_id:
            return None
        return f"{self.path} holds the record of {record.run_id}"

    def refuse_stranger(self, record: RunRecord) -> None:
        """Raise a UserError if the directory of a trial holds another run's record."""
        if stranger := self.stranger(record):
            raise UserError(f"{stranger}; name that run's own directory, or restore this one")

    def gaps(self, record: RunRecord, step: int, measurements: Sequence[dict]) -> str | None:
        """Say which measurements of the first `step` steps are lost; None if none is.

        The trials of studies have no measurements.
        """
        ends = [end for end in window_ends(record.train_steps) if end <= step]
        # The measurement at which a run diverges is not written.
        lost = set(ends) - {record.infeasible_at} - {each["step"] for each in measurements}
        is_trial = record.origin or self.name.endswith(f"_{record.run_id}")
        if not lost or (is_trial and not measurements):
            return None
        of_all = count(len(ends), "measurement")
        return f"{self.metrics_path} lacks {len(lost)} of {of_all}; the curves have gaps"


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that affect the numbers."""
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
