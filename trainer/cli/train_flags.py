"""Flags that describe a training run, shared by the trainer and the tuner."""

import dataclasses
import functools
import math
import os
from collections.abc import Callable, Mapping
from typing import Any

from absl import flags

from rnn_zoo.architectures import ALIASES, ARCHITECTURES
from rnn_zoo.presets import absolute
from trainer import callbacks
from trainer.cli import gin_files
from trainer.cli.main import define_import
from trainer.config import TrainConfig, check_range, read_config
from trainer.errors import UserError
from trainer.initial_weights import find_preset, preset_config
from trainer.storage import checkpoints
from trainer.storage.records import RunDirectory
from trainer.tasks import TASKS

_FROM_SCRATCH = {"preset": None, "init_from": None, "weights_sha256": None}
#: Flags that locate the data of a task -> help. A flag has the name TASK_OPTION.
DATA = {
    "text8_path": "text8 file: plain, .gz or .zip",
    "text8_source": "pydoc: train on text from Python's documentation",
    "series_path": "file of the task series: .csv or .npy",
    "mnist_path": "data directory of TensorFlow Datasets for the task mnist",
}
_FIELDS = ("task", "arch", "depth", "num_params", "train_steps", "batch_size", "seed")


def define(flag_values: flags.FlagValues) -> None:
    """Define all flags that describe a training run."""

    def listed(table):
        return "".join(f"\n        {name}: {entry.summary}" for name, entry in table.items())

    common: dict[str, Any] = {"flag_values": flag_values}
    own = "\n        MODULE.NAME: a custom one, registered by importing MODULE"
    flags.DEFINE_string("task", None, f"the task, one of{listed(TASKS)}{own}", **common)
    flags.DEFINE_string(
        "arch", None, f"the architecture, one of{listed(ARCHITECTURES)}{own}", **common
    )
    flags.DEFINE_integer("depth", None, "number of layers; default: 1, or 2 for +rnn", **common)
    flags.DEFINE_integer(
        "num_params", None, "parameter budget, which determines the units", **common
    )
    flags.DEFINE_integer(
        "train_steps",
        None,
        "number of updates; in a search, the maximum per trial, and a quarter of it is the minimum",
        **common,
    )
    flags.DEFINE_integer("batch_size", None, "samples per update", **common)
    flags.DEFINE_integer("seed", None, "seed of initial weights and batches", **common)
    flags.DEFINE_string(
        "preset",
        None,
        "start from a preset's task, model, hyperparameters and weights: TASK/NAME of the package, "
        "or DIR/TASK/NAME of your own",
        **common,
    )
    text = "start from the configuration and weights of the run in this directory"
    flags.DEFINE_string("init_from", None, text, **common)
    flags.DEFINE_boolean("scratch", False, "draw random weights instead of the preset's", **common)
    flags.DEFINE_multi_string("gin_file", [], "gin file to parse after the project's", **common)
    define_surroundings(flag_values)


def define_surroundings(flag_values: flags.FlagValues) -> None:
    """Define the flags that are not specific to one training run; sweeps have them too."""
    common: dict[str, Any] = {"flag_values": flag_values}
    flags.DEFINE_string(
        "profile", "laptop", f"amount of work: {', '.join(gin_files.PROFILES)}", **common
    )
    flags.DEFINE_multi_string(
        "gin_bindings", [], "gin binding, such as TrainConfig.lr_init=0.01", **common
    )
    define_data(flag_values)
    flags.DEFINE_list(
        "log_to",
        list(callbacks.DEFAULT),
        f"callbacks: {', '.join(callbacks.CALLBACKS)}, or MODULE.CLASS of your own; empty for none",
        **common,
    )
    define_import(flag_values)


def define_data(flag_values: flags.FlagValues) -> None:
    """Define the flags that locate the data of tasks."""
    for name, text in DATA.items():
        flags.DEFINE_string(name, None, text, flag_values=flag_values)


def parse(flag_values: flags.FlagValues, base: Callable[[], str] | None = None) -> gin_files.Parsed:
    """Build the configuration from the flags that `define` defines.

    Args:
        flag_values: the parsed flags.
        base: as for `gin_files.parse`.

    Raises:
        UserError: an unknown name or value, or a missing or invalid file.
    """
    given: dict[str, Any] = {name: flag_values[name].value for name in flag_values}
    fields = {name: given[name] for name in _FIELDS}
    source = next((name for name in ("preset", "init_from") if given[name]), None)
    if given["preset"] and given["init_from"]:
        raise UserError("give --preset or --init_from, not both")
    if given["scratch"] and not given["preset"]:
        raise UserError("--scratch needs --preset, the preset whose hyperparameters to use")
    if flag_values["profile"].present and base is None:
        _check_profile(source, given["gin_file"])
    if given["init_from"]:
        fields["init_from"] = os.path.abspath(given["init_from"])
    elif given["preset"] and not given["scratch"]:
        fields["preset"] = absolute(given["preset"])
    # A resumed run keeps its settings; its source is compared with the flag later.
    if source and base is None:
        start = _preset if source == "preset" else _run
        base = functools.partial(start, given[source], given["scratch"], given["arch"])
    data = data_options(flag_values)
    profile = given["profile"] if flag_values["profile"].present or base is None else None
    parsed = gin_files.parse(
        fields,
        data.get(given["task"] or next(iter(data), "")),
        profile,
        given["gin_file"],
        given["gin_bindings"],
        base,
    )
    data_of(flag_values, parsed.config.task)
    text = gin_files.labelled(parsed.documents["config.gin"], profile_of(flag_values))
    return parsed._replace(documents=parsed.documents | {"config.gin": text})


