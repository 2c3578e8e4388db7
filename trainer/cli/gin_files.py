"""Builds a `TrainConfig` from gin files, bindings and flags; only `trainer.cli` imports gin.

Later sources win: the dataclass's defaults, the task's file or the `defaults` of its class, the
architecture's file, the profile, --gin_file, --gin_bindings, flags. Dicts of options are merged, as
`layers.bind_options` describes.
"""

import contextlib
import dataclasses
import importlib.resources
import logging
import pathlib
import tokenize
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rnn_zoo.architectures import ALIASES, ARCHITECTURES
from trainer import names, tasks
from trainer.cli import layers
from trainer.cli.layers import gin
from trainer.config import OPTIONS, TrainConfig
from trainer.errors import UserError
from trainer.storage.files import read_bytes

PROFILES = ("smoke", "laptop", "paper")
#: Start of the comment that names the profile of a run's config.gin.
_LABEL = "# profile: "
#: Files in gin_configs/archs, each for one architecture, with all tasks or with one.
ARCHITECTURE_FILES = ("irnn", "+rnn-memory", "+rnn-parens", "+rnn-rcf")

#: Fields that no profile makes larger than they are for the task.
_SIZES = ("num_params", "batch_size", "eval_samples")

# A gin file can `import` and `include`, hence ImportError and OSError.
_MISTAKES = (
    ValueError,
    TypeError,
    SyntaxError,
    AttributeError,
    RuntimeError,
    ImportError,
    OSError,
    tokenize.TokenError,
)

_VALUES = "a value is a number, string, list, tuple, dict, True, False, None or %macro"

#: Dataclasses that gin files configure; `configurable` adds to them.
_CLASSES: list[Any] = []


def configurable(cls: type) -> Callable[[], Any]:
    """Let gin files set the fields of a dataclass; return a constructor that gin completes."""
    _CLASSES.append(cls)
    return gin.external_configurable(cls, cls.__name__) if gin else cls


_CONFIGURABLE = configurable(TrainConfig)


class Parsed(NamedTuple):
    """A configuration and its gin documents.

    Attributes:
        config: the configuration.
        documents: file name -> text: config.gin as parsed, operative_config.gin as used.
        bound: values that the user's files and bindings set, by field, before flags.
        given: names that the user's files, bindings and flags set; see `given_names`.
        batch_size: the default, which these may replace.
        others: class name -> field -> value that the files and bindings set, for the other
            `configurable` classes. Gin's own state does not outlive `parse`.
    """

    config: TrainConfig
    documents: dict[str, str]
    bound: dict[str, Any]
    given: frozenset[str]
    batch_size: int
    others: dict[str, dict[str, Any]]


