"""The exception that the command line reports as one line, with exit code 2."""

import contextlib
from collections.abc import Iterator


class UserError(ValueError):
    """An error the user can fix; the message names the value, the choices and what to do."""


@contextlib.contextmanager
def user_errors() -> Iterator[None]:
    """Turn a `ValueError` into a `UserError`."""
    try:
        yield
    except ValueError as error:
        raise UserError(str(error)) from None


@contextlib.contextmanager
def extra(name: str, of: str) -> Iterator[None]:
    """Turn the `ImportError` of an optional package into a `UserError`.

    Args:
        name: the extra of the project that installs it.
        of: the subject of the message, such as "the report".
    """
    try:
        yield
    except ImportError as error:
        raise UserError(f"{of} needs {error.name}: pip install 'rnn-zoo[{name}]'") from None
