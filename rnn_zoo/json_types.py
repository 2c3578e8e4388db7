"""JSON values checked against declared types, and converted to them.

A type is that of an annotation: `float | None`, `list[str]`, a dataclass, a `NamedTuple` or a
`TypedDict`. Dataclasses and `NamedTuple`s refuse unknown entries, and those with defaults may be
missing. A `TypedDict` may have more entries than declared. `Annotated[T, U]` has the type T in the
program and is read as U, the narrower one.
"""

import dataclasses
import functools
import os
import re
import reprlib
import types
import typing
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from rnn_zoo.names import is_name


def is_file_name(text: str) -> bool:
    """Return whether a text names a file within a directory, and no other place."""
    return text == os.path.basename(text) not in ("", ".", "..") and "\0" not in text


#: Types of restricted values; the text says in error messages what they must be.
FileName = Annotated[str, is_file_name, "a file name without separators"]
Name = Annotated[str, is_name, "a name of letters, digits, underscores and dots"]
Sha256 = Annotated[str, re.compile("[0-9a-f]{64}").fullmatch, "a SHA-256 in hexadecimal"]
Count = Annotated[int, lambda number: number >= 0, "an int of at least 0"]
Size = Annotated[int, lambda number: number > 0, "an int of at least 1"]

#: The largest float32: measurements are in float32, and plots overflow near the largest float64.
LARGEST = float.fromhex("0x1.fffffep+127")
_NAMES = {
    dict: "a dict", list: "a list", str: "a str", bool: "true or false", float: "a finite number",
    int: "an int", types.NoneType: "null",
}  # fmt: skip
_Reader = Callable[[Any], Any]


class WrongType(ValueError):
    """A value of another type; the path to it is completed while the exception propagates."""

    def __init__(self, expected: str, value: Any):
        super().__init__(expected, value)
        self.path, self._expected, self._value = "", expected, value

    def __str__(self):
        return f"{self.path or 'it'} must be {self._expected}, got {reprlib.repr(self._value)}"


@functools.cache
def reader(kind: Any) -> _Reader:
    """Return a function that checks a JSON value and converts it to a type.

    It raises a `WrongType`, or a `ValueError` of the type's constructor.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return lambda value: value
    if origin in (typing.Required, typing.NotRequired):
        return reader(arguments[0])
    if origin is Annotated:
        own, *rest = arguments
        if len(rest) == 1:
            return reader(rest[0])
        is_right, expected = rest
        return _checked(is_right, expected, reader(own))
    if origin in (typing.Union, types.UnionType):
        # Null first: another type's refusal costs an exception.
        ordered = sorted(arguments, key=lambda each: each is not types.NoneType)
        return _one_of([reader(each) for each in ordered], _name(*arguments))
    if origin is typing.Literal:
        return _checked(lambda value: value in arguments, f"one of {', '.join(arguments)}")
    if origin in (list, tuple):
        return _list_of(reader(arguments[0]), origin)
    if origin is dict:
        return _dict_of(reader(arguments[1]))
    if kind not in _NAMES:
        return _fields_of(kind)
    if kind is float:
        # An int may be too large for a float.
        return _checked(lambda n: type(n) in (float, int) and abs(n) <= LARGEST, _NAMES[kind])
    if kind is int:
        # Larger ones do not fit into arrays.
        return _checked(lambda value: type(value) is int and abs(value) < 2**63, _NAMES[kind])
    return _checked(lambda value: type(value) is kind, _NAMES[kind])


def _name(*kinds):
    plain = (dict if typing.is_typeddict(kind) else kind for kind in kinds)
    return " or ".join(map(_name_of, plain))


def _name_of(kind):
    if typing.get_origin(kind) is Annotated:
        *_, last = typing.get_args(kind)
        return last if isinstance(last, str) else _name_of(last)
    return _NAMES.get(typing.get_origin(kind) or kind, str(kind))


def _checked(is_right, expected, read=None) -> _Reader:
    def read_checked(value):
        found = read(value) if read else value
        if not is_right(found):
            raise WrongType(expected, value)
        return found

    return read_checked


def _one_of(readers, expected) -> _Reader:
    def read_any(value):
        for read in readers:
            try:
                return read(value)
            except WrongType:
                continue
        raise WrongType(expected, value)

    return read_any


def _list_of(read, make) -> _Reader:
    # Python's own values may be tuples where JSON has lists.
    is_list = _checked(lambda value: type(value) in (list, make), _NAMES[list])
    return lambda value: make(_entries(enumerate(is_list(value)), {}, read).values())


def _dict_of(read) -> _Reader:
    is_dict = reader(dict)
    return lambda value: _entries(is_dict(value).items(), {}, read)


def _fields_of(kind) -> _Reader:
    hints = typing.get_type_hints(kind, include_extras=True)
    readers = {name: reader(hint) for name, hint in hints.items()}
    is_open, is_dict, unchecked = typing.is_typeddict(kind), reader(dict), reader(Any)
    # A type may have a constructor of its own.
    make = getattr(kind, "from_json", lambda found: kind(**found))
    required = kind.__required_keys__ if is_open else hints.keys() - _optional(kind)

    def read_fields(value):
        if missing := required - is_dict(value).keys():
            raise ValueError(f"it has no {', '.join(sorted(missing))}")
        if not is_open and (unknown := value.keys() - hints.keys()):
            raise ValueError(f"it has an unknown field {reprlib.repr(min(unknown))}")
        found = _entries(value.items(), readers, unchecked)
        try:
            return found if is_open else make(found)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"it describes no {kind.__name__}: {error!r}") from None

    return read_fields


def _optional(kind):
    """Return the names of the fields that have defaults."""
    if not dataclasses.is_dataclass(kind):
        return kind._field_defaults.keys()
    none = dataclasses.MISSING
    return {f.name for f in dataclasses.fields(kind) if {f.default, f.default_factory} != {none}}


def _entries(items, readers, other):
    """Read (name, value) pairs, each by its reader or else by `other`; an error has the name."""
    found = {}
    for name, value in items:
        try:
            found[name] = readers.get(name, other)(value)
        except WrongType as error:
            error.path = f"{name}.{error.path}".rstrip(".")
            raise
    return found


def unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return the entries of a JSON object as a dict; for `object_pairs_hook`.

    Raises:
        ValueError: two entries have the same name.
    """
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise ValueError(f"it has {name!r} twice")
        values[name] = value
    return values
