"""Reads the files of a directory of presets, and checks them."""

import contextlib
import errno
import hashlib
import importlib.resources
import json
import os
import pathlib
from collections.abc import Collection, Iterable
from importlib.resources.abc import Traversable
from typing import Any

from rnn_zoo.json_types import Sha256, is_file_name, reader, unique
from rnn_zoo.presets import hub
from rnn_zoo.presets.card import Preset, most_bytes, printable

INDEX = "index.json"
#: Begins the name of a file that is to replace one of a preset.
NEXT = ".next."


def package() -> Traversable:
    """Return the directory of the package's presets."""
    return importlib.resources.files("rnn_zoo.presets")


def is_package(root: Any) -> bool:
    """Return whether a directory is that of the package's presets."""
    return root == package()


def read_index(root: Any) -> dict[str, str]:
    """Return dict name -> SHA-256 of its card.

    Args:
        root: a directory of presets: a path, or what stands for one.

    Raises:
        ValueError: there is no index, or it is damaged.
    """
    path = root.joinpath(INDEX)
    if not (is_package(root) or path.is_file()):
        raise ValueError(f"{root} holds no presets (no {INDEX})")
    try:
        try:
            return _index(path)
        except (ValueError, RecursionError):
            if not isinstance(root, hub.Repository):
                raise
            return _index(root.joinpath(INDEX, again=True))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(
            f"the presets' {INDEX} cannot be read ({printable(str(error))}); {way_out(root)}"
        ) from None


def _index(path):
    found = reader(dict[str, Sha256])(json.loads(read_bytes(path), object_pairs_hook=unique))
    for name in found:
        check_name(name)
    return found


def read_card(root: Any, name: str, digest: str) -> Preset:
    """Read a card of a directory of presets; raise a ValueError unless it has the digest."""
    path = f"{name}.json"
    content = verified(root, path, digest)
    try:
        return parse_card(content)
    except (ValueError, RecursionError) as error:
        reason = printable(str(error))
        raise ValueError(
            f"the preset's file {path} is not a card ({reason}); {way_out(root)}"
        ) from None


def parse_card(content: bytes) -> Preset:
    """Read the content of a card; raise a ValueError or RecursionError if it is not one."""
    return reader(Preset)(json.loads(content, object_pairs_hook=unique))


def refuse_unnamed(
    directory: pathlib.Path, index: Collection[str], weights: Iterable[pathlib.Path] = ()
) -> None:
    """Raise if a card is missing from a directory's index: it would be replaced or removed.

    Args:
        directory: the directory of all presets.
        index: names of those that it has.
        weights: files of weights that are refused, too.

    Raises:
        ValueError: a card or a file of weights is not in the index.
    """
    cards = [path for path in directory.glob("*/*.json") if _is_card(path)]
    for path in sorted((*cards, *weights)):
        if f"{path.parent.name}/{path.stem}" not in index and path.exists():
            raise ValueError(
                f"{path} is a preset's, and {directory / INDEX} does not name it; restore the "
                "index, or move the file elsewhere"
            )


def _is_card(path):
    try:
        return parse_card(read_bytes(path)).name == f"{path.parent.name}/{path.stem}"
    except (OSError, ValueError, RecursionError):
        return False


def check_name(name: str) -> None:
    """Raise a ValueError unless a name is <task>/<name>, of printable names of files."""
    parts = name.split("/")
    if (
        len(parts) != 2
        or not all(map(is_file_name, parts))
        or not name.isprintable()
        or parts[1].startswith(NEXT)
    ):
        raise ValueError(f"the name of a preset must be <task>/<name>, got {name!r}")


def next_of(path: pathlib.Path) -> pathlib.Path:
    """Return the path of the file that is to replace a file of a preset."""
    return path.with_name(f"{NEXT}{path.name}")


def verified(root: Any, path: str, digest: str) -> bytes:
    """Return the bytes of a file of a preset; raise a ValueError unless it has the digest."""
    if isinstance(root, pathlib.Path):
        # A process was killed between the index and the replacement, see `writing.write`.
        with contextlib.suppress(OSError):
            content = read_bytes(next_of(root / path))
            if sha256_of(content) == digest:
                return content
    try:
        content = read_bytes(root.joinpath(path))
    except OSError as error:
        raise ValueError(
            f"the preset's file {path} cannot be read: {error.strerror}; {way_out(root)}"
        ) from None
    found = sha256_of(content)
    if found != digest and isinstance(root, hub.Repository):
        # The copy may be damaged, and not what it is a copy of.
        content = read_bytes(root.joinpath(path, again=True))
        found = sha256_of(content)
    if found != digest:
        raise ValueError(
            f"the preset's file {path} has the SHA-256 {found}, and not {digest}: "
            f"it was changed or damaged; {way_out(root)}"
        )
    return content


def read_bytes(path: pathlib.Path) -> bytes:
    """Return the bytes of a regular file of a preset: reading a FIFO, say, would not end.

    Raises:
        OSError: it is something else, or far too large.
    """
    if not path.is_file():
        code = errno.EINVAL if path.exists() else errno.ENOENT
        raise OSError(code, os.strerror(code), str(path))
    if os.stat(path).st_size > most_bytes(path.name):
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return path.read_bytes()


def way_out(root: Any) -> str:
    """Return what to do about a damaged file of a directory of presets."""
    if is_package(root):
        return "install rnn-zoo again"
    return f"{'upload it again to' if isinstance(root, hub.Repository) else 'restore it in'} {root}"


def sha256_of(content: bytes) -> str:
    """Return the SHA-256 of bytes in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
