"""Numbers with their nouns and units, and texts that programs take for nothing else."""

import re
from collections.abc import Iterable
from typing import Any

#: A spreadsheet evaluates such a cell; a sign alone, as in +rnn or in a number, is harmless.
_FORMULA = re.compile(r"[=@\t\r]|[+-].*([A-Za-z_.]\s*\(|[|!])", re.DOTALL)


def count(number: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun: "1 trial", "2 trials", "3 studies".

    Args:
        number: the number.
        one: the noun.
        many: its plural, if that is not the noun and an s.
    """
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def span(numbers: Iterable[int]) -> str:
    """Return the range of whole numbers: "4 to 12", or "4" if all are equal."""
    low, high = min(numbers := [*numbers]), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def duration(seconds: float) -> str:
    """Format a duration in a suitable unit."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:,.1f} days"


def printable(text: object) -> str:
    """Return a text without control characters, which a terminal would obey.

    They become escapes, such as \\x1b: names and error texts in files are not to be trusted.
    """
    text = str(text)
    if text.isprintable():  # nearly all are
        return text
    return "".join(
        c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text
    )


def cell(value: Any) -> Any:
    """Return a cell of a CSV file: a text that spreadsheets take for a formula begins with '.

    Control characters become escapes, as in `printable`.
    """
    if not isinstance(value, str):
        return value
    return ("'" if _FORMULA.match(value) else "") + printable(value)


def of_legend(text: str) -> str:
    """Return a text for a legend of Matplotlib, which shows it as it is.

    A text between two dollar signs would be typeset, and one that begins with an underscore left
    out.
    """
    text = printable(text).replace("$", r"\$")
    return f"\N{ZERO WIDTH SPACE}{text}" if text.startswith("_") else text
