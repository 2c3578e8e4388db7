"""The studies of a sweep, from gin files."""

import dataclasses
import importlib.resources
import itertools
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rnn_zoo.architectures import ALIASES, ARCHITECTURES
from trainer import initial_weights, names
from trainer.cli import gin_files
from trainer.cli.gin_files import gin
from trainer.config import OPTIONS, TrainConfig, check_choice, check_range
from trainer.errors import UserError
from tuning.config import MAX_RERUNS, StudyConfig, study_config
from tuning.search import ranges
from tuning.search.space import by_option

_TRAIN = tuple(field.name for field in dataclasses.fields(TrainConfig))
_STUDY = tuple(field.name for field in dataclasses.fields(StudyConfig) if field.name != "seed")
#: Axes along which studies may start from the best hyperparameters of smaller ones.
TRANSFERS = ("num_params", "depth")
#: Value of `arch` in a grid that stands for every registered architecture.
ALL = "all"
#: Fields whose value is a tuple, not a list of values.
_TUPLES = ("eval_lengths",)
#: Fields of a grid that determine which options there are, and which values are valid.
_OWNERS = ("task", "arch", "optimizer", "activation")
#: Fields that a study's name always has, in this order; others are added if the grid varies them.
_NAMED = ("task", "arch", "depth", "num_params", "algorithm")


@dataclasses.dataclass(frozen=True)
class SweepConfig:
    """The studies of a sweep.

    Attributes:
        grid: list of dicts, each of which expands to the product of its lists. A dict maps fields
            of `TrainConfig` or `StudyConfig` to a value or a list of values, `reruns` to the
            number of reruns of the best hyperparameters (appendix C), and `priority` (0 by default)
            to a number: studies with a lower one start first. With `'transfer': 'num_params'` or
            `'depth'`, the first trial of each study has the best hyperparameters of the next
            smaller study along this axis, which runs first; see `tuning.sweep.transfer`. A value in
            a list becomes part of its study's name; the tuple `eval_lengths` is one value.
            `'arch': 'all'` stands for every registered architecture; without a depth, each has its
            minimum depth. A +RNN of depth 1 is skipped, as in the paper (section 1.4).
        common: default entries for all dicts of the grid; if both have a dict for the same field,
            such as `ranges`, the two are merged.

    Raises:
        UserError: a name is unknown, or there is no study.
    """

    grid: Sequence[dict[str, Any]] = ()
    common: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        if not isinstance(self.common, dict):
            raise UserError(f"SweepConfig.common must be a dict, got {self.common!r}")
        if not isinstance(self.grid, (list, tuple)) or not self.grid:
            raise UserError(f"SweepConfig.grid must be a list of dicts, got {self.grid!r}")
        for entry in self.grid:
            if not isinstance(entry, dict):
                raise UserError(f"SweepConfig.grid must be a list of dicts, got {entry!r} in it")
            merged = self._with_common(entry)
            for name in ("task", "arch"):
                if name not in merged:
                    raise UserError(f"each dict of SweepConfig.grid needs {name!r}: {entry}")
            for name, value in merged.items():
                _check_entry(name, value)

    def _with_common(self, entry):
        merged = {**self.common, **entry}
        for name in self.common.keys() & entry.keys():
            if isinstance(self.common[name], dict) and isinstance(entry[name], dict):
                merged[name] = self.common[name] | entry[name]
        return merged

    def points(self) -> Iterator[tuple[dict[str, Any], list[str]]]:
        """Yield (values of one study, names that its dict gives as lists)."""
        for entry in map(self._with_common, self.grid):
            if entry["arch"] == ALL:
                entry["arch"] = list(ARCHITECTURES)
            varied = [name for name, value in entry.items() if _is_list(name, value)]
            lists = {name: v if name in varied else [v] for name, v in entry.items()}
            for values in itertools.product(*lists.values()):
                yield dict(zip(lists, values, strict=True)), varied


def _is_list(name, value):
    return isinstance(value, (list, tuple)) and name not in _TUPLES


