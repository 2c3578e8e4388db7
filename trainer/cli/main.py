"""What all mains share: flags, quick help, one line and exit code 2 for a user's mistake."""

import contextlib
import json
import logging
import os
import sys

from absl import flags

from trainer import stderr
from trainer.errors import UserError

#: Exit code of what a signal stopped, as a shell gives it for Ctrl-C.
INTERRUPTED = 130


def run(main, flag_holder, usage):
    """Parses the command line, calls `main()`, and exits with its code.

    Args:
        main: called without arguments; returns an exit code or None.
        flag_holder: the `flags.FlagValues` that holds this program's flags, and no others.
        usage: what `--help` prints above the flags.
    """
    arguments = sys.argv[1:]
    if any(argument in ("-h", "--help", "-help") for argument in arguments):
        try:
            print(f"{usage}\n{describe(flag_holder)}", flush=True)
        except BrokenPipeError:
            # Whoever reads has read enough, as head does; nothing is to be flushed at the end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    # A console script leaves out the directory that `python -m` has, and modules of cells in it.
    if "" not in sys.path:
        sys.path.insert(0, "")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # It warns of every program that is compiled for another training in the same process.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
        rest = flag_holder([sys.argv[0], *arguments])
        if rest[1:]:
            raise UserError(f"unexpected argument {rest[1]!r}; --help lists the flags")
        code = main()
    except (UserError, flags.Error) as error:
        fail(error)
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        fail(f"cannot use {error.filename or 'a file'}: {error.strerror}")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = INTERRUPTED
    sys.exit(code or 0)


def backend_name():
    """The backend that Keras will start on, without starting it."""
    directory = os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras")
    configured = {}
    with contextlib.suppress(OSError, ValueError), open(f"{directory}/keras.json") as file:
        configured = json.load(file)
    return os.environ.get("KERAS_BACKEND") or configured.get("backend", "tensorflow")


def start_backend():
    """Imports Keras and wakes its devices, without the lines that TensorFlow logs meanwhile.

    Raises:
        UserError: the backend is not installed.
    """
    with stderr.hidden():
        try:
            import keras

            keras.ops.zeros(())
        except ImportError as error:
            package = {"jax": "'rnn-zoo[jax]'"}.get(backend_name(), backend_name())
            raise UserError(
                f"Keras cannot start on {backend_name()}: {error}; pip install {package}, "
                "or choose another backend by the variable KERAS_BACKEND"
            ) from None


def fail(message):
    """Prints one line to standard error and exits with 2."""
    print("error: " + " ".join(str(message).split()), file=sys.stderr)
    sys.exit(2)


def describe(flag_holder):
    """The flags as text, one after the other in the order of their definition."""
    lines = []
    for name in flag_holder:
        flag = flag_holder[name]
        text = flag.help.replace(
            ";\n    repeat this option to specify a list of values", "; repeatable"
        )
        lines.append(f"  --{name}{'' if flag.boolean else '=VALUE'}\n      {text}")
    return "\n".join(lines)
