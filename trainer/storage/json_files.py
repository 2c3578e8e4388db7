"""JSON files: written atomically with a checksum, and read into declared types.

A file that was altered, or has another shape than declared, is reported in one line, which names
the field and its value.
"""

import gzip
import io
import json
import os
import re
import typing
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from rnn_zoo.files import whole
from rnn_zoo.json_types import reader, unique
from trainer.display.words import count
from trainer.errors import UserError
from trainer.storage.files import read_bytes

#: Name of the last entry of a file or a line: the CRC-32 of the text before it. Files of older
#: versions lack it.
CHECKSUM = "crc32"
#: Most digits of a whole number, and levels of nesting, in any file.
_MOST_DIGITS, _MOST_NESTED = 40, 100
#: Most lists and dicts in any file: each takes a hundred times the memory of its text.
_MOST_LISTS = 5_000_000
#: Most bytes of a file that is one dict, of a line, or of a file that was unpacked; parsing takes
#: more than twice as many.
_MOST_BYTES = 2**28
#: Most lines of a file. A study has fewer than 100,000 trials, and a second line of one is damage.
_MOST_LINES = 200_000
#: Suffix of a file that `gzip` made.
PACKED = ".gz"
# An escaped NUL, which no path may have.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_CHECKED = re.compile(rb',\s*"crc32":\s*"([0-9a-f]{8})"\s*\}\s*\Z')
#: Most bytes of what it matches, as it is written.
_LONGEST_END = 40


class Damaged(UserError):
    """A file or a line that is not JSON, was altered, or has another shape than declared.

    Args:
        place: the file, or the line.
        reason: what is wrong with it.
    """

    def __init__(self, place: str | os.PathLike, reason: object):
        super().__init__(f"{place}: {reason}")


def dumps(
    values: Mapping[str, Any], indent: int | None = None, allow_nan: bool = False, owner: str = ""
) -> str:
    """Return a dict as JSON, with a checksum as its last entry, and compact without `indent`.

    Args:
        values: the dict.
        indent, allow_nan: as for `json.dumps`.
        owner: text that the checksum includes, so that it fails in a file of another owner.

    Raises:
        ValueError: it has a number that is not finite, unless `allow_nan`.
    """
    values = {name: value for name, value in values.items() if name != CHECKSUM}
    separators = (",", ":") if indent is None else None
    text = json.dumps(values, indent=indent, allow_nan=allow_nan, separators=separators)
    body = text[:-1].rstrip("\n")
    before, after, end = ("", "", "}") if indent is None else ("\n" + " " * indent, " ", "\n}")
    return f'{body},{before}"{CHECKSUM}":{after}"{_checksum(body.encode(), owner):08x}"{end}'


def _checksum(body, owner):
    return zlib.crc32(body, zlib.crc32(owner.encode()))


def write(path: str | os.PathLike, values: Mapping[str, Any]) -> None:
    """Replace a file by a dict; see `dumps`."""
    with whole(path, "w") as file:
        file.write(dumps(values, indent=1) + "\n")


def write_lines(
    path: str | os.PathLike, rows: Sequence[Mapping[str, Any]], owner: str = ""
) -> None:
    """Replace a file by a line per dict; see `dumps`."""
    with whole(path, "w") as file:
        file.writelines(dumps(row, owner=owner) + "\n" for row in rows)


def read(path: str | os.PathLike, kind: Any) -> Any:
    """Read a file into a type; see `json_types`.

    Raises:
        Damaged: see there.
        OSError: it cannot be read, is too large, or is not a regular file.
    """
    return parse(read_bytes(path, _MOST_BYTES), kind, path)


def read_lines(path: str | os.PathLike, kind: Any, owner: str = "") -> tuple[list[Any], list[str]]:
    """Read a file of one dict per line, to which another process may be appending.

    Args:
        path, kind: as for `read`; see `split`.
        owner: as for `parse`.

    Returns:
        (values of the undamaged lines, list of problems such as "line 3: units must be ...").

    Raises:
        Damaged, OSError: as in `split`.
    """
    values, problems = [], []
    lines = split(path)
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            values.append(parse(line, kind, f"line {number}", owner))
        except Damaged as problem:
            problems.append(str(problem))
        else:
            if number == len(lines):
                # It may be a part of a line, and the next line would be appended to it.
                problems.append(f"line {number}: it does not end in a newline")
    return values, problems


