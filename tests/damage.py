"""Damage to files: values of the wrong type, flipped bits, and cuts."""

import copy
import json

#: Values that replace others.
_ODD = (
    *(None, True, -1, 0, 1.5, 10**30, 1e300, float("nan"), "", "x" * 50, "../../x", "a\0b"),
    *([], [[]], [1, "a"], {}, {"": None}, {"choices": 3}),
)
#: Whole contents of a file.
_CONTENTS = (b"", b"[]", b"null", b"[[", b"\xff", b"{}", b"[" * 100_000, b"\n\n")


def altered(content, rng):
    """Return a file with a flipped bit, or a part of the file."""
    if rng.random() < 0.5:
        changed = bytearray(content)
        changed[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        return bytes(changed)
    return content[: rng.randrange(len(content))]


def misshapen(content, rng, by_line):
    """Return JSON of another shape, without a checksum: in one line of the file, or in all of it.

    An entry anywhere in the tree has another value, is missing, or is new.
    """
    if rng.random() < 0.1:
        return rng.choice(_CONTENTS)
    parts = content.splitlines() if by_line else [content]
    number = rng.randrange(len(parts))
    values = json.loads(parts[number])
    if isinstance(values, dict):
        values.pop("crc32", None)
    parts[number] = json.dumps(_changed(values, rng)).encode()
    return b"".join(part + b"\n" for part in parts)


def _changed(values, rng):
    place = values = copy.deepcopy(values)
    name = _entry(place, rng)
    while isinstance(place[name], (dict, list)) and place[name] and rng.random() < 0.7:
        place = place[name]
        name = _entry(place, rng)
    how = rng.random()
    if how < 0.7:
        place[name] = rng.choice(_ODD)
    elif how < 0.85:
        del place[name]
    elif isinstance(place, dict):
        place["extra"] = rng.choice(_ODD)
    else:
        place.append(rng.choice(_ODD))
    return values


def _entry(place, rng):
    return rng.choice(list(place)) if isinstance(place, dict) else rng.randrange(len(place))
