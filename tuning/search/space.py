"""The paper's search space (appendix A) as data.

As in the authors' published trials, scales are tuned per gate, and the two initializers for the
whole network. A hyperparameter with a condition is active only if another one has certain values:
an identity matrix has no scale, plain SGD has no momentum.

Names are those of `TrainConfig`; `input_scale.r` is the entry of gate r in a dict, and
`task_options.num_samples` an option of the task.
"""

import contextlib
import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rnn_zoo.architectures import ARCHITECTURES
from trainer.config import ACTIVATIONS, BIAS_INITS, MATRIX_INITS, OPTIONS, TrainConfig
from trainer.display.words import count
from trainer.errors import UserError
from trainer.optimizers import OPTIMIZERS, PAPER_OPTIMIZERS
from trainer.tasks import TASKS
from tuning.search.hyperparameter import Condition, Hyperparameter, of_range

if TYPE_CHECKING:
    import keras_tuner


def space(
    config: TrainConfig, optimizers: tuple[str, ...] = PAPER_OPTIMIZERS
) -> tuple[Hyperparameter, ...]:
    """Return the hyperparameters that are tuned for a task and an architecture.

    Args:
        config: provides task, architecture, budget and `train_steps`. The number of steps is tuned
            between a quarter of `train_steps` and all of it, since the paper's ranges "varied
            between tasks". If training starts from given weights, hyperparameters of the model,
            its initial weights and the task are not tuned.
        optimizers: choices of the optimizer.

    Returns:
        The hyperparameters; those that conditions refer to come first.
    """
    if config.weights_from:
        return tuple(_of_learning(config, optimizers))
    return (
        *_of_architecture(config),
        *_of_learning(config, optimizers),
        *_declared(config, "task_options", TASKS[config.task].ranges, "the task"),
    )


def _of_architecture(config):
    arch, facts = config.arch, ARCHITECTURES[config.arch]
    choices = _choices(arch)
    inits = choices["matrix_init"]
    identity_alone = inits == ("identity",)
    for name, values in choices.items():
        if len(values) > 1:
            yield Hyperparameter(name, "categorical", choices=values)
    scaled = tuple(init for init in inits if init != "identity")
    for gate in facts.gates_with("input"):
        yield Hyperparameter(f"input_scale.{gate}", "log-uniform", 0.001, 2.0)
    matrices = facts.gates_with("matrix")
    for gate in facts.gates_with("recurrent"):
        if identity_alone and gate in matrices:
            continue
        is_conditional = gate in matrices and len(scaled) < len(inits)
        condition = Condition("matrix_init", scaled) if is_conditional else None
        yield Hyperparameter(
            f"recurrent_scale.{gate}", "log-uniform", 0.01, 2.0, condition=condition
        )
    # For the IRNN too: its default is zero, but appendix A tunes the biases of all models.
    if facts.gates_with("bias"):
        yield Hyperparameter("bias_init", "categorical", choices=BIAS_INITS)
    for gate in facts.gates_with("bias"):
        yield Hyperparameter(f"bias_scale.{gate}", "uniform", -2.0, 2.0)
    for gate in facts.forget_gates:
        yield Hyperparameter(f"gate_bias.{gate}", "uniform", 0.0, 6.0)
    yield from _declared(config, "arch_options", facts.ranges, "the cell")


def _choices(arch):
    """Return the paper's values of `activation` and `matrix_init`, or none."""
    facts, activations, inits = ARCHITECTURES[arch], ACTIVATIONS, MATRIX_INITS
    if arch in ("irnn", "+rnn"):  # fixed in section 1.4: ReLU, and ReLU for s1 and tanh for s2
        activations = (facts.activation,)
    # Starting from the identity distinguishes the paper's IRNN from its RNN.
    if arch == "irnn":
        inits = ("identity",)
    elif arch == "rnn":
        inits = tuple(init for init in MATRIX_INITS if init != "identity")
    return {
        "activation": activations if facts.uses_activation else (),
        "matrix_init": inits if facts.gates_with("matrix") else (),
    }


