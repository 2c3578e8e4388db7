"""Differences between nested settings, and the refusal to continue with different ones."""

import json
from collections.abc import Mapping
from typing import Any

from trainer.errors import UserError

_EMPTY: tuple[Any, ...] = (None, {}, [])


def plain(value: Any) -> Any:
    """Return the value after a round trip through JSON, which turns tuples into lists."""
    return json.loads(json.dumps(value))


def refuse_difference(subject: str, held: Mapping, wanted: Mapping, way_out: str) -> None:
    """Raise a `UserError` that names the first setting that differs, if any does.

    Args:
        subject: start of the message, such as "runs/a holds a run".
        held, wanted: stored and requested settings, nested dicts of JSON values. A missing entry
            equals None, {} and [].
        way_out: end of the message: what the user can do instead.
    """
    difference = _first_difference(plain(held), plain(wanted))
    if difference is not None:
        name, old, new = difference
        raise UserError(f"{subject} with {name} {old!r}, not {new!r}; {way_out}")


def _first_difference(held, wanted, prefix=""):
    for name in {**wanted, **held}:
        old, new = held.get(name), wanted.get(name)
        if old == new or (old in _EMPTY and new in _EMPTY):
            continue
        if not (isinstance(old, dict) and isinstance(new, dict)):
            return f"{prefix}{name}", old, new
        if found := _first_difference(old, new, f"{prefix}{name}."):
            return found
    return None


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flattens nested dicts, {"input_scale": {"c": 1}} to {"input_scale.c": 1}, and drops None."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{name}.")
        elif value is not None:
            found[prefix + name] = value
    return found
