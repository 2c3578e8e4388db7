"""One dimension of a search space."""

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from trainer.config import OPTIONS, TrainConfig
from trainer.errors import UserError

#: Names that never stand for an option.
_FIELDS = frozenset(field.name for field in dataclasses.fields(TrainConfig))
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
        choices: values if categorical; numbers are in ascending order.
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

    @property
    def ends(self) -> tuple[Any, Any]:
        """Its least and its largest value; they must be numbers."""
        return min(self.limits), max(self.limits)

    @property
    def limits(self) -> tuple:
        """Its choices, or the ends of its range."""
        return self.choices or tuple(dict.fromkeys((self.low, self.high)))

    def contains(self, value: Any) -> bool:
        """Return whether a value is within the range or one of the choices."""
        if self.distribution == "categorical":
            return value in self.choices
        return _is_number(value) and self.low <= value <= self.high

    def with_range(self, wanted: Any) -> "Hyperparameter":
        """Return the hyperparameter with another range, other choices or one value.

        Args:
            wanted: as for `of_range`.

        Raises:
            UserError: it is not of that form, or a logarithmic range does not start above 0.
        """
        if isinstance(wanted, list) and len(wanted) == 1:
            wanted = wanted[0]
        if isinstance(wanted, list) or self.distribution == "categorical":
            return self._replace(distribution="categorical", choices=self._choices(wanted))
        name, distribution = self.name, self.distribution
        values = wanted if isinstance(wanted, tuple) else (wanted, wanted)
        if values[2:] == ("log",):
            values, distribution = values[:2], "log-" + distribution.removeprefix("log-")
        if len(values) != 2 or not self._are_numbers(values):
            numbers = "whole numbers" if "integer" in distribution else "numbers"
            raise UserError(
                f"the range of {name} is (low, high), two {numbers}, or a list of choices, not "
                f"{wanted!r}"
            )
        low, high = values
        if low > high:
            raise UserError(f"the range of {name} is empty: {low!r} is above {high!r}")
        if low == high:
            distribution = distribution.removeprefix("log-")
        elif "log" in distribution and low <= 0:
            raise UserError(
                f"{name} is searched on a logarithmic scale: its range must start above 0, not at "
                f"{low!r}"
            )
        return self._replace(distribution=distribution, low=low, high=high)

    def _choices(self, wanted):
        """Return the choices that a list or a single value gives."""
        values = wanted if isinstance(wanted, list) else [wanted]
        if self._are_numbers(values):
            kind = int if all(isinstance(value, int) for value in values) else float
            return tuple(sorted({kind(value) for value in values}))
        is_number = self.distribution != "categorical"
        are_plain = all(isinstance(value, (str, bool, int, float)) for value in values)
        if is_number or not are_plain or len(set(map(type, values))) != 1:
            kind = "whole numbers" if "integer" in self.distribution else "numbers"
            kind = kind if is_number else "one type"
            raise UserError(
                f"the range of {self.name} is a list of choices of {kind}, not {wanted!r}"
            )
        return tuple(dict.fromkeys(values))

    def _are_numbers(self, values):
        kinds = (int,) if "integer" in self.distribution else (int, float)
        return bool(values) and all(
            _is_number(value) and isinstance(value, kinds) for value in values
        )

    def __str__(self):
        if self.distribution == "categorical":
            return "{" + ", ".join(map(str, self.choices)) + "}"
        return f"[{self.low:g}, {self.high:g}]"


def of_range(name: str, wanted: Any, source: str) -> Hyperparameter:
    """Make a hyperparameter from its range.

    Args:
        name: its name.
        wanted: (low, high), whole numbers if both are; (low, high, "log"); a list of choices,
            which may be numbers; or one value.
        source: origin of the range.

    Raises:
        UserError: as for `Hyperparameter.with_range`.
    """
    kind = "categorical"
    if _is_interval(wanted) or _is_number(wanted):
        values = wanted if isinstance(wanted, (list, tuple)) else (wanted,)
        is_whole = not any(isinstance(value, float) for value in values)
        kind = "integer" if is_whole else "uniform"
    elif isinstance(wanted, tuple):
        raise UserError(
            f"the range of {name} is (low, high), (low, high, 'log') or a list of choices, not "
            f"{wanted!r}"
        )
    return Hyperparameter(name, kind, source=source).with_range(wanted)


def to_json(wanted: Any) -> Any:
    """Return a range in a form that JSON keeps.

    JSON has no tuples, so an interval becomes a list, and a list of numbers {"choices": [...]}:
    files of earlier versions have only intervals of numbers.
    """
    if isinstance(wanted, list) and _is_interval(wanted):
        return {"choices": wanted}
    return list(wanted) if isinstance(wanted, tuple) else wanted


def from_json(stored: Any) -> Any:
    """Return a range from the form of `to_json`."""
    if isinstance(stored, dict):
        return list(stored["choices"])
    return tuple(stored) if isinstance(stored, list) and _is_interval(stored) else stored


def short_name(name: str) -> str:
    """Return the name of an option alone, "delay" of "task_options.delay"; both stand for it.

    Other names stay, and so do options with the name of a field of `TrainConfig`.
    """
    field, _, option = name.partition(".")
    return option if field in OPTIONS and option not in _FIELDS else name


def short_names(ranges: Mapping[str, Any]) -> dict[str, Any]:
    """Return ranges by their short names; two options of one name keep their fields."""
    short = {name: short_name(name) for name in ranges}
    number = Counter(short.values())
    return {short[name] if number[short[name]] == 1 else name: ranges[name] for name in ranges}


def _is_interval(wanted):
    """Return whether a sequence has the form of an interval: numbers, maybe followed by "log"."""
    if not isinstance(wanted, (list, tuple)):
        return False
    ends = wanted[:2] if list(wanted[2:]) == ["log"] else wanted
    return bool(ends) and all(map(_is_number, ends))


def _is_number(value):
    is_kind = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_kind and -math.inf < value < math.inf
