"""Writes presets: their weights, their cards, and the index of a directory."""

import dataclasses
import json
import pathlib
from typing import Any

from rnn_zoo.files import locked, whole, write_json
from rnn_zoo.json_types import is_file_name
from rnn_zoo.presets import INDEX, Preset, read_index, sha256_of


def prepare(directory: pathlib.Path) -> None:
    """Make a directory of presets if it is missing.

    Raises:
        OSError: it is not writable.
        ValueError: its index is damaged.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with _locked(directory):
        write_json(directory / INDEX, _known(directory))


def write(directory: pathlib.Path, card: Preset, weights: Any = None) -> None:
    """Write a preset: its weights, its card, then the card's SHA-256 into the index.

    Each file is replaced atomically. If the process is killed between card and index, the preset is
    refused as changed until it is written again.

    Args:
        directory: the directory of all presets.
        card: the preset; its `weights` digest is filled in here.
        weights: in the form of `rnn_zoo.presets.read_weights`; None for hyperparameters alone.

    Raises:
        ValueError: the directory of the task is a link, or the name is not <task>/<name>.
    """
    parts = card.name.split("/")
    if len(parts) != 2 or not all(map(is_file_name, parts)):
        raise ValueError(f"the name of a preset must be <task>/<name>, got {card.name!r}")
    directory = pathlib.Path(directory)
    folder = directory / parts[0]
    if folder.is_symlink():
        raise ValueError(f"{folder} is a symbolic link, through which nothing is written")
    folder.mkdir(parents=True, exist_ok=True)
    content, digest = (None, None) if weights is None else weights_file(weights)
    values = dataclasses.asdict(dataclasses.replace(card, weights=digest))
    text = f"{json.dumps(values, indent=1, allow_nan=False)}\n".encode()
    with _locked(directory):
        index = _known(directory) | {card.name: sha256_of(text)}
        if content is not None:
            _write(directory / f"{card.name}.safetensors", content)
        _write(directory / f"{card.name}.json", text)
        write_json(directory / INDEX, dict(sorted(index.items())))
        if content is None:
            (directory / f"{card.name}.safetensors").unlink(missing_ok=True)


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


def _write(path, content):
    with whole(path) as file:
        file.write(content)