def parse(
    flags: Mapping[str, Any],
    task_options: Mapping[str, Any] | None = None,
    profile: str | None = None,
    files: Iterable[str | pathlib.Path] = (),
    bindings: Sequence[str] = (),
    base: Callable[[], str] | None = None,
) -> Parsed:
    """Build the configuration, after importing the modules of the dotted names that the user sets.

    Args:
        flags: `TrainConfig` field -> value; None if the flag was not given.
        task_options: task options given as flags, which override those of the files one by one.
        profile: one of `PROFILES`. Without it, the profile is laptop, or with `base` none. With
            both, the sizes are the profile's, so that a resumed run of another one is noticed.
        files, bindings: additional gin files and bindings.
        base: returns gin text that replaces the project's files, such as that of a resumed run.

    Raises:
        UserError: an unknown name or value, a macro without a use, a parameter that the bindings
            set twice, or a missing or invalid file.
    """
    check_bindings(bindings)
    given = {name: value for name, value in flags.items() if value is not None}
    of_files = [*map(read, files)]
    own = _own_layers(files, of_files, bindings)
    bound = {name: value for layer in own for name, value in layer.bound.items()}
    names.load_named({**bound, **given})
    text = base and base()
    with mistakes():
        _parse_base(text, bound | given, profile)
        batch_size = _bound("TrainConfig.batch_size", TrainConfig.batch_size)
        # A run's config.gin has the macros of its profile, which flags may have replaced.
        whole = [layer for layer in own[: len(of_files)] if layer.is_whole]
        known = layers.macros().union(*(layer.macros for layer in whole))
        start = _fields_before(bound | given if text is None else {})
        gin.parse_config([*of_files, *bindings])
        check_references()
        options = layers.bind_options(start, own, given)
        _check_used(layers.macros() - known)
        values = gin.get_bindings("TrainConfig")
        bound = {name: values[name] for name in bound} | options
        names.load_named(bound)  # of macros
        # Flags are parsed as bindings too, so that config.gin contains them.
        if task_options:
            given["task_options"] = values.get("task_options", {}) | task_options
            options["task_options"] = {**options.get("task_options", {}), **task_options}
        gin.parse_config([f"TrainConfig.{name} = {value!r}" for name, value in given.items()])
        task = tasks.canonical_name(_bound("TrainConfig.task", ""))
        if text is not None and task != start.get("task", task) and "eval_lengths" not in bound:
            # Those of the preset or the run were of its own task.
            own_lengths = tasks.TASKS[task].defaults.get("eval_lengths", ())
            gin.bind_parameter("TrainConfig.eval_lengths", own_lengths)
        configured = _CONFIGURABLE()
        others = {
            cls.__name__: gin.get_bindings(cls.__name__)
            for cls in _CLASSES
            if cls is not TrainConfig
        }
    return Parsed(
        TrainConfig(**{name: getattr(configured, name) for name in _fields(TrainConfig)}),
        {"config.gin": gin.config_str(), "operative_config.gin": gin.operative_config_str()},
        bound,
        given_names(dict.fromkeys((*bound, *given)) | options),
        batch_size,
        others,
    )


