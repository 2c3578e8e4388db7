"""Records of a pickled structured NumPy array, read without running anything that the pickle names.

A pickle names functions and classes, calls them and sets their state. Here, the few names that an
array of plain values needs resolve to inert stand-ins, which only store their arguments and state.
Any other name is refused. NumPy's own reconstructors never see the file, because they treat raw
bytes as object pointers.
"""

import math
import os
import pickle
import pickletools
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from trainer.storage.files import open_regular

#: Largest file to read.
MAX_BYTES = 4 * 2**30
#: Largest number of operations and of values in a file. A value counts once per reference: a few
#: bytes can refer to one list a billion times.
MAX_VALUES = 20_000_000
#: Length of the longest text that is a key of a dictionary, and largest number of other keys.
MAX_KEY = MAX_OTHER_KEYS = 1000
#: Most dictionaries within each other; the names of all join to that of a value.
MAX_NESTED = 5
#: Types of a text or of bytes on the stack.
_TEXTS = (pickletools.pyunicode, pickletools.pybytes_or_str, pickletools.pybytes)
#: Types of a number, a truth value or None on the stack.
_NUMBERS = (
    *(pickletools.pyint, pickletools.pyinteger_or_bool, pickletools.pybool),
    *(pickletools.pyfloat, pickletools.pynone),
)
#: Plain dtypes: booleans, numbers and strings.
_PLAIN = re.compile(r"[<>|=][biufSU]\d+")


class Refused(Exception):
    """The file is not a structured array of plain values."""


class _StandIn:
    """Stores an object's arguments and state, and does nothing with them."""

    arguments: tuple = ()
    state: Any = ()

    def __init__(self, *arguments):
        self.arguments = arguments

    def __setstate__(self, state):
        self.state = state


class _Array(_StandIn):
    """Stand-in for `_reconstruct`; state: version, shape, dtype, order, values."""


class _Scalar(_StandIn):
    """Stand-in for `scalar`; arguments: dtype, bytes."""


class _Dtype(_StandIn):
    """Stand-in for `numpy.dtype`; arguments: "f8"; state: version, byte order, _, names, ..."""


class _Bytes(_StandIn):
    """Stand-in for `_codecs.encode` and `bytes`; arguments: text, "latin1"."""

    @property
    def text(self):
        return self.arguments[0] if self.arguments else ""


class _Class(_StandIn):
    """Stand-in for the class of an array or record, which is not needed."""