def _check_entry(name, value):
    names = (*_TRAIN, *_STUDY, "reruns", "transfer", "priority")
    if name not in names:
        raise UserError(f"SweepConfig.grid has no {name!r}; it may have {', '.join(names)}")
    values = value if _is_list(name, value) else [value]
    if not values:
        raise UserError(f"SweepConfig.grid has an empty list for {name}")
    kinds = {"task": str, "arch": str, **dict.fromkeys(OPTIONS, dict)}
    for each in values:
        if name in kinds and not isinstance(each, kinds[name]):
            raise UserError(
                f"{name} in SweepConfig.grid must be a {kinds[name].__name__}, got {each!r}"
            )


class Spec(NamedTuple):
    """One study of a sweep.

    Attributes:
        name: name of its directory.
        config: the configuration whose hyperparameters are searched; None if it names something
            that is not registered, in a sweep that `Sweep.open` read leniently.
        study: the configuration of the search.
        reruns: number of reruns of the best hyperparameters.
        num_steps: number of time steps of its task.
        transfer: axis along which it starts from a smaller study, one of `TRANSFERS`, or None.
        priority: studies with a lower number start first.
    """

    name: str
    config: TrainConfig
    study: StudyConfig
    reruns: int
    num_steps: int
    transfer: str | None = None
    priority: int = 0

    @property
    def is_known(self) -> bool:
        """Whether all names of its configuration are registered."""
        return self.config is not None

    @property
    def num_runs(self) -> int:
        """Number of trials and reruns together."""
        return self.study.num_trials + self.reruns


_CONFIGURABLE = gin_files.configurable(SweepConfig)


