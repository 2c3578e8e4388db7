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
        """Returns the hyperparameter with another range, other choices or one value.

        Args:
            wanted: as for `of_range`.

        Raises:
            UserError: it is not of that form, or a logarithmic range does not start above 0.
        """
        name, distribution = self.name, self.distribution
        values = tuple(wanted) if isinstance(wanted, (list, tuple)) else (wanted, wanted)
        if distribution == "categorical":
            if len(set(map(type, values))) != 1:
                forms = "(low, high), (low, high, 'log') or choices of one type"
                raise UserError(f"the range of {name} is {forms}, not {wanted!r}")
            return self._replace(choices=tuple(dict.fromkeys(values)))
        if values[2:] == ("log",):
            values, distribution = values[:2], "log-" + distribution.removeprefix("log-")
        is_whole = "integer" in distribution
        kinds = (int,) if is_whole else (int, float)
        if len(values) != 2 or not all(
            _is_number(end) and isinstance(end, kinds) for end in values
        ):
            numbers = "whole numbers" if is_whole else "numbers"
            raise UserError(f"the range of {name} is (low, high), two {numbers}, not {wanted!r}")
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

    def __str__(self):
        if self.distribution == "categorical":
            return "{" + ", ".join(map(str, self.choices)) + "}"
        return f"[{self.low:g}, {self.high:g}]"


def of_range(name: str, wanted: Any, source: str) -> Hyperparameter:
    """Makes a hyperparameter from its range.

    Args:
        name: its name.
        wanted: (low, high), whole numbers if both are; (low, high, "log"); a list of choices; or
            one value.
        source: origin of the range.

    Raises:
        UserError: as for `Hyperparameter.with_range`.
    """
    values = list(wanted) if isinstance(wanted, (list, tuple)) else [wanted]
    ends = values[:2] if values[2:] == ["log"] else values
    kind = "categorical"
    if ends and all(map(_is_number, ends)):
        kind = "integer" if all(isinstance(end, int) for end in ends) else "uniform"
    return Hyperparameter(name, kind, source=source).with_range(wanted)


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)
