"""The flags that say what is trained, and what is made of them; trainer and tuner share these."""

import dataclasses

from absl import flags

from rnn_zoo.architectures import ARCHITECTURES
from trainer import parsing
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
        "start from this preset: its task, model and hyperparameters, and its "
        "weights if it has them",
        **common,
    )
    flags.DEFINE_boolean("scratch", False, "leave the preset's weights, and draw others", **common)
    flags.DEFINE_multi_string("gin_file", [], "a gin file to parse after the task's", **common)
    define_surroundings(flag_values)


def define_surroundings(flag_values):
    """Defines those of the flags that do not say which training it is: a sweep has many."""
    common = {"flag_values": flag_values}
    flags.DEFINE_string(
        "profile", "laptop", f"amount of work: {', '.join(parsing.PROFILES)}", **common
    )
    flags.DEFINE_multi_string(
        "gin_bindings", [], "a binding, as TrainConfig.lr_init=0.01", **common
    )
    flags.DEFINE_string("text8_path", None, "a text8 file: plain, .gz or .zip", **common)
    flags.DEFINE_string("text8_source", None, "pydoc: text from Python's documentation", **common)


def parse(flag_values, base=None):
    """The `parsing.Parsed` of parsed flags.

    Args:
        flag_values: those that `define` has defined.
        base: as of `parsing.parse`.

    Raises:
        UserError: an unknown name or value, a file that is missing or wrong.
    """
    given = {name: flag_values[name].value for name in flag_values}
    if base is not None:
        refuse_preset(flag_values)
    elif given["preset"]:
        base = _preset_as_gin(given["preset"], given["scratch"])
    elif given["scratch"]:
        raise UserError("--scratch is for a preset; name it with --preset")
    if base is not None and flag_values["profile"].present:
        raise UserError(
            "--profile cannot change what a preset or a run to resume has; give --train_steps"
        )
    return parsing.parse(
        {name: given[name] for name in _FIELDS},
        text8_options(flag_values),
        given["profile"],
        given["gin_file"],
        given["gin_bindings"],
        base,
    )


def refuse_preset(flag_values):
    """Refuses the flags of a preset where a run or a study goes on.

    Raises:
        UserError: one of them was given.
    """
    for name in ("preset", "scratch"):
        if flag_values[name].present:
            raise UserError(f"--{name} is for a new one; what is resumed has its own settings")


def _preset_as_gin(name, scratch):
    """What a preset is trained with; from its weights on, at its last learning rate."""
    card = find_preset(name)
    config = dataclasses.replace(TrainConfig(**card.config), preset=None)
    if card.weights is not None and not scratch:
        last = config.lr_init * config.lr_decay_rate
        config = dataclasses.replace(config, preset=name, lr_init=last, lr_decay_rate=1.0)
    return config.as_gin()


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
