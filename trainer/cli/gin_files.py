"""Gin at the edge: files, bindings and flags become a `TrainConfig`; nothing below knows gin.

The later wins: base.gin, the task's file, the architecture's, the profile, --gin_file,
--gin_bindings, flags.
"""

import contextlib
import dataclasses
import importlib.resources
import pathlib
import tokenize
from typing import NamedTuple

import gin

from rnn_zoo.architectures import ALIASES
from trainer.config import TrainConfig
from trainer.errors import UserError
from trainer.tasks import TASKS

PROFILES = ("smoke", "laptop", "paper")
#: Architectures that the tasks' defaults do not suit, with a file in gin_configs/archs.
ARCHITECTURES_OF_THEIR_OWN = ("irnn",)

# Import and OS errors are those of an `import` or `include` in a gin text.
_MISTAKES = (ValueError, TypeError, SyntaxError, AttributeError, RuntimeError, ImportError, OSError)
_MISTAKES += (tokenize.TokenError,)

_CONFIGURABLE = gin.external_configurable(TrainConfig, "TrainConfig")


class Parsed(NamedTuple):
    """A configuration and the gin texts that belong to it."""

    config: TrainConfig
    documents: dict  # file name -> text: config.gin as parsed, operative_config.gin as used


def parse(flags, task_options=None, profile="laptop", files=(), bindings=(), base=None):
    """Builds the configuration.

    Args:
        flags: dict from TrainConfig field to value; what is None was not given.
        task_options: dict of task options given as flags; they join those of the files.
        profile: one of `PROFILES`.
        files, bindings: further gin files and bindings.
        base: a gin text that stands for base, task and profile, as the config.gin of a run to
            resume; None for the project's own.

    Raises:
        UserError: an unknown name or value, a file that is missing or wrong.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    gin.clear_config()
    with mistakes():
        if base is None:
            _parse_project_files(given, profile)
        else:
            gin.parse_config(base)
        for path in files:
            gin.parse_config(read(path))
        # Flags are parsed last and as bindings, so that config.gin holds them too.
        gin.parse_config(list(bindings))
        if task_options:
            given["task_options"] = _bound("TrainConfig.task_options", {}) | task_options
        gin.parse_config([f"TrainConfig.{name} = {value!r}" for name, value in given.items()])
        configured = _CONFIGURABLE()
    config = TrainConfig(
        **{f.name: getattr(configured, f.name) for f in dataclasses.fields(configured)}
    )
    return Parsed(
        config,
        {"config.gin": gin.config_str(), "operative_config.gin": gin.operative_config_str()},
    )


def construct(configurable):
    """Builds a dataclass from what is bound.

    Raises:
        UserError: an unknown name or value.
    """
    with mistakes():
        return configurable()


@contextlib.contextmanager
def mistakes():
    """Makes a `UserError` of what gin raises within."""
    try:
        yield
    except _MISTAKES as error:
        raise _as_user_error(error) from None


def _as_user_error(error):
    if isinstance(error, UserError):
        return UserError(str(error).split("\n")[0])  # the rest is gin's call chain
    return UserError(_one_line(error))


def _parse_project_files(given, profile):
    if profile not in PROFILES:
        raise UserError(f"unknown profile {profile!r}; choose one of {', '.join(PROFILES)}")
    if "task" not in given:
        raise UserError(f"--task is missing; choose one of {', '.join(TASKS)}")
    if given["task"] not in TASKS:
        raise UserError(f"unknown task {given['task']!r}; choose one of {', '.join(TASKS)}")
    root = importlib.resources.files("gin_configs")
    names = ["base.gin", f"tasks/{given['task']}.gin", f"profiles/{profile}.gin"]
    arch = given.get("arch")
    if ALIASES.get(arch, arch) in ARCHITECTURES_OF_THEIR_OWN:
        names.insert(2, f"archs/{ALIASES.get(arch, arch)}.gin")
    for name in names:
        gin.parse_config(root.joinpath(name).read_text())


def read(path):
    """The text of a gin file.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return pathlib.Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise UserError(f"cannot read gin file {path}: {reason}") from None


def _bound(name, default):
    try:
        return gin.query_parameter(name)
    except ValueError:
        return default


def _one_line(error):
    """Gin's message without the call chain that it appends, and with the fields to choose from."""
    text = error.args[0] if isinstance(error, tokenize.TokenError) else str(error)
    first = " ".join(text.strip().split("\n")[0].split())
    words = ("configurable", "argument", "parameter")
    others = any(name in first for name in ("StudyConfig", "SweepConfig"))
    if not others and any(word in first.lower() for word in words):
        names = ", ".join(field.name for field in dataclasses.fields(TrainConfig))
        return f"gin: {first.rstrip('.')}; TrainConfig has {names}"
    return f"gin: {first}"
