"""The flags that say what is trained, and what is made of them; trainer and tuner share these."""

import dataclasses

from absl import flags

from rnn_zoo.architectures import ALIASES, ARCHITECTURES
from trainer.cli import gin_files
from trainer.config import TrainConfig, find_preset
from trainer.errors import UserError
from trainer.tasks import TASKS

_FIELDS = ("task", "arch", "depth", "num_params", "train_steps", "batch_size", "seed")


def define(flag_values):
    """Defines the flags in a `flags.FlagValues`."""

    def listed(table):
        return "".join(f"\n        {name}: {entry.summary}" for name, entry in table.items())

    common = {"flag_values": flag_values}
    flags.DEFINE_string("task", None, f"the task, one of{listed(TASKS)}", **common)
    own = "\n        MODULE.NAME: one of your own, which importing MODULE registers"
    flags.DEFINE_string(
        "arch", None, f"the architecture, one of{listed(ARCHITECTURES)}{own}", **common
    )
    flags.DEFINE_integer(
        "depth", None, "number of layers; 1, or 2 for +rnn, if not given", **common
    )
    flags.DEFINE_integer("num_params", None, "parameter budget; the units follow from it", **common)
    flags.DEFINE_integer(
        "train_steps", None, "number of updates; tuning goes down to a quarter of it", **common
    )
    flags.DEFINE_integer("batch_size", None, "samples an update", **common)
    flags.DEFINE_integer("seed", None, "of initial weights and batches", **common)
    flags.DEFINE_string(
        "preset",
        None,
        "start from this preset: its task, model, hyperparameters and weights",
        **common,
    )
    flags.DEFINE_boolean("scratch", False, "leave the preset's weights, and draw others", **common)
    flags.DEFINE_multi_string("gin_file", [], "a gin file to parse after the task's", **common)
    define_surroundings(flag_values)


def define_surroundings(flag_values):
    """Defines those of the flags that do not say which training it is: a sweep has many."""
    common = {"flag_values": flag_values}
    flags.DEFINE_string(
        "profile", "laptop", f"amount of work: {', '.join(gin_files.PROFILES)}", **common
    )
    flags.DEFINE_multi_string(
        "gin_bindings", [], "a binding, as TrainConfig.lr_init=0.01", **common
    )
    flags.DEFINE_string("text8_path", None, "a text8 file: plain, .gz or .zip", **common)
    flags.DEFINE_string("text8_source", None, "pydoc: text from Python's documentation", **common)


def parse(flag_values, base=None):
    """The `gin_files.Parsed` of parsed flags.

    Args:
        flag_values: those that `define` has defined.
        base: as of `gin_files.parse`.

    Raises:
        UserError: an unknown name or value, a file that is missing or wrong.
    """
    given = {name: flag_values[name].value for name in flag_values}
    fields = {name: given[name] for name in _FIELDS}
    if given["preset"]:
        if flag_values["profile"].present and base is None:
            raise UserError("--profile cannot change what a preset has; give --train_steps")
        weights, text = _preset(given["preset"], given["scratch"], given["arch"])
        # A run that goes on has its own settings; that it is of this preset is compared with them.
        fields["preset"], base = weights, base or text
    elif given["scratch"]:
        raise UserError("--scratch is for a preset; name it with --preset")
    return gin_files.parse(
        fields,
        text8_options(flag_values),
        given["profile"],
        given["gin_file"],
        given["gin_bindings"],
        base,
    )


def _preset(name, scratch, arch):
    """The name of the preset if its weights are to be used, and what it is trained with as gin.

    From its weights on, that is at the learning rate that it ended with.

    Raises:
        UserError: there is none; it has no weights; the hyperparameters are another architecture's.
    """
    card = find_preset(name)
    if arch is not None and ALIASES.get(arch, arch) != card.arch:
        raise UserError(
            f"the preset {name} has hyperparameters of {card.arch}, by its gates, and --arch is "
            f"{arch}; leave --arch, or --preset"
        )
    if card.weights is None and not scratch:
        raise UserError(
            f"the preset {name} has tuned hyperparameters and no weights; --scratch draws weights "
            "for them"
        )
    config = dataclasses.replace(TrainConfig(**card.config), preset=None)
    if scratch:
        return None, config.as_gin()
    last = config.lr_init * config.lr_decay_rate
    return name, dataclasses.replace(config, lr_init=last, lr_decay_rate=1.0).as_gin()


def text8_options(flag_values):
    """The options of the task text8 that flags give, as a dict."""
    given = {"path": flag_values.text8_path, "source": flag_values.text8_source}
    return {name: value for name, value in given.items() if value is not None}


def with_text8(config, flag_values):
    """A run's configuration with the text that flags name, if they do, in place of its own.

    Raises:
        UserError: the run is of a task without a text.
    """
    text = text8_options(flag_values)
    if not text:
        return config
    own = {k: v for k, v in config.task_options.items() if k not in ("path", "source")}
    return dataclasses.replace(config, task_options=own | text)


def check_positive(flag_values, *names):
    """Refuses a number below 1.

    Raises:
        UserError: one of these flags has it.
    """
    for name in names:
        value = flag_values[name].value
        if value is not None and value < 1:
            raise UserError(f"--{name} must be at least 1, got {value}")
