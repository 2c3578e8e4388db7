"""The one exception that a main turns into a single line and exit code 2."""


class UserError(ValueError):
    """Something the user can mend; its message names the value, the choices and the way out."""
