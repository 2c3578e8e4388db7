"""Checkpoints: a program's state in one safetensors file, written atomically, with a checksum."""

import hashlib
import pathlib
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from rnn_zoo.functional import named
from trainer.errors import UserError
from trainer.storage.files import whole


class DamagedCheckpoint(Exception):
    """A checkpoint file that is incomplete or altered, or does not fit the model."""


def write(directory: str | pathlib.Path, state: Mapping[str, Any], keep: int = 2) -> None:
    """Writes `step-N.safetensors`, where N is the state's step, and keeps the last `keep` files.

    Args:
        directory: directory of the checkpoints; its parent must exist.
        state: nested dicts and lists of arrays.
        keep: number of checkpoints to keep.
    """
    directory = pathlib.Path(directory)
    directory.mkdir(exist_ok=True)
    arrays = _named(keras.tree.map_structure(ops.convert_to_numpy, state))
    step = int(state["step"])
    with whole(directory / f"step-{step:010d}.safetensors") as file:
        file.write(save(arrays, metadata={"sha256": digest_of(arrays), "step": str(step)}))
    for old in paths(directory)[:-keep]:
        old.unlink(missing_ok=True)


def read(path: str | pathlib.Path, like: Any, part: str = "") -> Any:
    """Reads a checkpoint into the structure of another state.

    Args:
        path: the file.
        like: a state, or a part of one.
        part: name of the part in the state; "" for all of it.

    Raises:
        DamagedCheckpoint: the file is truncated or altered, or its structure is not that of `like`.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            digest = (file.metadata() or {}).get("sha256")
    except (OSError, SafetensorError) as error:
        raise DamagedCheckpoint(f"{path}: {error}") from None
    if digest != digest_of(arrays):
        raise DamagedCheckpoint(f"{path}: its content does not match its checksum")
    expected = _named(like, part)
    arrays = {name: array for name, array in arrays.items() if name.startswith(part)}
    for name in expected.keys() | arrays.keys():
        found, wanted = arrays.get(name), expected.get(name)
        if found is None or wanted is None or found.shape != tuple(wanted.shape):
            raise DamagedCheckpoint(f"{path}: {name} does not fit this model")
    return keras.tree.pack_sequence_as(
        like, [ops.convert_to_tensor(arrays[name]) for name in expected]
    )


def paths(directory: str | pathlib.Path) -> list[pathlib.Path]:
    """Lists the checkpoints in a directory, oldest first."""
    return sorted(pathlib.Path(directory).glob("step-*.safetensors"))


def latest(directory: str | pathlib.Path, like: Any, part: str = "") -> tuple[Any, list[str]]:
    """Reads the newest undamaged checkpoint; arguments as for `read`.

    Returns:
        (state or None, list of problems with newer checkpoints).
    """
    problems: list[str] = []
    for path in reversed(paths(directory)):
        try:
            return read(path, like, part), problems
        except DamagedCheckpoint as problem:
            problems.append(str(problem))
    return None, problems


def latest_weights(directory: str | pathlib.Path, like: Any) -> Any:
    """Reads the weights of the newest undamaged checkpoint.

    Args:
        directory: directory of the checkpoints.
        like: weights of the same structure and shapes.

    Raises:
        UserError: no readable checkpoint.
    """
    weights, problems = latest(directory, like, part="weights")
    if weights is None:
        problem = f": {problems[0]}" if problems else ""
        raise UserError(f"no readable checkpoint in {directory}{problem}")
    return weights


def _named(state, part=""):
    """Returns path -> leaf of a nested state, in `keras.tree`'s order."""
    return {f"{part}/{path}" if part else path: leaf for path, leaf in named(state).items()}


def digest_of(arrays: Mapping[str, np.ndarray], text: str = "") -> str:
    """Returns the SHA-256 of a text and of arrays with their names, types and shapes, in hex."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}\n".encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()
