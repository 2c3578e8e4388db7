"""The paper's search space (appendix A), as data: each hyperparameter's range, law and condition.

Scales are tuned gate by gate, as the authors' published trials have them, and the two laws of
initial values for the whole network. A hyperparameter with a condition counts only where another
has one of certain values: an identity matrix has no scale, plain SGD has no momentum.

Names are those of `TrainConfig`; `input_scale.r` is the gate r's entry of a dict, and
`task_options.num_samples` an option of the task.
"""

import contextlib
import dataclasses
import inspect
from typing import Any, NamedTuple

from rnn_zoo.architectures import ARCHITECTURES
from trainer.config import ACTIVATIONS, BIAS_INITS, MATRIX_INITS, OPTIMIZERS
from trainer.errors import UserError
from trainer.tasks import TASKS

LAWS = ("uniform", "log-uniform", "integer", "log-integer", "categorical")


class Condition(NamedTuple):
    """Another hyperparameter's name, and the values of it under which this one counts."""

    name: str
    values: tuple


class Hyperparameter(NamedTuple):
    """One dimension of the space.

    Attributes:
        name: as in `TrainConfig`, with a dot for an entry of a dict.
        law: one of `LAWS`.
        low, high: the range, both ends in it; None for a categorical one.
        choices: of a categorical one.
        condition: where it counts; everywhere if None.
        source: where the range comes from.
    """

    name: str
    law: str
    low: Any = None
    high: Any = None
    choices: tuple = ()
    condition: Condition | None = None
    source: str = "appendix A"

    def __str__(self):
        if self.law == "categorical":
            return "{" + ", ".join(map(str, self.choices)) + "}"
        return f"[{self.low:g}, {self.high:g}]"


def space(config):
    """The hyperparameters that are tuned for a task and an architecture.

    Args:
        config: a `TrainConfig`, of which task, architecture, budget and `train_steps` matter; the
            number of steps is tuned from a quarter of `train_steps` to all of it, since the paper's
            ranges "varied between tasks". Where it starts from a preset's weights, what decides
            the model and its first weights is not tuned.

    Returns:
        Tuple of `Hyperparameter`, a condition's own hyperparameter always before it.
    """
    of_architecture = () if config.preset else _of_architecture(config.arch)
    return (*of_architecture, *_of_learning(config), *_of_task(config))


def _of_architecture(arch):
    gates = ARCHITECTURES[arch].gates
    identity_alone = arch == "irnn"
    # The paper's RNN never starts from the identity, to differ from its IRNN.
    inits = [init for init in MATRIX_INITS if init != "identity"] if arch == "rnn" else MATRIX_INITS
    if not identity_alone:
        yield Hyperparameter("activation", "categorical", choices=ACTIVATIONS)
        yield Hyperparameter("matrix_init", "categorical", choices=tuple(inits))
    scaled = tuple(init for init in inits if init != "identity")
    for gate in gates:
        yield Hyperparameter(f"input_scale.{gate}", "log-uniform", 0.001, 2.0)
    for gate in () if identity_alone else gates:
        condition = Condition("matrix_init", scaled) if len(scaled) < len(inits) else None
        yield Hyperparameter(
            f"recurrent_scale.{gate}", "log-uniform", 0.01, 2.0, condition=condition
        )
    # An IRNN's too: it starts from zero by default, but appendix A tunes all models' biases.
    yield Hyperparameter("bias_init", "categorical", choices=BIAS_INITS)
    for gate in gates:
        yield Hyperparameter(f"bias_scale.{gate}", "uniform", -2.0, 2.0)
    if arch not in ("rnn", "irnn"):
        yield Hyperparameter("gate_bias", "uniform", 0.0, 6.0)
    if arch == "+rnn":
        yield Hyperparameter("depth_gate_bias", "uniform", 0.0, 6.0)