def given_names(fields: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of the given fields, with `task_options.OPTION` for each option."""
    found = {name for name in fields if name not in OPTIONS}
    for field in OPTIONS:
        found |= {f"{field}.{option}" for option in fields.get(field) or ()}
    return frozenset(found)


def _own_layers(files, texts, bindings):
    """Return a layer for each of the user's files, and one for the bindings if there are any."""
    own = []
    for path, text in zip(files, texts, strict=True):
        with mistakes(path):
            own.append(layers.parsed_alone([text]))
    if bindings:
        with mistakes():
            # One layer: in a command, options may come before the name that they belong to.
            own.append(layers.parsed_alone(bindings)._replace(has_all_options=False))
    return own


def _parse_base(text, named, profile):
    """Parse what the user's files build on: a text, or the project's files without one."""
    if text is None:
        gin.clear_config()
        _parse_project_files(named)
        _parse_profile(profile or "laptop")
        return
    sizes = _sizes(layers.parsed_alone([text]).bound, profile) if profile else {}
    gin.clear_config()
    gin.parse_config(text)
    for name, value in sizes.items():
        gin.bind_parameter(f"TrainConfig.{name}", value)


def _fields_before(named):
    """Return what is bound before the user's files, with the names that own options."""
    owners = {name: named[name] for name in ("task", "arch") if name in named}
    bound = gin.get_bindings("TrainConfig", resolve_references=False)
    return {"optimizer": TrainConfig.optimizer, **owners, **bound}


def whole_configuration(files: Iterable[str | pathlib.Path]) -> str | pathlib.Path | None:
    """Return the first gin file that alone describes a run, as a run's config.gin does, or None.

    Raises:
        UserError: as for `parse`.
    """
    for path in files:
        with mistakes(path):
            if layers.parsed_alone([read(path)]).is_whole:
                return path
    return None


def labelled(text: str, profile: str | None) -> str:
    """Return a gin text with the name of the profile that it comes from, for `profile_in`.

    Other names are left out: one that a file gives may go on with lines of its own.
    """
    return f"{_LABEL}{profile}\n{text}" if profile in PROFILES else text


def profile_in(path: str | pathlib.Path) -> str | None:
    """Return the profile that `labelled` wrote into a gin file, or None."""
    first = read(path).partition("\n")[0]
    name = first.removeprefix(_LABEL)
    return name if first != name and name in PROFILES else None


def check_bindings(bindings: Iterable[str]) -> None:
    """Raise a `UserError` if bindings of one command line set a parameter more than once."""
    found: dict[str, Any] = {}
    for name, value in (each for binding in bindings for each in statements(binding)):
        if name in found:
            raise UserError(
                f"--gin_bindings sets {name} to {found[name]!r} and to {value!r}; omit one of the "
                "two, or put both into one value"
            )
        found[name] = value


def statements(text: str) -> list[tuple[str, Any]]:
    """Return (name, value) of each binding and macro of a gin text, such as TrainConfig.seed.

    Raises:
        UserError: the text is not gin.
    """
    with mistakes():
        parser = gin.config_parser.ConfigParser(text, gin.config.ParserDelegate())
        return [
            (_name_of(each), each.value)
            for each in parser
            if isinstance(each, gin.config_parser.BindingStatement)
        ]


def _name_of(statement):
    scope = f"{statement.scope}/" if statement.scope else ""
    argument = f".{statement.arg_name}" if statement.arg_name else ""
    return f"{scope}{statement.selector.rpartition('.')[2]}{argument}"


def check_references() -> None:
    """Raise a `UserError` if a field needs a macro without a value, or refers to anything else."""
    bindings = gin.config._CONFIG

    def check(values, around):
        for each in gin.config.iterate_references(values):
            name, owner = each.config_key
            if owner != "gin.macro":
                raise UserError(f"gin: {each!r} is no value; {_VALUES}")
            if each.config_key not in bindings:
                raise UserError(f"the gin macro %{name} has no value; define it: {name} = VALUE")
            if name in around:
                raise UserError(f"the gin macro %{name} needs its own value; give it another one")
            check(bindings[each.config_key], {*around, name})

    for (_, owner), values in bindings.items():
        if owner != "gin.macro":
            check(values, set())


def _check_used(macros):
    """Raise a `UserError` if a binding or a macro that the user gave has no effect."""
    bindings = gin.config._CONFIG
    used = {each.config_key[0] for each in gin.config.iterate_references(bindings)}
    for name in sorted(macros - used):
        owners = [cls.__name__ for cls in _CLASSES if name in _fields(cls)]
        raise UserError(
            f"nothing uses the gin macro {name!r}; a field is set with the name of its class, "
            f"{owners[0] if owners else 'TrainConfig'}.{name if owners else 'FIELD'} = VALUE"
        )
    for scope, selector in bindings:
        cls = selector.rpartition(".")[2]
        if scope and cls in ("TrainConfig", "StudyConfig"):
            raise UserError(
                f"{scope}/{cls} has no effect: only SweepConfig has a scope for each profile; omit "
                f"'{scope}/', or set the value in {scope}/SweepConfig.grid"
            )


def _fields(cls):
    return [field.name for field in dataclasses.fields(cls)]


@contextlib.contextmanager
def mistakes(path: object = None) -> Iterator[None]:
    """Turn exceptions that gin raises for invalid input into `UserError`.

    Args:
        path: the file that is read; None for bindings, or for several files.
    """
    before = logging.root.manager.disable
    logging.disable(
        logging.ERROR
    )  # in which gin says that a file is missing, as its exception does
    try:
        yield
    except UserError as error:
        raise UserError(str(error).split("\n")[0]) from None  # the rest is gin's call chain
    except _MISTAKES as error:
        source = "gin" if path is None else f"gin file {path}"
        raise UserError(f"{source}: {_one_line(error)}") from None
    finally:
        logging.disable(before)


def _parse_project_files(given):
    for name, table in (("task", tasks.TASKS), ("arch", ARCHITECTURES)):
        if name not in given:
            raise UserError(f"--{name} is missing; choose one of {', '.join(table)}")
    root = importlib.resources.files("gin_configs")
    task, arch = tasks.canonical_name(given["task"]), ALIASES.get(given["arch"], given["arch"])
    gin.parse_config(_task_text(task))
    for name in (arch, f"{arch}-{task}"):
        if name in ARCHITECTURE_FILES:
            gin.parse_config(root.joinpath(f"archs/{name}.gin").read_text())


def default_batch_size(task: str, profile: str | None = None) -> int:
    """Return the batch size of a task; gin's configuration stays as it is.

    Args:
        task: its name.
        profile: one of `PROFILES`; if None, one of the larger ones, which have the same size.

    Raises:
        UserError: there is no such task or profile.
    """
    name = "TrainConfig.batch_size"
    values = dict(statements(_task_text(tasks.canonical_name(task))))
    size = values.get(name, TrainConfig.batch_size)
    return min(size, dict(statements(_profile_text(profile or "laptop"))).get(name, size))


def _task_text(task):
    """Return the gin file of a task, or the `defaults` of its class in the same form."""
    file = importlib.resources.files("gin_configs").joinpath(f"tasks/{task}.gin")
    return file.read_text() if file.is_file() else _defaults(tasks.TASKS[task])


def _sizes(held, profile):
    """Return the fields that a profile sets for the task and the architecture of a run."""
    gin.clear_config()
    _parse_project_files(held)
    _parse_profile(profile)
    values = gin.get_bindings("TrainConfig")
    names = layers.parsed_alone([_profile_text(profile)]).bound
    return {
        name: min(values[name], held.get(name, values[name])) if name in _SIZES else values[name]
        for name in names
    }


def _profile_text(profile):
    if profile not in PROFILES:
        raise UserError(f"unknown profile {profile!r}; choose one of {', '.join(PROFILES)}")
    root = importlib.resources.files("gin_configs")
    return root.joinpath(f"profiles/{profile}.gin").read_text()


def _parse_profile(profile):
    """Parse a profile. The numbers of smoke apply where they are smaller than the task's."""
    before = {name: _bound(f"TrainConfig.{name}", None) for name in _SIZES}
    before["train_steps"] = _bound("laptop_steps/gin.macro.value", None)
    gin.parse_config(_profile_text(profile))
    for name, value in before.items():
        now = _bound(f"TrainConfig.{name}", None)
        if isinstance(value, int) and isinstance(now, int) and value < now:
            gin.bind_parameter(f"TrainConfig.{name}", value)


def _defaults(task):
    """Return the `defaults` of a task's class in the form of a task's gin file."""
    values = {"train_steps": TrainConfig.train_steps, **task.defaults}
    steps = values.pop("train_steps")
    lines = [f"{profile}_steps = {steps}" for profile in ("laptop", "paper")]
    lines += [f"TrainConfig.{name} = {value!r}" for name, value in values.items()]
    return "\n".join(lines)


def read(path: str | pathlib.Path) -> str:
    """Read a gin file.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return read_bytes(path).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        hint = "; repeat --gin_file for each of several" if "," in str(path) else ""
        raise UserError(f"cannot read gin file {path}: {reason}{hint}") from None


def _bound(name, default):
    try:
        return gin.query_parameter(name)
    except ValueError:
        return default


def _one_line(error):
    """Shorten gin's message to its first line, and add the fields to choose from."""
    if isinstance(error, RecursionError):
        return "a file includes itself, or a value is nested too deeply"
    text = error.args[0] if isinstance(error, tokenize.TokenError) else str(error)
    first = " ".join(text.strip().split("\n")[0].split())
    if first.startswith("malformed node"):
        return _VALUES
    if any(word in first.lower() for word in ("configurable", "argument", "parameter")):
        cls = next((cls for cls in _CLASSES if cls.__name__ in first), TrainConfig)
        return f"{first.rstrip('.')}; {cls.__name__} has {', '.join(_fields(cls))}"
    return first
