"""Hides messages of libraries that say nothing about the user's run."""

import contextlib
import logging
import os
import sys
import tempfile

from trainer.errors import UserError


@contextlib.contextmanager
def hidden():
    """Discard standard error inside the block, but prints it if an unexpected exception is raised.

    Redirects file descriptor 2, because C++ code ignores Python's log level. TensorFlow, if it is
    imported inside, logs only errors from then on.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as held_back:
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        except UserError:
            raise
        except BaseException:
            held_back.seek(0)
            os.write(terminal, held_back.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


def ignore_retracing() -> None:
    """Drop TensorFlow's warnings that a function is traced often.

    They give advice to the author of a function. Each model shape and task is a program of its own,
    whose functions have the same names.
    """
    logging.getLogger("tensorflow").addFilter(_is_no_retracing)


def _is_no_retracing(record):
    return "triggered tf.function retracing" not in record.getMessage()
