"""Runs a command-line program: flags, fast help, and user errors as one line with exit code 2."""

import contextlib
import importlib
import importlib.util
import json
import logging
import os
import pathlib
import re
import sys
import textwrap
from collections.abc import Callable, Mapping
from typing import NoReturn

from absl import flags

from rnn_zoo.presets import home
from trainer import compiled, lean, memory, names, stderr
from trainer.display.words import printable
from trainer.errors import UserError
from trainer.storage.files import is_full

#: Flags that name directories to read.
_LOOKED_AT = ("run_dir", "init_from", "study_dir", "status", "out", "runs", "work")
#: Packages of the extra "lab" that all commands need, of those that may be missing.
_LAB = ("gin", "keras_tuner", "matplotlib", "pooch", "scipy", "sklearn", "tensorboardX")
#: Flags for which an empty value is one.
_MAY_BE_EMPTY = ("log_to",)
#: Maximum number of levels of a path; `pathlib.Path.mkdir` calls itself for each.
_MOST_LEVELS = 200
#: Exit code after a signal, as shells report Ctrl-C.
INTERRUPTED = 130


def run(main: Callable[[], int | None], flag_holder: flags.FlagValues, usage: str) -> NoReturn:
    """Parse the command line, call `main()`, and exit with its code.

    Args:
        main: the program; returns an exit code or None.
        flag_holder: the program's flags.
        usage: text that `--help` prints above the flags.
    """
    _open_streams()
    arguments = sys.argv[1:]
    if any(argument in ("-h", "--help", "-help") for argument in arguments):
        try:
            print(f"{usage}\n{describe(flag_holder)}", flush=True)
        except BrokenPipeError:
            # The reader, such as head, has closed the pipe: prevent a flush at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        _check_installed()
        rest = flag_holder([sys.argv[0], *arguments])
        if rest[1:]:
            raise UserError(f"unexpected argument {rest[1]!r}; --help lists the flags")
        _check_values(flag_holder)
        _import_named(flag_holder)
        code = main()
    except flags.Error as error:
        fail(_in_words(error))
    except UserError as error:
        fail(error)
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        what = f"cannot use {error.filename}" if error.filename else "cannot read or write"
        fail(f"{what}: {error.strerror}")
    except Exception as error:
        if memory.is_out(error):
            fail(f"out of memory; {memory.ADVICE}")
        if not is_full(error):
            raise
        fail(f"{compiled.NO_SPACE} ({textwrap.shorten(str(error), 200, placeholder='...')})")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = INTERRUPTED
    sys.exit(code or 0)


