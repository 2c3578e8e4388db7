"""The exception that the command line reports as one line, with exit code 2."""


class UserError(ValueError):
    """An error the user can fix; the message names the value, the choices and what to do."""