def _of_learning(config, optimizers):
    with_momentum = tuple(name for name in optimizers if OPTIMIZERS[name].has_momentum)
    # If none has it, it is never active; a condition needs a value.
    with_momentum = with_momentum or ("momentum",)
    steps = config.train_steps
    yield Hyperparameter(
        "train_steps", "log-integer", max(1, steps // 4), steps, source="up to train_steps"
    )
    yield Hyperparameter("optimizer", "categorical", choices=optimizers)
    yield Hyperparameter("lr_init", "log-uniform", 1e-4, 1e-1)
    yield Hyperparameter("lr_decay_rate", "log-uniform", 1e-3, 1.0)
    yield Hyperparameter(
        "momentum_logit", "uniform", 1.0, 7.0, condition=Condition("optimizer", with_momentum)
    )
    yield from _of_optimizers(optimizers)
    yield Hyperparameter("gradient_clip_val", "log-uniform", 1.0, 100.0)
    yield Hyperparameter("l2_decay", "log-uniform", 1e-8, 1e-3)


def _of_optimizers(optimizers):
    """Yield the optimizers' own hyperparameters; those of one name are one hyperparameter."""
    owners: dict[str, tuple] = {}
    ranges: dict[str, Any] = {}
    for optimizer in optimizers:
        for option, wanted in OPTIMIZERS[optimizer].ranges.items():
            if ranges.setdefault(option, wanted) != wanted:
                raise UserError(
                    f"{optimizer} and {owners[option][0]} have different ranges of {option}: "
                    "search them in studies of their own"
                )
            owners[option] = (*owners.get(option, ()), optimizer)
    for option, wanted in ranges.items():
        found = of_range(f"optimizer_options.{option}", wanted, "the optimizer")
        yield found._replace(condition=Condition("optimizer", owners[option]))


def _declared(config, field, ranges, source):
    """Yield the hyperparameters whose ranges a task or a cell declares."""
    for name, given in ranges.items():
        wanted = given(config.num_params) if callable(given) else given
        yield of_range(f"{field}.{name}", wanted, source)


def hyperparameters(space: Sequence[Hyperparameter]) -> "keras_tuner.HyperParameters":
    """Convert the space to keras-tuner's type, including conditions."""
    import keras_tuner

    hp = keras_tuner.HyperParameters()
    for each in space:
        scope: Any = contextlib.nullcontext()
        if each.condition:
            scope = hp.conditional_scope(each.condition.name, list(each.condition.values))
        with scope:
            if isinstance(next(iter(each.choices), None), bool):  # which a `Choice` makes integers
                if each.fixed is None:
                    hp.Boolean(each.name)
                else:
                    hp.Fixed(each.name, each.fixed)
            elif each.distribution == "categorical":
                is_ordered = not isinstance(each.choices[0], str)
                hp.Choice(each.name, list(each.choices), ordered=is_ordered)
            else:
                make = hp.Int if "integer" in each.distribution else hp.Float
                sampling = "log" if "log" in each.distribution else "linear"
                make(each.name, each.low, each.high, sampling=sampling)
    return hp


def configure(config: TrainConfig, values: Mapping[str, Any]) -> TrainConfig:
    """Return the configuration with its hyperparameters set to a point of the space.

    Args:
        config: the configuration of the study.
        values: values by name, at least of the active hyperparameters.
    """
    fields: dict[str, Any] = {}
    if values.get("optimizer", config.optimizer) != config.optimizer:
        fields["optimizer_options"] = {}  # those of the study's optimizer
    for name, value in values.items():
        field, _, entry = name.partition(".")
        if entry:
            start = fields[field] if field in fields else _entries(config, field)
            fields[field] = {**start, entry: value}
        else:
            fields[field] = value
    return dataclasses.replace(config, **fields)


def _entries(config, field):
    """Return a field that may have entries as a dict; a number stands for all of its gates."""
    value, facts = getattr(config, field), ARCHITECTURES[config.arch]
    if isinstance(value, dict):
        return value
    is_bias = field == "gate_bias"
    gates = facts.forget_gates if is_bias else facts.gates_with(field.removesuffix("_scale"))
    return dict.fromkeys(gates, value)


def by_option(values: Mapping[str, Any]) -> dict[str, Any]:
    """Split dicts of options, {"task_options": {"delay": 3}} to {"task_options.delay": 3}."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if name in OPTIONS and isinstance(value, dict):
            found |= {f"{name}.{option}": each for option, each in value.items()}
        else:
            found[name] = value
    return found


def values_of(config: TrainConfig, space: Sequence[Hyperparameter]) -> dict[str, Any]:
    """Return the values of a configuration for the hyperparameters that are active in it."""
    values: dict[str, Any] = {}
    for each in space:
        if is_active(each, values):
            values[each.name] = value_of(config, each)
    return values


def outside(config: TrainConfig, dimensions: Sequence[Hyperparameter]) -> list[str]:
    """Return the names of the hyperparameters of a trial that are outside the paper's ranges.

    A hyperparameter that the paper does not tune is outside, and so is an optimizer that it does
    not have. The number of steps never is: the paper's ranges of steps "varied between tasks".

    Args:
        config: the configuration of the trial.
        dimensions: the space of its study.
    """
    paper = {each.name: each for each in space(config, (config.optimizer,))}
    paper["optimizer"] = paper["optimizer"]._replace(choices=PAPER_OPTIMIZERS)
    values = values_of(config, dimensions)
    return [
        name
        for name, value in values.items()
        if name != "train_steps" and not (name in paper and paper[name].contains(value))
    ]


def deviations(fields: Mapping[str, Any]) -> list[str]:
    """Return the names of values that define an architecture, where they are not the paper's.

    They are the nonlinearity, the initializer of matrices, and options of the cell without a range:
    an IRNN with tanh is not the paper's.

    Args:
        fields: fields of a `TrainConfig`, as in a record; the names need not be registered.
    """
    if fields["arch"] not in ARCHITECTURES:
        return []
    facts, choices = ARCHITECTURES[fields["arch"]], _choices(fields["arch"])
    found = [name for name, values in choices.items() if fields.get(name) not in (None, *values)]
    return found + [
        f"arch_options.{option}"
        for option, value in (fields.get("arch_options") or {}).items()
        if option not in facts.ranges and value != facts.options.get(option)
    ]


def is_active(hyperparameter: Hyperparameter, values: Mapping[str, Any]) -> bool:
    """Return whether a hyperparameter is active, given the values of those before it."""
    condition = hyperparameter.condition
    return condition is None or values.get(condition.name) in condition.values


def value_of(config: TrainConfig, hyperparameter: Hyperparameter) -> Any:
    """Return the value of a hyperparameter, with the default of its owner."""
    field, _, entry = hyperparameter.name.partition(".")
    value = getattr(config, field)
    if entry and isinstance(value, dict):
        value = value.get(entry)
    if value is not None:
        return value
    if field == "task_options":
        return inspect.signature(TASKS[config.task]).parameters[entry].default
    if field == "arch_options":
        return ARCHITECTURES[config.arch].options[entry]
    if field == "optimizer_options" and hyperparameter.condition is not None:
        owners = hyperparameter.condition.values
        owner = config.optimizer if config.optimizer in owners else owners[0]
        return OPTIMIZERS[owner].options[entry]
    return getattr(ARCHITECTURES[config.arch], field)


def table(space: Sequence[Hyperparameter]) -> str:
    """Format the space as text, one line per hyperparameter."""
    rows = [("hyperparameter", "distribution", "range", "active if", "source")]
    for each in space:
        condition = each.condition
        where = f"{condition.name} in {', '.join(condition.values)}" if condition else ""
        kind, values = each.distribution, str(each)
        if each.fixed is not None:
            kind, values = "fixed", str(each.fixed)
        rows.append((each.name, kind, values, where, each.source))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([*lines, summary(space)])


def summary(space: Sequence[Hyperparameter]) -> str:
    """Describe the size of the space in a few words, with the names of fixed hyperparameters."""
    fixed = [f"{each.name} = {each.fixed}" for each in space if each.fixed is not None]
    text = count(len(space) - len(fixed), "dimension")
    return f"{text}, fixed: {', '.join(fixed)}" if fixed else text
