"""Writes presets: their weights, their cards, and the index of a directory."""

import dataclasses
import json
import os
import pathlib
from typing import Any

from rnn_zoo.files import check_replaceable, locked, sync, whole, write_json
from rnn_zoo.presets.card import Preset
from rnn_zoo.presets.reading import (
    INDEX,
    NEXT,
    check_name,
    next_of,
    read_bytes,
    read_card,
    read_index,
    refuse_unnamed,
    sha256_of,
)


def prepare(directory: pathlib.Path) -> None:
    """Make a directory of presets if it is missing.

    Raises:
        OSError: it is not writable.
        ValueError: its index is damaged, or lacks a preset that is there.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with _locked(directory):
        index = _known(directory)
        refuse_unnamed(directory, index)
        write_json(directory / INDEX, index)


def write(directory: pathlib.Path, card: Preset, weights: Any = None) -> None:
    """Write a preset: its weights, its card, and the card's SHA-256 in the index.

    New weights and a new card are written beside the old ones, and replace them once the index is
    written. If the process is killed, `load` finds the old preset or the new one, and the next call
    ends what was begun.

    Args:
        directory: the directory of all presets.
        card: the preset; its `weights` digest is filled in here.
        weights: in the form of `rnn_zoo.presets.read_weights`; None for hyperparameters alone.

    Raises:
        ValueError: the directory of the task is a link, its index lacks a preset that is there, or
            the name is not <task>/<name>.
    """
    check_name(card.name)
    directory = pathlib.Path(directory)
    folder = directory / card.name.partition("/")[0]
    if folder.is_symlink():
        raise ValueError(f"{folder} is a symbolic link, through which nothing is written")
    folder.mkdir(parents=True, exist_ok=True)
    content, digest = (None, None) if weights is None else weights_file(weights)
    values = dataclasses.asdict(dataclasses.replace(card, weights=digest))
    text = f"{json.dumps(values, indent=1, allow_nan=False)}\n".encode()
    kept = directory / f"{card.name}.safetensors"
    files = {directory / f"{card.name}.json": text}
    if content is not None:
        files[kept] = content
    with _locked(directory):
        index = _known(directory)
        refuse_unnamed(directory, index, (kept,))
        _end(directory, index)
        for path, each in files.items():
            check_replaceable(path)
            with whole(next_of(path)) as file:
                file.write(each)
        write_json(directory / INDEX, dict(sorted({**index, card.name: sha256_of(text)}.items())))
        for path in files:
            os.replace(next_of(path), path)
        if content is None:
            kept.unlink(missing_ok=True)
        sync(folder)


def _end(directory, index):
    """End what a killed process began: put its files in place if the index has them."""
    folders = [each for each in directory.iterdir() if each.is_dir() and not each.is_symlink()]
    for path in sorted(each for folder in folders for each in folder.iterdir()):  # cards first
        is_waiting = path.name.startswith(NEXT)
        if not (is_waiting or path.name.startswith(f".{NEXT}")) or path.is_dir():
            continue
        target = path.with_name(path.name.removeprefix(NEXT))
        if is_waiting and _is_current(path, target, directory, index):
            os.replace(path, target)
        else:
            path.unlink()


def _is_current(path, target, directory, index):
    """Return whether a waiting file is what the index has for its target."""
    name = f"{target.parent.name}/{target.stem}"
    try:
        digest = index[name]
        if target.suffix == ".safetensors":
            digest = read_card(directory, name, digest).weights
        return sha256_of(read_bytes(path)) == digest
    except (KeyError, OSError, ValueError):
        return False


def _locked(directory):
    """Lock the presets for a change: another process may make some, too."""
    return locked(directory / f".{INDEX}.lock", patience=60.0)


def _known(directory):
    return read_index(directory) if (directory / INDEX).exists() else {}


def weights_file(weights: Any) -> tuple[bytes, str]:
    """Return (the content of a file of weights, its SHA-256)."""
    from safetensors.numpy import save as render

    from rnn_zoo.functional import named

    content = render(named(weights))
    return content, sha256_of(content)
