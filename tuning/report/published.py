"""The trials that the paper's authors published, in the form of `trials.read`.

github.com/jazcollins/cap-n-train-hps, dataset/rnn_hp_dataset.tar.gz, unpacked: a file a figure of
the paper, each a pickled structured NumPy array, written by Python 2, which `pickled` reads.

What the columns mean is known from the repository's README. Guessed is the rest: that the loss of
per_cap is the information in bits, with either sign; that figure 5's file is named fig5* and figure
2b's fig2b*, and that capacity was unrolled for five steps in all others; that other tasks' losses
are in the paper's own units, text8's in bits a character.
"""

import functools
import json
import math
import pathlib

import numpy as np

from rnn_zoo import sizing
from trainer.errors import UserError
from trainer.tasks import TASKS
from tuning.report import pickled, trials
from tuning.report.paper import ARCHS, DIMENSIONS, UNROLLED
from tuning.report.trials import flat

COLUMNS = (
    "architecture task_type hparams n_layers hyper_iter max_params num_params train_loss "
    "valid_loss eval_loss"
).split()
#: Published name of a task -> ours.
_TASKS = {
    "per_cap": "capacity",
    "mem_thru": "memory",
    "rcf": "rcf",
    "text8": "text8",
    "parens_counting": "parens",
    "arithmetic": "arithmetic",
}
#: Tasks whose figures are by units, which are not published -> inputs and outputs.
_DIMENSIONS = {"memory": (DIMENSIONS, DIMENSIONS), "text8": (27, 27)}


def read(directory):
    """Reads every `*.p` file below a directory.

    Args:
        directory: path of it.

    Returns:
        DataFrame, as of `trials.read`, of source "published". Each file is a study a task,
        architecture, depth and budget.

    Raises:
        UserError: there is no such file, or one holds something else.
    """
    directory, rows = pathlib.Path(directory), []
    for path in sorted(directory.rglob("*.p")):
        stem = path.relative_to(directory).with_suffix("").as_posix()
        rows += _rows(_load(path), stem, path)
    if not rows:
        raise UserError(
            f"{directory} holds none of the authors' files (*.p); unpack rnn_hp_dataset.tar.gz "
            "of github.com/jazcollins/cap-n-train-hps there"
        )
    return trials.frame(rows)


def _load(path):
    try:
        with open(path, "rb") as file:
            array = pickled.load(file)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except pickled.Refused as error:
        raise UserError(f"{path} is no array of plain values: {error}; nothing of it ran") from None
    except Exception as error:  # What a damaged pickle raises is any of many.
        raise UserError(f"{path} cannot be unpickled: {error or type(error).__name__}") from None
    names = getattr(getattr(array, "dtype", None), "names", None) or ()
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise UserError(f"{path} has no column {', '.join(missing)}; it has {', '.join(names)}")
    return array.reshape(-1)


def _rows(array, stem, path):
    """A row a record; a column is converted as a whole, since there are many."""
    columns = [_plain(array[name].tolist()) for name in COLUMNS]
    rows = []
    for number, values in enumerate(zip(*columns, strict=True)):
        try:
            rows.append(_row(dict(zip(COLUMNS, values, strict=True)), stem, number))
        except (TypeError, ValueError, OverflowError, AttributeError) as error:
            raise UserError(f"{path}, record {number}: {error}") from None
    return rows


def _row(values, stem, number):
    """A row of `trials.read`.

    Raises:
        ValueError: a name is unknown, or a number cannot be.
    """
    for name, known in (("task_type", _TASKS), ("architecture", ARCHS)):
        if values[name] not in known:
            raise ValueError(f"unknown {name} {values[name]!r}; known are {', '.join(known)}")
    if not isinstance(values["hparams"], dict):
        raise ValueError("hparams are no dict")
    task, arch, file = _TASKS[values["task_type"]], values["architecture"], stem.split("/")[-1]
    hparams = flat({str(name): value for name, value in values["hparams"].items()})
    depth, budget, count = (int(values[n]) for n in ("n_layers", "max_params", "num_params"))
    study = f"published/{stem}/{task}-{arch}-{depth}-{budget}"
    return {
        "run": f"{study}/{number:06d}",
        "study": study,
        "run_id": f"{number:06d}",
        "iteration": int(values["hyper_iter"]),
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
        "train_steps": hparams.get("train_steps"),
        "chance_loss": _chance_loss(task),
        "activation": str(hparams.get("nonlinearity", _NONLINEARITY.get(arch, ""))).lower() or None,
        "hparams": json.dumps(hparams, default=str),
        "curve": "[]",
        **_results(task, values, count, is_unrolled=file.startswith("fig2b")),
    }


def _results(task, values, num_params, is_unrolled):
    """Losses, and the task's own measure; a run without one of its losses diverged."""
    losses = {name: _finite(values[name]) for name in ("train_loss", "valid_loss", "eval_loss")}
    if None in losses.values():
        return {"status": "infeasible"}
    found = losses | {"status": "ok", "objective": losses["valid_loss"]}
    if task == "capacity":
        bits = abs(losses["eval_loss"])
        found |= {"bits": bits, "bits_per_parameter": bits / max(num_params, 1)}
        found["objective"] = -abs(losses["valid_loss"])
        # Figure 2b varies T, which is no column.
        found["num_steps"] = None if is_unrolled else UNROLLED
    if task == "text8":
        found["bits_per_character"] = losses["eval_loss"]
    return found


#: Nonlinearity of those whose hyperparameters name none.
_NONLINEARITY = {"irnn": "relu", "lstm": "tanh"}


def _plain(value):
    """The value without the types of NumPy and Python 2, in dicts and lists too."""
    if isinstance(value, dict):
        return {_plain(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _finite(value):
    return float(value) if value is not None and math.isfinite(value) else None


@functools.cache
def _units(task, arch, depth, budget):
    """Units a layer of a network that fills the budget, by our count."""
    if task not in _DIMENSIONS:
        return None
    try:
        return sizing.units_for_budget(arch, depth, budget, *_DIMENSIONS[task])
    except ValueError:
        return None


@functools.cache
def _chance_loss(task):
    """Of the hard tasks, where a share of it is what counts as solved."""
    return TASKS[task]().chance_loss if task in ("parens", "arithmetic") else None
