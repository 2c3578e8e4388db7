"""One dimension of a search space."""

from typing import Any, NamedTuple

from trainer.errors import UserError

DISTRIBUTIONS = ("uniform", "log-uniform", "integer", "log-integer", "categorical")


class Condition(NamedTuple):
    """The name of another hyperparameter, and its values for which this one is active."""

    name: str
    values: tuple


class Hyperparameter(NamedTuple):
    """One dimension of the space.

    Attributes:
        name: name in `TrainConfig`, with a dot before an entry of a dict.
        distribution: one of `DISTRIBUTIONS`.
        low, high: inclusive range; None if categorical.
        choices: values if categorical.
        condition: when it is active; always if None.
        source: origin of the range.
    """

    name: str
    distribution: str
    low: Any = None
    high: Any = None
    choices: tuple = ()
    condition: Condition | None = None
    source: str = "appendix A"

    @property
    def fixed(self) -> Any:
        """Its value if there is only one, otherwise None."""
        if self.distribution == "categorical":
            return self.choices[0] if len(self.choices) == 1 else None
        return self.low if self.low == self.high else None

    def contains(self, value: Any) -> bool:
        """Returns whether a value is within the range or one of the choices."""
        if self.distribution == "categorical":
            return value in self.choices
        return self.low <= value <= self.high

    def with_range(self, wanted: Any) -> "Hyperparameter":
        """Returns the hyperparameter with another range or other choices.

        Args:
            wanted: as for `of_range`.

        Raises:
            UserError: it is not of that form, or outside the current range.
        """
        if self.distribution == "categorical":
            choices = tuple(wanted) if isinstance(wanted, (list, tuple)) else (wanted,)
            for choice in choices or ("no choice",):
                if choice not in self.choices:
                    raise UserError(f"{self.name} is one of {self}, not {choice!r}")
            return self._replace(choices=tuple(dict.fromkeys(choices)))
        ends = tuple(wanted) if isinstance(wanted, (list, tuple)) else (wanted, wanted)
        is_whole = "integer" in self.distribution
        kinds = (int,) if is_whole else (int, float)
        if len(ends) != 2 or not all(_is_number(end) and isinstance(end, kinds) for end in ends):
            numbers = "whole numbers" if is_whole else "numbers"
            raise UserError(
                f"{self.name} is narrowed by (low, high), two {numbers}, not by {wanted!r}"
            )
        if not self.low <= ends[0] <= ends[1] <= self.high:
            raise UserError(f"{self.name} is within {self}, not {wanted!r}")
        return self._replace(low=ends[0], high=ends[1])

    def __str__(self):
        if self.distribution == "categorical":
            return "{" + ", ".join(map(str, self.choices)) + "}"
        return f"[{self.low:g}, {self.high:g}]"


def of_range(name: str, wanted: Any, source: str) -> Hyperparameter:
    """Makes a hyperparameter from its range.

    Args:
        name: its name.
        wanted: (low, high), whole numbers if both are; (low, high, "log"); or a list of choices.
        source: origin of the range.
    """
    if not _is_number(wanted[0]):
        return Hyperparameter(name, "categorical", choices=tuple(wanted), source=source)
    low, high, *log = wanted
    kind = "integer" if isinstance(low, int) and isinstance(high, int) else "uniform"
    return Hyperparameter(name, "log-" * bool(log) + kind, low, high, source=source)


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)
