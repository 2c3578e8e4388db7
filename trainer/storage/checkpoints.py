"""Checkpoints: a program's state in one safetensors file, written atomically, with a checksum.

A checkpoint names the run that it belongs to by the hash of its configuration and data,
`RunRecord.identity`.
"""

import contextlib
import hashlib
import math
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from rnn_zoo.files import whole
from rnn_zoo.sizing import count_params
from trainer import lazy_ops as ops
from trainer.display.words import count
from trainer.errors import UserError
from trainer.storage.files import open_regular
from trainer.storage.records import RunDirectory, RunRecord


class DamagedCheckpoint(Exception):
    """A checkpoint that is incomplete or altered, or does not fit the model."""


class StrangeCheckpoint(DamagedCheckpoint):
    """An intact checkpoint whose run or step is not the one that its path names."""


def write(
    directory: str | pathlib.Path, state: Mapping[str, Any], run: str = "", keep: int = 2
) -> None:
    """Write `step-N.safetensors`, where N is the state's step, and remove older files.

    Files of later steps stay: they are damaged or another run's, and may be someone's last copy.

    Args:
        directory: directory of the checkpoints; its parent must exist.
        state: nested dicts and lists of arrays.
        run: `identity` of the run's record.
        keep: number of checkpoints to keep, this one included.
    """
    directory = pathlib.Path(directory)
    directory.mkdir(exist_ok=True)
    import keras  # here, as commands look at checkpoints before they start a backend

    arrays = _named(keras.tree.map_structure(ops.convert_to_numpy, state))
    name = _name(int(state["step"]))
    metadata = {"sha256": digest_of(arrays), "run": run}
    with whole(directory / name) as file:
        file.write(save(arrays, metadata=metadata))
    older = [path for path in paths(directory) if path.name < name]
    for old in older[: max(len(older) + 1 - keep, 0)]:
        old.unlink(missing_ok=True)


def read(path: str | pathlib.Path, like: Any, part: str = "", run: str = "") -> Any:
    """Read a checkpoint into the structure of another state.

    Args:
        path: the file.
        like: a state, or a part of one.
        part: name of the part in the state; "" for all of it.
        run: `identity` of the record of the run that it must belong to. A checkpoint of an older
            version names no run.

    Raises:
        StrangeCheckpoint: its run or step is not the one that its path names.
        DamagedCheckpoint: it is truncated or altered, or its structure is not that of `like`.
    """
    import keras

    arrays, metadata = _content(path)
    if metadata.get("sha256") != digest_of(arrays):
        raise DamagedCheckpoint(f"{path}: its content does not match its checksum")
    if run and metadata.get("run", "") not in ("", run):
        raise StrangeCheckpoint(f"{path}: it belongs to a run of another configuration or data")
    step = arrays["step"].tolist() if "step" in arrays else None
    if _name(step) != pathlib.Path(path).name:
        raise StrangeCheckpoint(f"{path}: it holds step {step}, not that of its name")
    expected = _named(like, part)
    arrays = {name: array for name, array in arrays.items() if name.startswith(part)}
    for name in expected.keys() | arrays.keys():
        found, wanted = arrays.get(name), expected.get(name)
        if found is None or wanted is None or found.shape != tuple(wanted.shape):
            raise DamagedCheckpoint(f"{path}: {name} does not fit this model")
        if found.dtype.name != (kind := keras.backend.standardize_dtype(wanted.dtype)):
            raise DamagedCheckpoint(f"{path}: {name} is of {found.dtype.name}, not {kind}")
    return keras.tree.pack_sequence_as(
        like, [ops.convert_to_tensor(arrays[name]) for name in expected]
    )


def paths(directory: str | pathlib.Path) -> list[pathlib.Path]:
    """List the checkpoints in a directory, oldest first."""
    return sorted(pathlib.Path(directory).glob("step-*.safetensors"))


def latest(
    directory: str | pathlib.Path, like: Any, part: str = "", run: str = ""
) -> tuple[Any, list[str]]:
    """Read the newest undamaged checkpoint; arguments as for `read`.

    Returns:
        (state or None, list of problems with newer checkpoints).
    """
    state, _, problems = _latest(directory, like, part, run)
    return state, list(map(str, problems))


def _latest(directory, like, part, run):
    """Return (state or None, its step or None, problems with newer checkpoints)."""
    problems: list[DamagedCheckpoint] = []
    for path in reversed(paths(directory)):
        try:
            return read(path, like, part, run), int(path.stem.partition("-")[2]), problems
        except DamagedCheckpoint as problem:
            problems.append(problem)
    return None, None, problems


