"""Which studies a sweep consists of, as gin files give them."""

import dataclasses
import importlib.resources
import itertools
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import gin

from rnn_zoo.architectures import ARCHITECTURES
from trainer.cli import gin_files
from trainer.config import TrainConfig, check_range
from trainer.errors import UserError
from tuning.config import StudyConfig, study_config
from tuning.search import space

#: Trials that are proposed together where StudyConfig.batch does not say: what a study tries must
#: not depend on the engine that runs it.
BATCH = 8

_TRAIN = tuple(field.name for field in dataclasses.fields(TrainConfig))
_STUDY = tuple(field.name for field in dataclasses.fields(StudyConfig) if field.name != "seed")
#: What a study's name says always, in this order; what else the grid varies is added.
_NAMED = ("task", "arch", "depth", "num_params", "algorithm")


@dataclasses.dataclass(frozen=True)
class SweepConfig:
    """The studies of a sweep.

    Attributes:
        grid: list of dicts. Each stands for the product over its lists: it maps a field of
            `TrainConfig` or of `StudyConfig` to a value or to a list of values, and `reruns` to how
            often the best hyperparameters are trained again (appendix C). A +RNN of depth 1 is left
            out, as in the paper (section 1.4).

    Raises:
        UserError: an unknown name, or no study at all.
    """

    grid: Sequence[dict] = ()

    def __post_init__(self):
        if not isinstance(self.grid, (list, tuple)) or not self.grid:
            raise UserError(f"SweepConfig.grid must be a list of dicts, got {self.grid!r}")
        for entry in self.grid:
            if not isinstance(entry, dict):
                raise UserError(f"SweepConfig.grid must be a list of dicts, got {entry!r} in it")
            for name in ("task", "arch"):
                if name not in entry:
                    raise UserError(f"each dict of SweepConfig.grid needs {name!r}: {entry}")
            for name, value in entry.items():
                _check_entry(name, value)

    def points(self):
        """Yields (values of one study, names of those that its dict varies)."""
        for entry in self.grid:
            lists = {n: v if isinstance(v, (list, tuple)) else [v] for n, v in entry.items()}
            varied = [name for name, values in lists.items() if len(values) > 1]
            for values in itertools.product(*lists.values()):
                yield dict(zip(lists, values, strict=True)), varied


def _check_entry(name, value):
    names = (*_TRAIN, *_STUDY, "reruns")
    if name not in names:
        raise UserError(f"SweepConfig.grid has no {name!r}; it may have {', '.join(names)}")
    values = value if isinstance(value, (list, tuple)) else [value]
    if not values:
        raise UserError(f"SweepConfig.grid has an empty list for {name}")
    kinds = {"task": str, "arch": str, "task_options": dict}
    for each in values:
        if name in kinds and not isinstance(each, kinds[name]):
            raise UserError(
                f"{name} in SweepConfig.grid must be a {kinds[name].__name__}, got {each!r}"
            )


class Spec(NamedTuple):
    """One study of a sweep.

    Attributes:
        name: what its directory is called.
        config: the `TrainConfig` whose hyperparameters are searched.
        study: the `StudyConfig`.
        reruns: how often the best hyperparameters are trained again.
        num_steps: T of its task.
    """

    name: str
    config: TrainConfig
    study: StudyConfig
    reruns: int
    num_steps: int

    @property
    def num_trainings(self):
        """Trials and reruns together."""
        return self.study.num_trials + self.reruns


_CONFIGURABLE = gin.external_configurable(SweepConfig, "SweepConfig")


