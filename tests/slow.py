"""Parameters of which the default run takes some; `pytest -m slow` runs the others."""

import pytest


def slow_except(quick, values):
    """`values` as parameters, marked slow but for those in `quick`."""
    return [
        value if value in quick else pytest.param(value, marks=pytest.mark.slow) for value in values
    ]


def slow_rows_except(quick, rows):
    """The same of rows, each with a value for every one of several arguments."""
    return [row if row in quick else pytest.param(*row, marks=pytest.mark.slow) for row in rows]