def _open_streams():
    """Open standard streams that the caller has closed, and make them write all characters."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # which takes the first number that is free
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, pathlib.Path(os.devnull).open("w"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def _check_installed():
    absent = [name for name in _LAB if importlib.util.find_spec(name) is None]
    if absent:
        raise UserError(f"this command needs {', '.join(absent)}: pip install 'rnn-zoo[lab]'")


def _check_values(flag_holder):
    """Refuse an empty value, as of a variable that a shell script does not set, and deep paths."""
    for name in flag_holder:
        flag = flag_holder[name]
        values = flag.value if isinstance(flag.value, list) else [flag.value]
        if flag.present and name not in _MAY_BE_EMPTY and (not values or "" in values):
            raise UserError(f"--{name} is empty; give a value, or omit the flag")
        levels = max((str(value).count("/") for value in values), default=0)
        if levels > _MOST_LEVELS and name != "gin_bindings":
            raise UserError(f"--{name} has {levels:,} levels; a path may have {_MOST_LEVELS}")


def check_owners(flag_holder: flags.FlagValues, owners: Mapping[str, str]) -> None:
    """Check that no flag is given without the one that it belongs to.

    Args:
        flag_holder: the parsed flags.
        owners: flag -> the flag without which it has no effect.

    Raises:
        UserError: a flag has no effect.
    """
    for name, owner in owners.items():
        if flag_holder[name].present and not flag_holder[owner].value:
            raise UserError(f"--{name} has no effect without --{owner}; omit it, or add --{owner}")


def define_import(flag_holder: flags.FlagValues) -> None:
    """Define --import, for commands that read directories with custom names."""
    flags.DEFINE_multi_string(
        "import",
        [],
        "module that registers custom cells, tasks or optimizers; it is imported, and the files of "
        "runs, studies and sweeps cannot name another one",
        flag_values=flag_holder,
    )


def _import_named(flag_holder):
    """Import the modules of --import.

    They may lie in the working directory, but not in a directory that the command only looks at.
    """
    given = {name: flag_holder[name].value for name in flag_holder}
    names.look_at(_looked_at(given))
    try:
        here = os.getcwd()
    except FileNotFoundError:
        raise UserError("the working directory was removed; change to another one") from None
    if names.is_looked_at(here) and pathlib.Path(here) != pathlib.Path(__file__).parents[2]:
        # `python -m` puts it first, where its files would replace libraries.
        sys.path[:] = [path for path in sys.path if path not in ("", here)]
        # Matplotlib reads ./matplotlibrc when it is imported, whose settings can start LaTeX.
        with contextlib.chdir("/"):
            importlib.import_module("matplotlib")
    elif "" not in sys.path:
        # Console scripts do not search it. It comes last, so that no library is replaced.
        sys.path.append("")
    names.load(given.get("import") or ())


def _looked_at(given):
    """Yield the directories that flags name to be read."""
    for name in _LOOKED_AT:
        paths = given.get(name) or ()
        for path in [paths] if isinstance(paths, str) else paths:
            yield path
    if path := given.get("published"):
        yield path if os.path.isdir(path) else os.path.dirname(path) or "."
    if (name := given.get("preset")) and (place := home(name)):
        yield place


def backend_name() -> str:
    """Return the backend that Keras will use, without importing Keras."""
    directory = os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras")
    configured: dict[str, str] = {}
    with contextlib.suppress(OSError, ValueError), open(f"{directory}/keras.json") as file:
        configured = json.load(file)
    return os.environ.get("KERAS_BACKEND") or configured.get("backend", "tensorflow")


def start_backend(is_lean: bool = True) -> None:
    """Import Keras and initialise its devices, hiding the lines that TensorFlow logs.

    Args:
        is_lean: whether Keras does without optional packages that commands don't need.

    Raises:
        UserError: the backend is not installed.
    """
    compiled.keep(backend_name())
    unused = {"sklearn", "pandas", "matplotlib", "torch", "jax"} - {backend_name()}
    unused = unused if is_lean else set()
    # Otherwise it warns about retracing whenever a process trains more than one configuration.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with stderr.hidden(), lean.without(*unused):
        try:
            import keras

            keras.ops.zeros(())
        except ImportError as error:
            package = {"jax": "'rnn-zoo[jax]'"}.get(backend_name(), backend_name())
            raise UserError(
                f"Keras cannot start on {backend_name()}: {error}; pip install {package}, "
                "or set KERAS_BACKEND to another backend"
            ) from None


def _in_words(error):
    """Return the message of an invalid flag, without Python's words for numbers."""
    kinds = {
        "invalid literal for int": "a whole number",
        "could not convert": "a number",
        "('Non-boolean argument": "true or false, or the flag alone",
    }
    found = re.match(rf"flag (--\w+)=(.*): ({'|'.join(map(re.escape, kinds))})", str(error))
    if not found:
        return error
    kind = kinds[found[3]]
    return f"{found[1]} must be {kind}, got {found[2]!r}"


def fail(message: object) -> NoReturn:
    """Print one line to standard error and exit with 2."""
    print("error: " + printable(" ".join(str(message).split())), file=sys.stderr)
    sys.exit(2)


def describe(flag_holder: flags.FlagValues) -> str:
    """Return the help text of all flags, in the order of their definition."""
    lines = []
    for name in flag_holder:
        flag = flag_holder[name]
        text = flag.help.replace(
            ";\n    repeat this option to specify a list of values", "; repeatable"
        )
        lines.append(f"  --{name}{'' if flag.boolean else '=VALUE'}\n      {text}")
    return "\n".join(lines)