def check_size(run: RunDirectory, record: RunRecord) -> None:
    """Check that a checkpoint has as many weights as a record states, before a model is built.

    Raises:
        UserError: none has, so that the model might not fit into memory.
    """
    shape = (record.depth, record.units, record.input_dim, record.output_dim)
    wanted, problems = count_params(record.arch, *shape), []
    for path in reversed(paths(run.checkpoints)):
        try:
            found = _num_weights(path)
        except DamagedCheckpoint as problem:
            problems.append(str(problem))
            continue
        if found == wanted:
            return
        problems.append(f"{path} has {found:,} weights, and the model of the record {wanted:,}")
    raise _unreadable(run, problems)


def newest_sha256(run: RunDirectory) -> str:
    """Read the digest of a run's newest readable checkpoint, without its arrays.

    Raises:
        UserError: there is none.
    """
    problems = []
    for path in reversed(paths(run.checkpoints)):
        try:
            with _opened(path) as file:
                return (file.metadata() or {})["sha256"]
        except DamagedCheckpoint as problem:
            problems.append(str(problem))
        except KeyError:
            problems.append(f"{path}: it has no checksum")
    raise _unreadable(run, problems)


def latest_weights(run: RunDirectory, like: Any, say: Callable[[str], object] | None = None) -> Any:
    """Read the weights of a run's newest undamaged checkpoint.

    Args:
        run: the run.
        like: weights of the same structure and shapes.
        say: called with a sentence if the newest checkpoint is damaged or missing, so that the
            weights are those of an earlier step, or if the directory of a trial holds another run;
            if None, these are errors.

    Raises:
        UserError: no run, no readable checkpoint of it, or weights that are not finite.
    """
    record = run.read_record()
    if not say:
        run.refuse_stranger(record)
    elif stranger := run.stranger(record):
        say(stranger)
    weights, step, problems = _latest(run.checkpoints, like, "weights", record.identity)
    if weights is None:
        raise _unreadable(run, problems)
    # A process that was killed may have written checkpoints of later steps than the record's.
    may_be_ahead = record.status == "interrupted" and step >= record.steps_done
    if may_be_ahead:
        is_lost = not all(isinstance(problem, StrangeCheckpoint) for problem in problems)
    elif is_lost := step != record.steps_done:
        problems.append(f"the record has {count(record.steps_done, 'step')}")
    if problems:
        text = f"the newest readable checkpoint of {run.path} is of step {step:,}: {problems[0]}"
        if say:
            say(text)
        elif is_lost:
            raise UserError(f"{text}; train the lost steps again with --resume")
    import keras

    arrays = map(ops.convert_to_numpy, keras.tree.flatten(weights))
    if not all(np.isfinite(array).all() for array in arrays):
        raise UserError(f"the weights of the run {run.path} are not finite")
    return weights


def _unreadable(run, problems):
    problem = f": {problems[0]}" if problems else ""
    return UserError(f"no readable checkpoint in {run.checkpoints}{problem}")


def _name(step):
    return f"step-{step:010d}.safetensors" if isinstance(step, int) else None


def _content(path):
    """Return the arrays and the metadata of a file."""
    with _opened(path) as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return arrays, file.metadata() or {}


def _num_weights(path):
    """Return the number of weights in a file, which are not read."""
    with _opened(path) as file:
        names = [name for name in file.keys() if name.startswith("weights/")]  # noqa: SIM118
        return sum(math.prod(file.get_slice(name).get_shape()) for name in names)


@contextlib.contextmanager
def _opened(path):
    try:
        os.close(open_regular(path))
        with safe_open(path, framework="numpy") as file:
            yield file
    # AttributeError: NumPy has no such type, such as one of 8 bits.
    except (OSError, SafetensorError, AttributeError) as error:
        raise DamagedCheckpoint(f"{path}: {error}") from None


def _named(state, part=""):
    """Return path -> leaf of a nested state, in `keras.tree`'s order."""
    from rnn_zoo.functional import named

    return {f"{part}/{path}" if part else path: leaf for path, leaf in named(state).items()}


def digest_of(arrays: Mapping[str, np.ndarray], text: str = "") -> str:
    """Return the SHA-256 of a text and of arrays with their names, types and shapes, in hex."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}\n".encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()