def parse(path, profile, bindings=(), flags=None, text8=None):
    """The studies that a gin file asks for.

    A grid within the scope of a profile, `smoke/SweepConfig.grid = ...`, counts before the one
    without. Each study then has the project's own files for its task, architecture and profile, and
    the grid's values last.

    Args:
        path: of the gin file; one of gin_configs/paper is found without the directory's being here.
        profile: one of `gin_files.PROFILES`.
        bindings: further bindings.
        flags: dict from a field to a value for all studies; what is None was not given.
        text8: dict of options of the task text8.

    Returns:
        (list of `Spec`, the file's text).

    Raises:
        UserError: an unknown name or value, a file that is missing or wrong.
    """
    path = _find(path)
    sweep, text = _read(path, profile, bindings)
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    base, specs = _Base(path, profile, bindings, text8), {}
    for values, varied in sweep.points():
        spec = base.spec(values | given, varied)
        if spec is None:
            continue
        if spec.name in specs:
            raise UserError(
                f"SweepConfig.grid gives {spec.name} twice; put what differs into one list, so "
                "that names tell the studies apart"
            )
        specs[spec.name] = spec
    if not specs:
        raise UserError("SweepConfig.grid leaves no study: a +RNN of depth 1 is none")
    return list(specs.values()), text


def points(path, profile):
    """What a gin file's grid consists of, unchecked: a list of dicts, one a study.

    Args, Raises: as `parse`.
    """
    sweep, _ = _read(_find(path), profile, ())
    return [values for values, _ in sweep.points()]


def _read(path, profile, bindings):
    """The `SweepConfig` of a file for a profile, and the file's text."""
    if profile not in gin_files.PROFILES:
        raise UserError(
            f"unknown profile {profile!r}; choose one of {', '.join(gin_files.PROFILES)}"
        )
    text = gin_files.read(path)
    with gin_files.mistakes():
        gin.clear_config()
        gin.parse_config([text, *bindings])
        with gin.config_scope(profile):
            return _CONFIGURABLE(), text


class _Base:
    """What studies have in common, parsed once a task and architecture."""

    def __init__(self, path, profile, bindings, text8):
        self._arguments, self._text8 = (profile, [path], bindings), text8
        self._parsed, self._tasks = {}, {}

    def spec(self, values, varied):
        task, arch = values["task"], values["arch"]
        if (task, arch) not in self._parsed:
            options = self._text8 if task == "text8" else None
            flags = {"task": task, "arch": arch}
            config = gin_files.parse(flags, options, *self._arguments).config
            self._parsed[task, arch] = (config, study_config({}))
        config, study = self._parsed[task, arch]
        if values.get("depth") == 1 and ARCHITECTURES[config.arch].min_depth > 1:
            return None
        train = {name: value for name, value in values.items() if name in _TRAIN}
        # The task's own options stay where the grid sets others.
        train["task_options"] = config.task_options | values.get("task_options", {})
        train["arch"] = config.arch
        config = dataclasses.replace(config, **train)
        chosen = {name: value for name, value in values.items() if name in _STUDY}
        study = dataclasses.replace(study, **chosen)
        study = dataclasses.replace(study, batch=study.batch or BATCH)
        reruns = values.get("reruns", 0)
        check_range("reruns", reruns, 0, 100_000, whole=True)
        # What could not be trained is refused before anything is.
        space.of_study(config, study)
        task = self._task(config)
        config.units(task.input_dim, task.output_dim)
        name = _name(config, study, values, varied)
        return Spec(name, config, study, reruns, task.num_steps)

    def _task(self, config):
        options = (config.task, repr(config.task_options))
        if options not in self._tasks:
            self._tasks[options] = config.make_task()
        return self._tasks[options]


def _name(config, study, values, varied):
    known = {"algorithm": study.algorithm}
    parts = [str(known.get(name) or getattr(config, name)) for name in _NAMED]
    for name in varied:
        if name not in _NAMED:
            value = values[name]
            entries = value.items() if isinstance(value, dict) else [(name, value)]
            parts += [f"{entry}_{_in_a_name(what)}" for entry, what in entries]
    return "-".join(parts)


def _in_a_name(value):
    """A value as part of a file name."""
    return "".join(c if c.isalnum() or c in "._+-" else "_" for c in str(value)).strip("_")


def _find(path):
    """The file, or the one of that name that is installed with the project."""
    if pathlib.Path(path).exists():
        return path
    parts = pathlib.PurePath(path).parts
    if "gin_configs" in parts:
        inside = parts[parts.index("gin_configs") + 1 :]
        installed = importlib.resources.files("gin_configs").joinpath(*inside)
        if installed.is_file():
            return str(installed)
    return path
