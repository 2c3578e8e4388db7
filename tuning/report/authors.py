"""Trials published by the paper's authors, read from their pickles.

Source: github.com/jazcollins/cap-n-train-hps, dataset/rnn_hp_dataset.tar.gz, unpacked. It has one
file per figure of the paper, each a pickled structured NumPy array written by Python 2.

The repository's README documents the columns. These points are assumed:

- The loss of per_cap is the information in bits, with either sign. Other losses are in the paper's
  units, text8's in bits per character.
- The files of figures 5 and 2b are named fig5* and fig2b*. In all other files, capacity is unrolled
  for five steps.
"""

import functools
import json
import math
import os
import pathlib

import pandas as pd

from rnn_zoo import sizing
from rnn_zoo.json_types import LARGEST
from trainer.display.words import printable
from trainer.errors import UserError
from trainer.storage import json_files
from trainer.storage.differences import flat
from trainer.tasks import TASKS
from tuning import trials
from tuning.report import pickled
from tuning.report.paper import ARCHS, DIMENSIONS, UNROLLED

COLUMNS = (
    "architecture task_type hparams n_layers hyper_iter max_params num_params train_loss "
    "valid_loss eval_loss"
).split()
#: Published name of a task -> its name here.
_TASKS = {
    "per_cap": "capacity",
    "mem_thru": "memory",
    "rcf": "rcf",
    "text8": "text8",
    "parens_counting": "parens",
    "arithmetic": "arithmetic",
}
#: Input and output dimensions of tasks with figures by units; the files have no units column.
_DIMENSIONS = {"memory": (DIMENSIONS, DIMENSIONS), "text8": (27, 27)}
#: Nonlinearity of architectures whose published hyperparameters may lack one.
_NONLINEARITY = {"irnn": "relu", "lstm": "tanh"}


def read(directory: str | os.PathLike) -> pd.DataFrame:
    """Read every `*.p` file below a directory.

    Returns:
        DataFrame in the format of `trials.read`, with source "published". Each combination of task,
        architecture, depth and budget in a file is a study.

    Raises:
        UserError: there is no such file, or one holds anything other than such trials.
    """
    directory = pathlib.Path(directory)
    frames = [
        trials.frame(_rows(path, printable(path.relative_to(directory).with_suffix("").as_posix())))
        for path in sorted(directory.rglob("*.p"))
    ]
    if not frames:
        raise UserError(
            f"{directory} holds none of the authors' files (*.p); unpack rnn_hp_dataset.tar.gz "
            "of github.com/jazcollins/cap-n-train-hps there"
        )
    return trials.together(frames)


def _rows(path, stem):
    try:
        records = list(pickled.records(path, COLUMNS))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except pickled.Refused as error:
        raise UserError(f"{path} is refused: {error}; nothing in it was run") from None
    except Exception as error:  # A damaged pickle raises errors of many kinds.
        raise UserError(f"{path} cannot be unpickled: {error or type(error).__name__}") from None
    rows = []
    for number, values in enumerate(records):
        try:
            rows.append(_row(dict(zip(COLUMNS, values, strict=True)), stem, number))
        except (TypeError, ValueError, OverflowError) as error:
            raise UserError(f"{path}, record {number}: {error}") from None
    return rows


def _row(values, stem, number):
    """Make a row of `trials.read`; raise ValueError if a name is unknown or a value is bad."""
    for name, known in (("task_type", _TASKS), ("architecture", ARCHS)):
        if values[name] not in known:
            raise ValueError(f"unknown {name} {values[name]!r}; choose from {', '.join(known)}")
    if not isinstance(values["hparams"], dict):
        raise ValueError("hparams is not a dict")
    task, arch, file = _TASKS[values["task_type"]], values["architecture"], stem.split("/")[-1]
    found = flat({str(name): value for name, value in values["hparams"].items()})
    # JSON has no number that is not finite.
    hparams = {
        n: str(v) if isinstance(v, float) and not math.isfinite(v) else v for n, v in found.items()
    }
    if not json_files.is_text(hparams):
        raise ValueError("hparams has half a character (a lone surrogate)")
    steps = hparams.get("train_steps")
    if isinstance(steps, int) and not 0 <= steps < 2**53:
        raise ValueError("train_steps is not from 0 to 2^53")
    names = ("n_layers", "max_params", "num_params", "hyper_iter")
    depth, budget, count, iteration = numbers = [int(values[name]) for name in names]
    if not all(0 <= each < 2**53 for each in numbers):
        raise ValueError(f"{', '.join(names)} are not all from 0 to 2^53")
    study = f"published/{stem}/{task}-{arch}-{depth}-{budget}"
    return {
        "run": f"{study}/{number:06d}",
        "study": study,
        "run_id": f"{number:06d}",
        "iteration": iteration,
        "is_rerun": False,
        "stopped_early": False,
        "source": "published",
        "algorithm": "random" if file.startswith("fig5") else "gp",
        "setting": "{}",
        "task": task,
        "arch": arch,
        "depth": depth,
        "max_params": budget,
        "num_params": count,
        "units": _units(task, arch, depth, budget),
        "train_steps": steps,
        "chance_loss": _chance_loss(task),
        "activation": str(hparams.get("nonlinearity", _NONLINEARITY.get(arch, ""))).lower() or None,
        "hparams": json.dumps(hparams),
        "curve": "[]",
        **_results(task, values, count, is_unrolled=file.startswith("fig2b")),
    }


def _results(task, values, num_params, is_unrolled):
    """Return status, losses and task metrics; a run that lacks a loss has diverged."""
    losses = {name: _finite(values[name]) for name in ("train_loss", "valid_loss", "eval_loss")}
    if None in losses.values():
        return {"status": "infeasible"}
    found = losses | {"status": "ok", "objective": losses["valid_loss"]}
    if task == "capacity":
        bits = abs(losses["eval_loss"])
        found |= {"bits": bits, "bits_per_parameter": bits / max(num_params, 1)}
        found["objective"] = -abs(losses["valid_loss"])
        # Figure 2b varies T, and the files have no column for it.
        found["num_steps"] = None if is_unrolled else UNROLLED
    if task == "text8":
        found["bits_per_character"] = losses["eval_loss"]
    return found


def _finite(value):
    if value is None or not math.isfinite(value):
        return None
    if abs(value) > LARGEST:
        raise ValueError(f"it has a loss of {float(value):g}, which float32 cannot hold")
    return float(value)


@functools.cache
def _units(task, arch, depth, budget):
    """Return the units per layer that fill the budget; None if no figure needs them."""
    if task not in _DIMENSIONS:
        return None
    try:
        return sizing.units_for_budget(arch, depth, budget, *_DIMENSIONS[task])
    except ValueError:
        return None


@functools.cache
def _chance_loss(task):
    """Return the chance loss of a hard task, to tell if it is solved; None for other tasks."""
    return TASKS[task]().chance_loss if task in ("parens", "arithmetic") else None
