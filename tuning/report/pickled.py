"""Arrays out of pickles, without running a line of what a pickle asks for.

A pickle names functions and classes, calls them, and sets their state. Here every name is answered
by a stand-in that records and does nothing; NumPy's own, which trust what they are told, never see
the file. Afterwards the arrays are built from what was recorded, and checked: an object array from
a list, any other from as many bytes as it needs.
"""

import math
import pickle
import re

import numpy as np

#: What a dtype of plain values may be called: kind and size, "O" among them.
_PLAIN = re.compile(r"[<>|=]?(?:[biufcSU?]\d*|O8?)")


class Refused(pickle.UnpicklingError):
    """A pickle asks for what an array of plain values does not need, or says what cannot be."""


class _Name:
    """Stands for what a pickle looks up: to be called if it has `call`, and nothing else."""

    __slots__ = ("_call", "_name")

    def __init__(self, name, call=None):
        object.__setattr__(self, "_name", name)
        object.__setattr__(self, "_call", call)

    def __call__(self, *arguments):
        if self._call is None:
            raise Refused(f"it calls {self._name}")
        return self._call(*arguments)

    def __setstate__(self, state):
        raise Refused(f"it changes {self._name}")

    def __setattr__(self, name, value):
        raise Refused(f"it changes {self._name}")


class _Recorded:
    """An array, a number or a dtype to be: what the pickle said of it."""

    __slots__ = ("arguments", "kind", "state")

    def __init__(self, kind, *arguments):
        self.kind, self.arguments, self.state = kind, arguments, None

    def __setstate__(self, state):
        if self.kind == "scalar" or not isinstance(state, tuple):
            raise Refused("it has a state that cannot be")
        self.state = state


def _recorder(kind):
    return lambda *arguments: _Recorded(kind, *arguments)


def _latin1(text, encoding):
    """The one use that a pickle of bytes has for `_codecs.encode`."""
    if encoding not in ("latin1", "latin-1"):
        raise Refused(f"it asks for the encoding {encoding}")
    return text.encode("latin-1")


def _no_bytes():
    """What early protocols call `bytes` for."""
    return b""


def _known():
    """(module, name) -> its stand-in."""
    known = {("_codecs", "encode"): _Name("_codecs.encode", _latin1)}
    for module in ("builtins", "__builtin__"):
        known[module, "bytes"] = _Name("bytes", _no_bytes)
    for package in ("numpy.core", "numpy._core"):
        for module, name, kind in (
            ("multiarray", "_reconstruct", "array"),
            ("multiarray", "scalar", "scalar"),
            ("numeric", "_frombuffer", "buffer"),
        ):
            known[f"{package}.{module}", name] = _Name(name, _recorder(kind))
    known["numpy", "dtype"] = _Name("numpy.dtype", _recorder("dtype"))
    for name in ("ndarray", "recarray", "record"):
        known["numpy", name] = _Name(f"numpy.{name}")
    return known


class _Unpickler(pickle.Unpickler):
    _KNOWN = _known()

    def __init__(self, file):
        # Python 2 wrote its strings, and the bytes of arrays, as what is text now.
        super().__init__(file, encoding="latin-1")

    def find_class(self, module, name):
        try:
            return self._KNOWN[module, name]
        except KeyError:
            raise Refused(f"it asks for {module}.{name}") from None

    def persistent_load(self, identity):
        raise Refused("it has a persistent id")


def load(file):
    """Reads a pickle of arrays, numbers, strings, lists, tuples and dicts.

    Args:
        file: open for bytes.

    Returns:
        What was pickled; arrays and numbers are NumPy's, strings of Python 2 are text.

    Raises:
        Refused: it holds anything else.
        Exception: of many kinds, as `pickle.load` has it of a damaged file.
    """
    return _real(_Unpickler(file).load())


def _real(value):
    """The value with arrays and numbers in place of what was recorded of them."""
    if isinstance(value, _Recorded):
        return _BUILDERS[value.kind](value)
    if isinstance(value, dict):
        return {_real(name): _real(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_real, value))
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | bytearray):
        return value
    raise Refused(f"it holds a {type(value).__name__}")


def _dtype(recorded):
    if not isinstance(recorded, _Recorded) or recorded.kind != "dtype":
        raise Refused("it has an array without a dtype")
    if isinstance(recorded.state, np.dtype):
        return recorded.state
    name, state = recorded.arguments[0], recorded.state or ()
    fields = state[4] if len(state) > 5 else None
    if fields:
        formats = [_dtype(fields[each][0]) for each in state[3]]
        offsets = [fields[each][1] for each in state[3]]
        made = {"names": list(state[3]), "formats": formats, "offsets": offsets}
        found = np.dtype(made | {"itemsize": state[5]})
    elif isinstance(name, str) and _PLAIN.fullmatch(name):
        order = state[1] if len(state) > 1 and state[1] in ("<", ">") else "="
        found = np.dtype(name).newbyteorder(order)
    else:
        raise Refused(f"it has an array of {name!r}")
    recorded.state = found
    return found


def _array(recorded):
    if recorded.state is None or len(recorded.state) < 4:
        raise Refused("it has an array without values")
    shape, dtype, is_fortran, values = recorded.state[-4:]
    return _filled(shape, _dtype(dtype), "F" if is_fortran else "C", values)


def _buffer(recorded):
    values, dtype, shape, order = recorded.arguments
    return _filled(shape, _dtype(dtype), order, values)


def _filled(shape, dtype, order, values):
    """An array of these values: a list of objects, or the bytes of numbers."""
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise Refused(f"it has an array of shape {shape!r}")
    count = math.prod(shape)
    if dtype.hasobject:
        if not isinstance(values, list) or len(values) != count:
            raise Refused("it has an array of objects that are not there")
        array = np.empty(count, dtype)
        for place, value in enumerate(values):
            array[place] = _real(value)
    else:
        raw = values.encode("latin-1") if isinstance(values, str) else values
        if not isinstance(raw, bytes | bytearray) or len(raw) != count * dtype.itemsize:
            raise Refused("it has an array of bytes that are not there")
        array = np.frombuffer(bytes(raw), dtype)
    return array.reshape(shape, order="F" if order == "F" else "C")


def _scalar(recorded):
    dtype, value = (*recorded.arguments, None)[:2]
    dtype = _dtype(dtype)
    return _real(value) if dtype.hasobject else _filled((1,), dtype, "C", value)[0]


_BUILDERS = {"array": _array, "buffer": _buffer, "scalar": _scalar, "dtype": _dtype}