_STAND_INS = {
    ("_codecs", "encode"): _Bytes,
    ("__builtin__", "bytes"): _Bytes,
    ("builtins", "bytes"): _Bytes,
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Class,
    ("numpy", "recarray"): _Class,
    ("numpy", "record"): _Class,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.multiarray", "scalar"): _Scalar,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "scalar"): _Scalar,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        try:
            return _STAND_INS[module, name]
        except KeyError:
            raise Refused(f"it asks for {module}.{name}") from None

    def persistent_load(self, identity):
        raise Refused("it has a persistent id")


def records(path: str | os.PathLike, columns: list[str]) -> Iterator[list]:
    """Yield the records of a pickled one-dimensional structured array, as Python values.

    NumPy's numbers become Python's, arrays of numbers become flat lists, and the byte strings of
    Python 2 become text.

    Args:
        path: file that holds the pickle.
        columns: names of the fields to read, in this order.

    Raises:
        Refused: the file is too large, or holds anything other than such an array.
        OSError: it cannot be read, or is not a regular file.
        Exception: many kinds, as from `pickle.load`, if the file is damaged.
    """
    with open(open_regular(path), "rb") as file:
        if os.fstat(file.fileno()).st_size > MAX_BYTES:
            raise Refused(f"it is larger than {MAX_BYTES / 2**30:.0f} GiB")
        _check_operations(file)
        file.seek(0)
        # Latin-1 maps each byte of a Python 2 string, including raw array data, to one character.
        found = _Unpickler(file, encoding="latin-1").load()
    if not isinstance(found, _Array):
        raise Refused("it holds no array")
    *_, dtype, _, rows = found.state
    names = dtype.state[3] if isinstance(dtype, _Dtype) and len(dtype.state) > 3 else None
    if not names or not isinstance(rows, list):
        raise Refused("it holds no structured array with object fields")
    missing = [name for name in columns if name not in names]
    if missing:
        raise Refused(f"it has no column {', '.join(missing)}; it has {', '.join(names)}")
    values = _Values()
    places = [names.index(name) for name in columns]
    for row in rows:
        if len(row) != len(names):
            raise Refused(f"a record has {len(row)} values for {len(names)} columns")
        yield [values.plain(row[place]) for place in places]


def _check_operations(file: BinaryIO) -> None:
    """Refuse operations that fill the memory or do not end.

    `pickle` reserves memory up to the largest memo index. It hashes and compares keys of
    dictionaries and members of sets: the hash of a tuple visits a shared member once per reference,
    and numbers can be chosen to have equal hashes.
    """
    stack: list[float | None] = []  # cost of each value as a key; None is a mark
    memo: dict[Any, float | None] = {}
    cost = 0.0
    for number, (operation, argument, _) in enumerate(pickletools.genops(file), 1):
        name = operation.name
        if number > MAX_VALUES:
            raise Refused(f"it holds more than {MAX_VALUES:,} values")
        if name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            index = len(memo) if argument is None else argument
            if index > number:
                raise Refused(f"it has the memo index {index:,} too early")
            memo[index] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "DUP":
            stack.append(stack[-1])
        elif name == "MARK":
            stack.append(None)
        else:
            taken = _taken(operation.stack_before, stack)
            if name in ("DICT", "SETITEM", "SETITEMS"):
                cost += sum(taken[1::2])
            if cost > MAX_OTHER_KEYS:
                raise Refused("it has a key that may take forever, or many that are not texts")
            if name in ("EMPTY_SET", "ADDITEMS", "FROZENSET"):
                raise Refused("it holds a set")
            if name == "OBJ":  # pickletools describes its arguments in another order
                raise Refused("it makes an object by an opcode that arrays do not use")
            stack += [_cost(kind, argument) for kind in operation.stack_after]


def _cost(kind, argument):
    """Return the cost of a value as a key: 0 for a short text, 1 for a number, else infinity."""
    if kind in _TEXTS:
        return 0 if len(argument) <= MAX_KEY else math.inf
    is_short = kind in _NUMBERS and (argument is None or abs(argument) < 2**63)
    return 1 if is_short else math.inf


def _taken(kinds, stack):
    """Take the arguments of an operation from the stack, and return them, the last one first."""
    taken = []
    for kind in reversed(kinds):
        if kind is pickletools.stackslice:
            while (entry := stack.pop()) is not None:
                taken.append(entry)
        elif kind is not pickletools.markobject:
            taken.append(stack.pop())
    return taken


class _Values:
    """Converts unpickled values to plain Python ones, at most `MAX_VALUES` of them."""

    def __init__(self):
        self.left = MAX_VALUES

    def plain(self, value, depth=1):
        self.left -= 1
        if self.left < 0:
            raise Refused(f"it holds more than {MAX_VALUES:,} values")
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, str):
            self.left -= len(value) // 100  # as JSON, each reference is a copy
            return value
        if isinstance(value, bytes):
            self.left -= len(value) // 100  # each reference is a copy
            return value.decode("latin-1")
        if isinstance(value, dict):
            if depth > MAX_NESTED:
                raise Refused(f"it nests more than {MAX_NESTED} dictionaries")
            return {self.plain(n, depth): self.plain(v, depth + 1) for n, v in value.items()}
        if isinstance(value, list | tuple):
            return [self.plain(each, depth) for each in value]
        if isinstance(value, _Bytes):
            return self.plain(value.text)
        if isinstance(value, _Scalar):
            return self.plain(_unpacked(*value.arguments)[0])
        if isinstance(value, _Array):
            *_, dtype, _, raw = value.state
            return self.plain(_unpacked(dtype, raw))
        raise Refused(f"it holds a {type(value).__name__.lstrip('_').lower()}")


def _unpacked(dtype, raw):
    """Decode bytes of a plain dtype to a list of values."""
    name = dtype.arguments[0] if isinstance(dtype, _Dtype) and dtype.arguments else None
    order = dtype.state[1] if name and len(dtype.state) > 1 else "="
    if not _PLAIN.fullmatch(f"{order}{name}"):
        raise Refused(f"it holds an array of {name!r}")
    raw = raw.text if isinstance(raw, _Bytes) else raw
    raw = raw.encode("latin-1") if isinstance(raw, str) else raw
    if not isinstance(raw, bytes):
        raise Refused("it holds an array without bytes")
    return np.frombuffer(raw, np.dtype(f"{order}{name}")).tolist()
