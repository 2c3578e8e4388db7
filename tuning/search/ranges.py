"""The space of a study: the paper's, with the values and ranges that the user sets.

Names are those of `TrainConfig`. `input_scale` stands for the scales of all gates, `num_samples`
for `task_options.num_samples`. A name that is also a field, such as `depth`, stands for the field.
"""

import dataclasses
import inspect
import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rnn_zoo.architectures import ARCHITECTURES
from trainer import initial_weights
from trainer.config import OPTIONS, TrainConfig
from trainer.config import without_effect as idle_fields
from trainer.errors import UserError
from trainer.optimizers import (
    OPTIMIZERS,
    PAPER_OPTIMIZERS,
    canonical_name,
    check_model,
    owners_of,
)
from trainer.tasks import TASKS, Task
from trainer.tasks.capacity import least_inputs
from tuning.search.hyperparameter import Condition, Hyperparameter, of_range, short_name
from tuning.search.space import configure, is_active, outside, space, value_of, values_of

if TYPE_CHECKING:
    from tuning.config import StudyConfig

#: Fields of which a study has one value.
_ONE_PER_STUDY = ("task", "arch", "num_params", "seed", "data_seed", "eval_samples", "precision")
#: Fields that the paper does not tune, or not for every architecture.
_OTHERS = ("batch_size", "depth", "activation", "matrix_init")
#: Fields whose values identify the experiment unless they are searched.
_SETTINGS = ("depth", "task_options")
#: Hyperparameter -> value outside its range that a user may hold: none of it at all.
_OFF = {"l2_decay": 0}


def of_study(
    config: TrainConfig, study: "StudyConfig"
) -> tuple[tuple[Hyperparameter, ...], dict[str, Any] | None]:
    """Return the space of a study, and the values of its first trial if they are given.

    The space lacks hyperparameters that are active in no trial, such as the momentum of plain SGD.

    Raises:
        UserError: a range or the first trial is invalid.
    """
    found = of_ranges(config, study)
    for each in found:
        if _given(each, study.ranges):
            _check_values(config, each)
            _check_active(each, found)
    _check_collisions(config, found)
    _check_models(config, found)
    active = _ever_active(found)
    if study.first is None:
        return active, None
    chosen = study.first if isinstance(study.first, dict) else {}
    return active, point(config, found, chosen)


def of_ranges(config: TrainConfig, study: "StudyConfig") -> tuple[Hyperparameter, ...]:
    """Return the space of a study without the checks of `of_study`, which old ones may fail."""
    named = study.ranges.get("optimizer", PAPER_OPTIMIZERS)
    named = named if isinstance(named, (list, tuple)) else (named,)
    optimizers = tuple(map(canonical_name, named))
    papers = space(config, optimizers)
    others = tuple(_others(config, papers, optimizers, study.ranges))
    return with_ranges((*papers, *others), study.ranges)


def with_ranges(
    space: Sequence[Hyperparameter], ranges: Mapping[str, Any]
) -> tuple[Hyperparameter, ...]:
    """Return the space with other ranges.

    Args:
        space: the hyperparameters.
        ranges: name -> range, as in `StudyConfig.ranges`.

    Raises:
        UserError: a name is unknown, or a range is malformed.
    """
    _check_names(space, ranges)
    given = [_given(each, ranges) for each in space]
    return tuple(
        each.with_range(found[0])._replace(source="the user") if found else each
        for each, found in zip(space, given, strict=True)
    )