def _of_learning(config):
    with_momentum = tuple(name for name in OPTIMIZERS if name != "sgd")
    steps = config.train_steps
    yield Hyperparameter(
        "train_steps", "log-integer", max(1, steps // 4), steps, source="the profile"
    )
    yield Hyperparameter("optimizer", "categorical", choices=OPTIMIZERS)
    yield Hyperparameter("lr_init", "log-uniform", 1e-4, 1e-1)
    yield Hyperparameter("lr_decay_rate", "log-uniform", 1e-3, 1.0)
    yield Hyperparameter(
        "momentum_logit", "uniform", 1.0, 7.0, condition=Condition("optimizer", with_momentum)
    )
    yield Hyperparameter("gradient_clip_val", "log-uniform", 1.0, 100.0)
    yield Hyperparameter("l2_decay", "log-uniform", 1e-8, 1e-3)


def _of_task(config):
    if config.task == "capacity":
        low, high = max(1, round(0.1 * config.num_params)), 10 * config.num_params
        yield Hyperparameter("task_options.num_samples", "log-integer", low, high)
        yield Hyperparameter("task_options.presentation", "categorical", choices=("first", "every"))
    if config.task == "arithmetic":
        yield Hyperparameter("task_options.compute_steps", "integer", 1, 6, source="appendix B")


def narrow(space, ranges):
    """The space with some ranges replaced.

    Args:
        space: of `space`.
        ranges: dict from a hyperparameter's name to (low, high), to a list of choices, or to a
            single value that it is held at. `input_scale` stands for all gates', and `num_samples`
            for the task's option of that name.

    Raises:
        UserError: an unknown name, or values that are not within the original range.
    """
    known = {each.name for each in space} | {_short_name(each.name) for each in space}
    for name in ranges:
        if name not in known:
            names = ", ".join(each.name for each in space)
            raise UserError(f"no hyperparameter {name!r} to narrow; there are {names}")
    narrowed = []
    for hyperparameter in space:
        names = (hyperparameter.name, _short_name(hyperparameter.name))
        wanted = [ranges[name] for name in names if name in ranges]
        narrowed.append(_narrowed(hyperparameter, wanted[0]) if wanted else hyperparameter)
    return tuple(narrowed)


def _short_name(name):
    field, _, entry = name.partition(".")
    return entry if field == "task_options" else field


def _narrowed(hyperparameter, wanted):
    name = hyperparameter.name
    if hyperparameter.law == "categorical":
        choices = tuple(wanted) if isinstance(wanted, (list, tuple)) else (wanted,)
        for choice in choices or ("no choice",):
            if choice not in hyperparameter.choices:
                raise UserError(f"{name} is one of {hyperparameter}, not {choice!r}")
        return hyperparameter._replace(choices=tuple(dict.fromkeys(choices)))
    ends = tuple(wanted) if isinstance(wanted, (list, tuple)) else (wanted, wanted)
    kind = int if "integer" in hyperparameter.law else (int, float)
    if len(ends) != 2 or not all(isinstance(e, kind) and not isinstance(e, bool) for e in ends):
        numbers = "whole numbers" if kind is int else "numbers"
        raise UserError(f"{name} is narrowed by (low, high), two {numbers}, not by {wanted!r}")
    if not hyperparameter.low <= ends[0] <= ends[1] <= hyperparameter.high:
        raise UserError(f"{name} is within {hyperparameter}, not {wanted!r}")
    return hyperparameter._replace(low=ends[0], high=ends[1])


def hyperparameters(space):
    """The space as a `keras_tuner.HyperParameters`, conditions included."""
    import keras_tuner

    hp = keras_tuner.HyperParameters()
    for each in space:
        scope = contextlib.nullcontext()
        if each.condition:
            scope = hp.conditional_scope(each.condition.name, list(each.condition.values))
        with scope:
            if each.law == "categorical":
                hp.Choice(each.name, list(each.choices), ordered=False)
            else:
                make = hp.Int if "integer" in each.law else hp.Float
                sampling = "log" if "log" in each.law else "linear"
                make(each.name, each.low, each.high, sampling=sampling)
    return hp


def configure(config, values):
    """The configuration with a point's values in it.

    Args:
        config: the `TrainConfig` of the study.
        values: dict from name to value, of what counts at least.

    Returns:
        A `TrainConfig`.
    """
    fields = {}
    for name, value in values.items():
        field, _, entry = name.partition(".")
        if entry:
            start = getattr(config, field) if field == "task_options" else {}
            fields.setdefault(field, dict(start))[entry] = value
        else:
            fields[field] = value
    return dataclasses.replace(config, **fields)


def of_study(config, study):
    """What a study searches, and where it begins.

    Args:
        config: the `TrainConfig`.
        study: the `StudyConfig`.

    Returns:
        (the space within the study's ranges, dict of the values of its first trial or None).

    Raises:
        UserError: a range or a first trial that cannot be.
    """
    narrowed, first = narrow(space(config), study.ranges), study.first
    if first == "config":
        first = _point(config, narrowed)
    elif first is not None:
        _check_point(narrowed, first)
    return narrowed, first


def _point(config, space):
    """The values that a configuration has; numbers outside their ranges come to the nearer end."""
    values = {}
    for each in space:
        condition = each.condition
        if condition and values.get(condition.name) not in condition.values:
            continue
        value = _value(config, each.name)
        is_choice = each.law == "categorical"
        if is_choice and value not in each.choices:
            raise UserError(f"{each.name} is within {each}, and the first trial's is {value!r}")
        values[each.name] = value if is_choice else min(max(value, each.low), each.high)
    return values


def _value(config, name):
    """What a configuration has for a hyperparameter, or leaves to its architecture or task."""
    field, _, entry = name.partition(".")
    value = getattr(config, field)
    if entry and isinstance(value, dict):
        value = value.get(entry)
    if value is None and field == "task_options":
        return inspect.signature(TASKS[config.task]).parameters[entry].default
    return getattr(ARCHITECTURES[config.arch], name) if value is None else value


def _check_point(space, values):
    for each in space:
        condition = each.condition
        counts = not condition or values.get(condition.name) in condition.values
        if counts != (each.name in values):
            raise UserError(
                f"first {'lacks' if counts else 'has'} {each.name}, which "
                f"{'counts' if counts else 'does not count'} there"
            )
        if counts:
            _narrowed(each, values[each.name])
    narrow(space, dict.fromkeys(values.keys() - {each.name for each in space}))


def table(space):
    """The space as lines of text, a hyperparameter each."""
    rows = [("hyperparameter", "law", "range", "counts where", "source")]
    for each in space:
        condition = each.condition
        where = f"{condition.name} in {', '.join(condition.values)}" if condition else ""
        rows.append((each.name, each.law, str(each), where, each.source))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([*lines, f"{len(space)} dimensions"])