def split(path: str | os.PathLike) -> list[bytes]:
    """Read the lines of a file, after unpacking it if its name ends in `PACKED`.

    Raises:
        Damaged: it is not a whole file of `gzip`, unpacks to more than 256 MiB, or has more than
            200,000 lines.
        OSError: it cannot be read, is too large, or is not a regular file.
    """
    found = _content(path)
    if found.count(b"\n") > _MOST_LINES:
        raise Damaged(path, f"it has more than {_MOST_LINES:,} lines")
    return found.split(b"\n")


def _content(path):
    raw = read_bytes(path)
    if not os.fspath(path).endswith(PACKED):
        return raw
    if not raw:
        raise Damaged(path, "it is empty")
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(raw)) as file:
            raw = file.read(_MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise Damaged(path, f"it is not a whole gzip file: {error}") from None
    if len(raw) > _MOST_BYTES:
        raise Damaged(path, f"it unpacks to more than {_MOST_BYTES:,} bytes")
    return raw


def summary(path: str | os.PathLike, problems: Sequence[str]) -> str:
    """Describe the problems of a file of lines in one line."""
    return f"{path} has {count(len(problems), 'damaged line')}, the first is {problems[0]}"


def parse(content: bytes, kind: Any, place: str | os.PathLike, owner: str = "") -> Any:
    """Read a JSON text into a type.

    Args:
        content: the text; its checksum is verified if it has one.
        kind: the type; see `json_types`.
        place: name of the text, for the message.
        owner: the owner that `dumps` got; checksums of older versions have none.

    Raises:
        Damaged: see there.
    """
    if len(content) > _MOST_BYTES:
        raise Damaged(place, f"it has more than {_MOST_BYTES:,} bytes")
    brackets = content.count(b"[") + content.count(b"{")
    if brackets > _MOST_LISTS:
        raise Damaged(place, f"it has more than {_MOST_LISTS:,} lists and dicts")
    try:
        # With a checksum it is as it was written, or else refused below.
        hook = None if _CHECKED.search(content[-_LONGEST_END:]) else unique
        values = json.loads(content, parse_int=_integer, object_pairs_hook=hook)
    except (ValueError, RecursionError) as error:
        raise Damaged(place, f"it is not JSON: {getattr(error, 'msg', error)}") from None
    if brackets > _MOST_NESTED:  # nearly all contents have fewer
        _check_depth(values, place)
    if b"\\ud" in content.lower() and not is_text(values):
        raise Damaged(place, "it has half a character (a lone surrogate)")
    if b"\\u0000" in content and _NUL.search(content):  # the search alone takes as long as parsing
        raise Damaged(place, "it has a NUL character")
    if isinstance(values, dict) and values.pop(CHECKSUM, None) is not None:
        found = _CHECKED.search(content)
        body = content[: found.start()] if found else b""
        if not found or int(found[1], 16) not in (_checksum(body, owner), _checksum(body, "")):
            reason = "it does not match its checksum" + " or is of another run" * bool(owner)
            raise Damaged(place, f"{reason}; to accept it, remove its {CHECKSUM}")
    # A type whose fields all have defaults would accept it.
    if values == {} and kind is not Any and typing.get_origin(kind) is not dict:
        raise Damaged(place, "it is empty")
    return checked(values, kind, place)


def _integer(digits):
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"it has a whole number of {len(digits)} digits")
    return int(digits)


def _check_depth(values, place):
    """Refuse deep nesting, at which copying and writing the values would fail."""
    level, depth = [values], 0
    while level:
        lists = [each.values() if isinstance(each, dict) else each for each in level]
        level = [each for found in lists for each in found if isinstance(each, (dict, list))]
        depth += 1
        if depth > _MOST_NESTED:
            raise Damaged(place, f"it is nested more than {_MOST_NESTED} levels deep")


def is_text(values: Any) -> bool:
    """Return whether all texts in a value are UTF-8; names of files may be other bytes."""
    try:
        json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def checked(values: Any, kind: Any, place: str | os.PathLike) -> Any:
    """Read parsed JSON into a type; arguments and errors as for `parse`."""
    try:
        return reader(kind)(values)
    except ValueError as error:
        raise Damaged(place, error) from None