def united(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ranges of two dicts.

    Raises:
        UserError: they have different ranges for the same hyperparameter.
    """
    for (name, wanted), (other, held) in itertools.product(second.items(), first.items()):
        is_equal = wanted == held and type(wanted) is type(held)
        if _overlap(name, other) and not is_equal:
            raise UserError(f"{other} has the range {held!r} and also {wanted!r}")
    return {**first, **second}


def _overlap(name, other):
    """Return whether two names stand for a common hyperparameter."""
    if "." in name and "." in other:
        return name == other
    return _short_name(name) == _short_name(other)


def _others(config, papers, optimizers, ranges) -> Iterator[Hyperparameter]:
    """Yield the hyperparameters that ranges name and the paper does not tune."""
    options = {
        "task_options": inspect.signature(TASKS[config.task]).parameters,
        "arch_options": ARCHITECTURES[config.arch].options,
        "optimizer_options": {o: o for name in optimizers for o in OPTIMIZERS[name].options},
    }
    possible = [*_OTHERS, *(f"{field}.{name}" for field in OPTIONS for name in options[field])]
    for name in possible:
        given = [ranges[key] for key in {name, _short_name(name)} if key in ranges]
        if not given or any(each.name == name for each in papers):
            continue
        found = of_range(name, given[0], "the user")
        field, _, option = name.partition(".")
        if field == "optimizer_options":
            owners = tuple(each for each in optimizers if option in OPTIMIZERS[each].options)
            found = found._replace(condition=Condition("optimizer", owners))
        yield found


def hold(
    config: TrainConfig,
    given: Collection[str],
    study: "StudyConfig",
    batch_size: int = TrainConfig.batch_size,
) -> tuple[TrainConfig, "StudyConfig"]:
    """Fix each hyperparameter that the user set at its value, as a range of the search.

    The number of steps is not held: `train_steps` is the maximum per trial. Depth and options of
    the task that the paper does not tune identify the experiment: they are set in the
    configuration alone. So is any other value that the paper does not tune, if it is the default.

    Args:
        config: the configuration of the study.
        given: names that the user set, as from `gin_files.given_names`. `gate_bias` stands for the
            biases of all gates.
        study: the search.
        batch_size: the default batch size.

    Returns:
        (the configuration, the search), which are the same however a value was fixed: in the
        configuration or by `StudyConfig.ranges`.

    Raises:
        UserError: a hyperparameter has both a value and another range, or a value outside the
            paper's range.
    """
    held: dict[str, Any] = {}
    fields = {*_OTHERS, *OPTIONS} - {*_SETTINGS}
    own = {name: _at(config, name) for name in given if name.partition(".")[0] in fields}
    own = {name: value for name, value in own.items() if isinstance(value, (str, int, float))}
    dimensions = [*itertools.chain(*_dimensions(config, own | study.ranges))]
    _check_unique(dimensions, study.ranges)
    for each in dimensions:
        names = {each.name, each.name.partition(".")[0]}
        if each.name == "train_steps" or names.isdisjoint(given):
            continue
        value = held[each.name] = value_of(config, each)
        wanted = _given(each, study.ranges)
        if wanted and wanted[0] != value:
            raise UserError(
                f"{each.name} is set to {value!r} and also has a range; omit one of the two, or "
                "set StudyConfig.first for the value of the first trial"
            )
        if not (wanted or each.contains(value) or value == _OFF.get(each.name)):
            inside = "one of" if each.distribution == "categorical" else "within"
            raise UserError(
                f"{each.name} must be {inside} {each}, got {value!r}; to go beyond it, set "
                f"StudyConfig.ranges = {{{each.name!r}: {value!r}}}"
            )
    study = dataclasses.replace(study, ranges={**study.ranges, **held})
    return _settled(config, study, batch_size)


def settled(config: TrainConfig, study: "StudyConfig") -> tuple[TrainConfig, "StudyConfig"]:
    """Move values that the paper does not tune from one-value ranges to the configuration.

    Studies are equal if their results of this function are: studies of earlier versions have no
    ranges for such values.
    """
    return _settled(config, study)


def _settled(config, study, batch_size=None):
    """Move values as in `settled`; with a default batch size, only those that `hold` drops."""
    ranges, first = dict(study.ranges), study.first
    for each in _dimensions(config, ranges)[1]:
        value, field = each.fixed, each.name.partition(".")[0]
        if value is None or not is_active(each, {"optimizer": config.optimizer}):
            continue
        config = configure(config, {each.name: value})
        if batch_size is not None and field not in _SETTINGS:
            default = batch_size if field == "batch_size" else _default(config, each)
            if value != default:
                continue
        names = {each.name, _short_name(each.name)}
        ranges = {name: wanted for name, wanted in ranges.items() if name not in names}
        if isinstance(first, dict):
            first = {n: held for n, held in first.items() if n not in names or held != value}
    return config, dataclasses.replace(study, ranges=ranges, first=first)


def _default(config, hyperparameter):
    field = hyperparameter.name.partition(".")[0]
    unset = dataclasses.replace(config, **{field: {} if field in OPTIONS else None})
    return value_of(unset, hyperparameter)


def _dimensions(config, ranges):
    """Return the hyperparameters that the paper tunes, and the others that the ranges name."""
    optimizers = tuple(dict.fromkeys((*PAPER_OPTIMIZERS, config.optimizer)))
    papers = space(config, optimizers)
    return papers, tuple(_others(config, papers, optimizers, ranges))


def changed(
    config: TrainConfig, study: "StudyConfig", batch_size: int = TrainConfig.batch_size
) -> frozenset[str]:
    """Return names of values that a configuration made in Python sets, which a study holds.

    They are the options of task, cell and optimizer, and the fields that differ from the defaults
    of `TrainConfig`, since others cannot be told from defaults; none of these if it has a range. If
    the study's first trial uses the values, the fields are only those that the paper does not tune.

    Args:
        config, study: the configurations.
        batch_size: the default batch size.
    """
    fields = [field for field in dataclasses.fields(config) if field.name not in OPTIONS]
    defaults = {field.name: field.default for field in fields} | {"batch_size": batch_size}
    names = [name for name, value in defaults.items() if getattr(config, name) != value]
    names += [f"{field}.{option}" for field in OPTIONS for option in getattr(config, field)]
    tuned = () if study.first is None else (each.name for each in _dimensions(config, {})[0])
    used = [name for name in tuned if name.partition(".")[0] not in OPTIONS]
    return frozenset(n for n in names if not any(_overlap(n, o) for o in (*study.ranges, *used)))


def with_fixed(config: TrainConfig, study: "StudyConfig") -> TrainConfig:
    """Return the configuration with the active values that the ranges of a study fix."""
    fixed = _fixed(config, study)
    values: dict[str, Any] = {}
    for each in of_ranges(config, study):
        if is_active(each, values):
            values[each.name] = fixed.get(each.name, value_of(config, each))
    return configure(config, {name: values[name] for name in fixed if name in values})


def without_effect(config: TrainConfig, study: "StudyConfig", given: Collection[str]) -> list[str]:
    """Say which of the values that the user set have no effect in any trial of a study."""
    idle = idle_fields(dataclasses.asdict(with_fixed(config, study)))
    if TASKS[config.task].sweep is not Task.sweep:  # a study has no measurements during training
        idle["eval_samples"] = f"the data set of {config.task} is measured whole"
    searched = [each.name for each in of_ranges(config, study) if each.fixed is None]
    if any(name.startswith("bias_scale") for name in searched):
        idle.pop("bias_init", None)
    names = {*given, *(name.partition(".")[0] for name in study.ranges)}
    return [f"{name} has no effect: {reason}" for name, reason in idle.items() if name in names]


def clipped(
    config: TrainConfig, study: "StudyConfig", first: Mapping[str, Any] | None
) -> str | None:
    """Say which values of a configuration the ranges change in a study's first trial, if any.

    Args:
        config, study: as for `of_study`.
        first: values of the first trial.
    """
    chosen = study.first if isinstance(study.first, dict) else {}
    own = {each.name: value_of(config, each) for each in of_ranges(config, study)}
    moved = [
        f"{name} {value} instead of {own[name]}"
        for name, value in (first or {}).items()
        if value != own[name] and not any(_overlap(name, other) for other in chosen)
    ]
    return f"in the ranges, the first trial has {', '.join(moved)}" if moved else None


def of_set(
    config: TrainConfig, study: "StudyConfig", given: Collection[str], made: TrainConfig
) -> dict[str, list[str]]:
    """Return the entries `held` and `outside` in the record of a given set of hyperparameters.

    Args:
        config, study: configurations of the command, from `with_fixed`.
        given: names that the user set, as for `hold`.
        made: `config` with the set's hyperparameters.

    Raises:
        UserError: the set has another value than the user, or one outside the user's range.
    """
    searched = of_ranges(config, study)
    values = values_of(made, searched)
    for each in searched:
        value = values.get(each.name)
        is_own = each.fixed is None and value == value_of(config, each)
        user = _given(each, study.ranges) and each.name in values and not is_own
        if user and not each.contains(value):
            limits = f"held at {each.fixed!r}" if each.fixed is not None else f"within {each}"
            raise UserError(
                f"{each.name} is {value!r}, but the command has it {limits}; omit one of the two"
            )
    names, others = {each.name for each in searched}, _differences(config, made)
    for name in sorted(given & others.keys() - (names - {"train_steps"})):
        raise UserError(
            f"{name} is {others[name]!r}, but the command sets it to {_at(config, name)!r}; omit "
            "one of the two"
        )
    beyond = sorted(others.keys() - names - {"train_steps"})
    return {"held": [*_fixed(config, study)], "outside": _outside(made, searched) + beyond}


def outside_in_run(config: TrainConfig, batch_size: int) -> list[str]:
    """Return the names of the values of a single run that are outside the paper's ranges.

    Unlike in a search, an `l2_decay` of 0, the default, is not outside.

    Args:
        config: the configuration of the run.
        batch_size: the default batch size; the paper does not tune it.
    """
    names = _outside(config, space(config, (config.optimizer,)))
    return names + (["batch_size"] if config.batch_size != batch_size else [])


def _outside(config, dimensions):
    """Return the names outside the paper's ranges in a configuration that no search proposed."""
    names = outside(config, dimensions)
    return [name for name in names if name not in _OFF or _at(config, name) != _OFF[name]]


def _fixed(config, study):
    found = _ever_active(of_ranges(config, study))
    return {each.name: each.fixed for each in found if each.fixed is not None}


def _differences(config, made):
    """Return values that a configuration has and another has not, of what the paper fixes."""
    fields = ["batch_size", "train_steps"]
    fields += [f"{field}.{name}" for field in OPTIONS for name in getattr(made, field)]
    return {name: _at(made, name) for name in fields if _at(made, name) != _at(config, name)}


def _at(config, name):
    field, _, option = name.partition(".")
    return getattr(config, field).get(option) if option else getattr(config, field)


def point(
    config: TrainConfig, space: Sequence[Hyperparameter], chosen: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a point of the space: chosen values, and a configuration's clipped values elsewhere.

    Raises:
        UserError: a value is not one of the space's choices, or a chosen one is invalid.
    """
    _check_names(space, chosen)
    values: dict[str, Any] = {}
    for each in space:
        wanted = _given(each, chosen)
        if not is_active(each, values):
            if each.name in chosen:
                raise UserError(
                    f"first sets {each.name}, which is not active with its other values; omit it"
                )
        elif wanted:
            if not each.contains(wanted[0]):
                held = f"is held at {each.fixed!r}" if each.fixed is not None else None
                raise UserError(
                    f"{each.name} {held or f'must be within {each}'}, got {wanted[0]!r} for the "
                    "first trial"
                )
            values[each.name] = wanted[0]
        else:
            values[each.name] = _clipped(each, value_of(config, each))
    return values


def _clipped(hyperparameter, value):
    if hyperparameter.distribution != "categorical":
        return min(max(value, hyperparameter.low), hyperparameter.high)
    if value not in hyperparameter.choices and not isinstance(value, (str, bool)):
        return min(hyperparameter.choices, key=lambda choice: abs(choice - value))
    if value not in hyperparameter.choices:
        name, choices = hyperparameter.name, [*hyperparameter.choices, value]
        raise UserError(
            f"{name} must be one of {hyperparameter}, got {value!r} for the first trial; to search "
            f"that too, set StudyConfig.ranges = {{{name!r}: {choices}}}"
        )
    return value


def _given(hyperparameter, ranges):
    """Return the entries that a dict has under a hyperparameter's name and its short name."""
    both = (hyperparameter.name, _short_name(hyperparameter.name))
    return [ranges[name] for name in dict.fromkeys(both) if name in ranges]


def _short_name(name):
    field = name.partition(".")[0]
    return short_name(name) if field in OPTIONS else field


def _check_unique(space, given):
    """Raise a `UserError` if a name stands for two options, or two names have unequal values."""
    options = [each.name for each in space if each.name.partition(".")[0] in OPTIONS]
    for name, value in given.items():
        meant = [each for each in options if name == _short_name(each) != each]
        if len(meant) > 1:
            raise UserError(f"{name} may be {' or '.join(meant)}; write one of these")
        for each in meant:
            if each in given and given[each] != value:
                raise UserError(
                    f"{name} and {each} are the same, but are {value!r} and {given[each]!r}; omit "
                    "one of the two"
                )


def _check_names(space, given):
    _check_unique(space, given)
    known = {each.name for each in space} | {_short_name(each.name) for each in space}
    for name in given:
        if name not in known:
            names = ", ".join(each.name for each in space)
            owners = owners_of(_short_name(name))
            if owners:
                raise UserError(
                    f"{name} is an option of {', '.join(owners)}, and no optimizer of the study "
                    f"has it; name one, such as StudyConfig.ranges = {{'optimizer': {owners}}}"
                )
            if name in _ONE_PER_STUDY:
                raise UserError(
                    f"a study has one {name}, and none is searched; to compare several, list them "
                    "in the grid of a sweep, python -m tuning.sweep"
                )
            others = ", ".join(name for name in _OTHERS if name not in known)
            raise UserError(
                f"the space has no hyperparameter {name!r}; there are {names}; and others that a "
                f"range may name: {others}, options of task, cell and optimizer"
            )


def _check_active(hyperparameter, space):
    """Raise a `UserError` if a range is not active in any trial."""
    if hyperparameter.fixed is None and hyperparameter not in _ever_active(space):
        condition = hyperparameter.condition
        choices = next((each.choices for each in space if each.name == condition.name), ())
        raise UserError(
            f"{hyperparameter.name} has a range, but no effect where {condition.name} is "
            f"{' or '.join(choices)}, as in all trials of this study; omit one of the two"
        )


def _ever_active(space):
    """Return the hyperparameters that are active in some trials of a space."""
    choices = {each.name: each.choices for each in space}
    return tuple(
        each
        for each in space
        if not each.condition or {*choices.get(each.condition.name, ())} & {*each.condition.values}
    )


def _check_values(config, hyperparameter):
    """Raise a `UserError` if a trial cannot have one of the values that the user's range has."""
    field, _, _ = hyperparameter.name.partition(".")
    for value in hyperparameter.limits:
        if field == "optimizer" or field in OPTIONS:
            values = {hyperparameter.name: value}
            if hyperparameter.condition:
                values["optimizer"] = hyperparameter.condition.values[0]
            if "optimizer" in values:  # `_check_models` compares it with the study's activations
                able = OPTIMIZERS[values["optimizer"]].activations
                values |= {"activation": able[0]} if able else {}
            made = configure(config, values)
        else:
            made = dataclasses.replace(config, **{field: value})
        if made.train_steps > config.train_steps:
            raise UserError(
                f"train_steps {value} is more than a trial's maximum, {config.train_steps}; raise "
                "--train_steps"
            )
        if made != config and field in (*_OTHERS, "task_options"):
            _check_size(made, f"{hyperparameter.name} = {value!r}")


def _check_models(config, space):
    """Raise a `UserError` if an optimizer cannot train with one of the study's activations."""
    choices = {each.name: each.choices for each in space}
    activation = config.activation or ARCHITECTURES[config.arch].activation
    for optimizer in choices["optimizer"]:
        for each in choices.get("activation", (activation,)):
            check_model(optimizer, config.arch, each)


def _check_size(config, cause):
    """Raise a `UserError` if a model does not fit its budget or one trial not the memory."""
    initial_weights.check(
        config, config.make_task(), f"with {cause}, one trial", "choose a smaller range"
    )


def _check_collisions(config, space):
    """Raise a `UserError` if the capacity task has too few inputs for the largest b searched."""
    for each in space:
        is_largest = each.name == "task_options.num_samples" and each.fixed is None
        if not is_largest or config.weights_from:  # the weights fix the number of inputs
            continue
        inputs = config.make_task().input_dim
        largest = each.ends[1]
        least = least_inputs(largest)
        if inputs < least:
            raise UserError(
                f"{inputs} inputs are too few to tell {largest:,} samples apart: set num_inputs "
                f"in task_options to {least} or more, or narrow the range of num_samples"
            )