def parse(
    path: str | Sequence[str],
    profile: str,
    bindings: Sequence[str] = (),
    flags: Mapping[str, Any] | None = None,
    data: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[list[Spec], str, list[str]]:
    """Parse the studies of a gin file.

    A grid in the scope of a profile, `smoke/SweepConfig.grid = ...`, replaces the one without a
    scope. The values of a study are those of the project's files for its task, architecture and
    profile, overridden by this file's bindings, the additional bindings and its grid, which must
    agree, and then by flags.

    Args:
        path: the gin file, or several, of which later ones override earlier ones; only one may
            have a grid. Those of gin_configs/paper are found from any directory.
        profile: one of `gin_files.PROFILES`.
        bindings: additional gin bindings.
        flags: values for all studies, by field; None if not set.
        data: task -> option -> value, which locate the data of tasks.

    Returns:
        (the studies, the text of the files with the bindings at its end and the flags in a comment,
        a sentence for each value without effect).

    Raises:
        UserError: a name or value is invalid, a binding and the grid set different values, or a
            file is missing or malformed.
    """
    paths = [_find(each) for each in ([path] if isinstance(path, str) else path)]
    sweep, text, others = _read(paths, profile, bindings)
    data = data or {}
    of_data = {f"{task}_{name}": value for task in data for name, value in data[task].items()}
    text = _with_command(text, profile, bindings, {**(flags or {}), **of_data})
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    base = _Base(paths, others, profile, bindings, data)
    specs: dict[str, Spec] = {}
    for values, varied in sweep.points():
        spec = base.spec(values, given, varied)
        if spec is None:
            continue
        if spec.name in specs:
            raise UserError(
                f"SweepConfig.grid gives {spec.name} twice; put the values that differ into one "
                "list, so that names tell the studies apart"
            )
        specs[spec.name] = spec
    if not specs:
        raise UserError(
            "SweepConfig.grid leaves no study, because a +RNN of depth 1 is skipped; set a depth "
            "of 2 or more"
        )
    return list(specs.values()), text, list(base.notes)


def _with_command(text, profile, bindings, flags):
    """Return the text of gin files with the other settings of a command."""
    given = {"profile": None if profile == "laptop" else profile} | flags
    words = [f"--{name}={value}" for name, value in given.items() if value is not None]
    header = [f"# Flags: {' '.join(words)}"] if words else []
    return "\n".join([*header, text, *bindings])


def points(path: str, profile: str) -> list[dict[str, Any]]:
    """Return the values of each study of a gin file's grid, unchecked; see `parse`."""
    sweep, *_ = _read([_find(path)], profile, ())
    return [values for values, _ in sweep.points()]


def _read(paths, profile, bindings):
    """Read files for a profile.

    Returns:
        (their `SweepConfig`, their text, those of them that bind anything else).
    """
    if profile not in gin_files.PROFILES:
        raise UserError(
            f"unknown profile {profile!r}; choose one of {', '.join(gin_files.PROFILES)}"
        )
    texts = [gin_files.read(path) for path in paths]
    gin_files.check_bindings(bindings)
    bound = []
    for path, text in zip(paths, texts, strict=True):
        with gin_files.mistakes(path):
            bound.append((path, *_bound_alone(text)))
    with_grid = [path for path, has_grid, _ in bound if has_grid]
    others = [path for path, _, has_others in bound if has_others]
    if len(with_grid) > 1:
        raise UserError(
            f"{' and '.join(with_grid)} each have a SweepConfig.grid, of which only the last would "
            "be used; run them one after the other with the same --out"
        )
    with gin_files.mistakes():
        gin.clear_config()
        gin.parse_config([*texts, *bindings])
        _check_scopes()
        gin_files.check_references()
        with gin.config_scope(profile):
            return _CONFIGURABLE(), "\n".join(texts), others


def _bound_alone(text):
    """Whether a gin text has a grid, and anything but `SweepConfig`; clears gin's configuration."""
    gin.clear_config()
    gin.parse_config(text)
    found = _bound()
    return any("grid" in fields for fields in found.values()), len(found) < len(gin.config._CONFIG)


def _check_scopes():
    for scope in _bound():
        if scope not in ("", *gin_files.PROFILES):
            raise UserError(
                f"{scope}/SweepConfig has no effect: a scope is a profile, one of "
                f"{', '.join(gin_files.PROFILES)}"
            )


def _bound():
    """Return the fields of `SweepConfig` that gin has bound, by scope."""
    bindings = gin.config._CONFIG.items()
    is_sweep = f".{SweepConfig.__name__}"
    return {scope: fields for (scope, name), fields in bindings if f".{name}".endswith(is_sweep)}


class _Base:
    """Configurations that the grid overrides, parsed once per task, architecture and optimizer."""

    def __init__(self, paths, others, profile, bindings, data):
        # A large grid would be parsed for each architecture.
        self._arguments, self._data = (profile, others, bindings), data
        self._paths, self._bindings = paths, bindings
        self._parsed, self._tasks, self.notes = {}, {}, {}

    def spec(self, grid, flags, varied):
        values = grid | flags
        names.load_named(values)
        owners = {name: values[name] for name in _OWNERS if name in values}
        parsed, study, bound = self._parse(owners)
        if values.get("depth") == 1 and ARCHITECTURES[parsed.config.arch].min_depth > 1:
            return None
        self._check_conflicts({n: v for n, v in grid.items() if n not in flags}, bound)
        config = self._config(parsed.config, values, varied)
        train = {name: value for name, value in values.items() if name in _TRAIN}
        given = parsed.given | gin_files.given_names(train)
        chosen = {name: value for name, value in values.items() if name in _STUDY}
        chosen["ranges"] = self._ranges(study, values)
        study = dataclasses.replace(study, **chosen)
        config, study = ranges.hold(config, given, study, parsed.batch_size)
        reruns = values.get("reruns", 0)
        check_range("reruns", reruns, 0, MAX_RERUNS, whole=True)
        transfer = values.get("transfer")
        check_choice("transfer", transfer, (None, *TRANSFERS))
        priority = values.get("priority", 0)
        check_range("priority", priority, 0, 100_000, whole=True)
        # Refuse an invalid study before any training.
        ranges.of_study(config, study)
        self.notes |= dict.fromkeys(ranges.without_effect(config, study, given))
        task = self._task(config)
        initial_weights.check(config, task)
        name = _name(config, study, values, varied)
        return Spec(name, config, study, reruns, task.num_steps, transfer, priority)

    def _parse(self, owners):
        """Return the configurations without the grid, and the values that bindings set.

        Args:
            owners: values of the grid for `_OWNERS`.
        """
        key = tuple(owners.items())
        if key not in self._parsed:
            data = self._data.get(owners["task"])
            parsed = gin_files.parse(owners, data, *self._arguments)
            study = study_config(parsed, {})
            bound = {"TrainConfig": parsed.bound, "StudyConfig": parsed.others["StudyConfig"]}
            self._parsed[key] = (parsed, study, bound)
        return self._parsed[key]

    def _config(self, config, values, varied):
        """Return a configuration with the values of the grid and of flags."""
        train = {name: value for name, value in values.items() if name in _TRAIN}
        # Merged, so that options which the grid does not set keep the values of gin files.
        train |= {name: getattr(config, name) | values.get(name, {}) for name in OPTIONS}
        train["task_options"] |= self._data.get(config.task, {})
        try:
            return dataclasses.replace(config, **train | {"arch": config.arch})
        except UserError as error:
            lists = [name for name in ("task", "arch", "optimizer") if name in varied]
            if not lists or "has no option" not in str(error):
                raise
            raise UserError(
                f"{error}; give the {lists[0]} that has it a dict of its own in SweepConfig.grid"
            ) from None

    def _check_conflicts(self, grid, bound):
        """Raise a `UserError` if a binding and the grid set different values."""
        for cls, fields in (("TrainConfig", _TRAIN), ("StudyConfig", _STUDY)):
            wanted = _by_option({name: grid[name] for name in fields if name in grid})
            for name, value in _by_option(bound[cls]).items():
                if name in wanted and name != "ranges" and wanted[name] != value:
                    place = self._place(cls, name.partition(".")[0])
                    raise UserError(
                        f"{name} is {value!r} in {place}, and {wanted[name]!r} in "
                        "SweepConfig.grid; omit one of the two"
                    )

    def _ranges(self, study, values):
        """Return the ranges of bindings and of the grid together."""
        wanted = values.get("ranges", {})
        try:
            return ranges.united(study.ranges, wanted) if isinstance(wanted, dict) else wanted
        except UserError as error:
            place = self._place("StudyConfig", "ranges")
            raise UserError(
                f"{error} ({place}, and SweepConfig.grid); omit one of the two"
            ) from None

    def _place(self, cls, name):
        """Return where the user has bound a field."""
        wanted = f"{cls}.{name}"
        if any(wanted in binding for binding in self._bindings):
            return f"--gin_bindings ({wanted})"
        having = [path for path in self._paths if wanted in gin_files.read(path)]
        return f"{(having or self._paths)[-1]} ({wanted})"

    def _task(self, config):
        options = (config.task, repr(config.task_options))
        if options not in self._tasks:
            self._tasks[options] = config.make_task()
        return self._tasks[options]


def _by_option(values):
    """Return the values with an entry per option, and the architecture's proper name."""
    found = by_option(values)
    return found | {n: ALIASES.get(v, v) for n, v in found.items() if n == "arch"}


def prefix(config: TrainConfig, study: StudyConfig) -> str:
    """Return the first part of a study's name, TASK-ARCH-DEPTH-BUDGET-ALGORITHM."""
    known = {"algorithm": study.algorithm}
    return "-".join(str(known.get(name) or getattr(config, name)) for name in _NAMED)


def _name(config, study, values, varied):
    parts = [prefix(config, study)]
    for name in varied:
        if name not in _NAMED:
            value = values[name]
            entries = value.items() if isinstance(value, dict) else [(name, value)]
            parts += [f"{entry}_{_in_a_name(what)}" for entry, what in entries]
    return "-".join(parts)


def _in_a_name(value):
    """Turn a value into a part of a file name."""
    return "".join(c if c.isalnum() or c in "._+-" else "_" for c in str(value)).strip("_")


def _find(path):
    """Return the path, or that of the file of this name installed with the project."""
    if pathlib.Path(path).exists():
        return path
    parts = pathlib.PurePath(path).parts
    if "gin_configs" in parts:
        inside = parts[parts.index("gin_configs") + 1 :]
        installed = importlib.resources.files("gin_configs").joinpath(*inside)
        if installed.is_file():
            return str(installed)
    return path