def _check_profile(source, files):
    """Raise a `UserError` if a new run has settings of its own, which a profile would mix with."""
    if source:
        raise UserError(f"--profile does not apply with --{source}; give --train_steps instead")
    whole = gin_files.whole_configuration(files)
    if whole:
        raise UserError(
            f"--profile does not apply to {whole}, which sets task, arch and train_steps as the "
            "config.gin of a run does; omit it, and give --train_steps and other flags instead"
        )


def profile_of(flag_values: flags.FlagValues) -> str | None:
    """Return the profile that a configuration comes from.

    That of a preset has none, nor that of a run whose weights are continued. The config.gin of a
    run has the profile of the run.
    """
    if flag_values.preset or flag_values.init_from:
        return None
    whole = gin_files.whole_configuration(flag_values.gin_file)
    return gin_files.profile_in(whole) if whole else flag_values.profile


def _preset(name, scratch, arch):
    """Return the configuration of a preset as gin.

    Raises:
        UserError: no such preset, a preset without weights, or one of another architecture.
    """
    card = find_preset(name)
    if arch is not None and ALIASES.get(arch, arch) != card.arch:
        raise UserError(
            f"the preset {name} has hyperparameters for the gates of {card.arch}, and --arch is "
            f"{arch}; omit --arch or --preset"
        )
    if card.weights is None and not scratch:
        raise UserError(
            f"the preset {name} has tuned hyperparameters but no weights; add --scratch to draw "
            "random ones"
        )
    config = dataclasses.replace(preset_config(card), **_FROM_SCRATCH)
    return config.as_gin() if scratch else _at_final_rate(config) + _pinned(card.weights)


def _run(path, scratch, arch):
    """Return the configuration of a run as gin.

    Raises:
        UserError: no run there, or one of another architecture.
    """
    directory = RunDirectory(path)
    record = directory.read_record()
    if arch is not None and ALIASES.get(arch, arch) != record.arch:
        raise UserError(f"the run {path} is of {record.arch}, not of {arch}; omit --arch")
    config = read_config(record.config | _FROM_SCRATCH, directory.record_path)
    done = record.steps_done / record.train_steps
    return _at_final_rate(config, done) + _pinned(checkpoints.newest_sha256(directory))


def _at_final_rate(config, done=1.0):
    """Return a configuration that keeps the learning rate after a share of the steps, as gin."""
    last = config.lr_init * config.lr_decay_rate**done
    return dataclasses.replace(config, lr_init=last, lr_decay_rate=1.0).as_gin()


def _pinned(digest):
    """Return gin for the weights to start from, whose place is bound by a flag."""
    return f"TrainConfig.weights_sha256 = {digest!r}\n"


def data_options(flag_values: flags.FlagValues) -> dict[str, dict[str, Any]]:
    """Return the options that flags set to locate data: task -> option -> value."""
    found: dict[str, dict[str, Any]] = {}
    for name in DATA:
        if flag_values[name].value is not None:
            task, _, option = name.partition("_")
            found.setdefault(task, {})[option] = flag_values[name].value
    return found


def data_of(flag_values: flags.FlagValues, task: str) -> dict[str, Any]:
    """Return the options of one task that flags set to locate its data.

    Raises:
        UserError: a flag is for another task.
    """
    given = data_options(flag_values)
    for other, options in given.items():
        if other != task:
            name = f"--{other}_{next(iter(options))}"
            raise UserError(f"{name} is for the task {other}, and the task is {task}; omit it")
    return given.get(task, {})


def with_data(config: TrainConfig, options: Mapping[str, Any]) -> TrainConfig:
    """Return the configuration of a run with data in another place.

    Args:
        config: the configuration.
        options: from `data_of`; if empty, the place remains.
    """
    if not options:
        return config
    own = {k: v for k, v in config.task_options.items() if f"{config.task}_{k}" not in DATA}
    return dataclasses.replace(config, task_options={**own, **options})


def callbacks_of(flag_values: flags.FlagValues) -> list[callbacks.Callback]:
    """Make the callbacks that --log_to names.

    Raises:
        UserError: one of them does not exist, or its package is not installed.
    """
    return [callbacks.make(name) for name in flag_values.log_to]


def check_positive(flag_values: flags.FlagValues, *names: str) -> None:
    """Check that these flags, if given, are at least 1.

    Raises:
        UserError: one of them is less.
    """
    for name in names:
        if (value := flag_values[name].value) is not None:
            check_range(f"--{name}", value, 1, math.inf, whole=True)
