"""The trials that the paper's authors published, in the form of `trials.read`.

github.com/jazcollins/cap-n-train-hps, dataset/rnn_hp_dataset.tar.gz, unpacked: a file a figure of
the paper, each a pickled structured NumPy array, written by Python 2. A pickle may run any code;
the reader here knows how to rebuild arrays and numbers, and refuses to look up anything else.

What the columns mean is known from the repository's README. Guessed is the rest: that the loss of
per_cap is the information in bits, with either sign; that figure 5's file is named fig5*; that
other tasks' losses are in the paper's own units, text8's in bits a character.
"""

import functools
import json
import math
import pathlib
import pickle

import numpy as np

from rnn_zoo import sizing
from rnn_zoo.architectures import ARCHITECTURES
from trainer.errors import UserError
from trainer.tasks import TASKS
from tuning.report import trials
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
_DIMENSIONS = {"memory": (64, 64), "text8": (27, 27)}


class _Refused(pickle.UnpicklingError):
    """A pickle asks for what an array of plain values does not need."""


def _latin1(text, encoding):
    """The one use that a pickle of bytes has for `_codecs.encode`."""
    if encoding not in ("latin1", "latin-1"):
        raise _Refused(f"it asks for the encoding {encoding}")
    return text.encode("latin-1")


def _known():
    """(module, name) -> what a pickled array of plain values may look up."""
    multiarray = np.empty(0).__reduce__()[0].__module__
    scalar = np.float64(0).__reduce__()[0]
    reconstruct = np.empty(0).__reduce__()[0]
    frombuffer = np.empty(0).__reduce_ex__(5)[0]
    known = {("_codecs", "encode"): _latin1}
    for module in {"numpy.core.multiarray", "numpy._core.multiarray", multiarray}:
        known |= {(module, "_reconstruct"): reconstruct, (module, "scalar"): scalar}
    for module in ("numpy.core.numeric", "numpy._core.numeric"):
        known[module, "_frombuffer"] = frombuffer
    for name in ("ndarray", "dtype", "recarray", "record"):
        known["numpy", name] = getattr(np, name)
    return known


class ArrayUnpickler(pickle.Unpickler):
    """Unpickles NumPy arrays of plain values; strings of Python 2 become text.

    Raises:
        pickle.UnpicklingError: the pickle asks for anything else.
    """

    _KNOWN = _known()

    def __init__(self, file):
        super().__init__(file, encoding="latin-1")

    def find_class(self, module, name):
        try:
            return self._KNOWN[module, name]
        except KeyError:
            raise _Refused(f"it asks for {module}.{name}") from None

    def persistent_load(self, identity):
        raise _Refused("it has a persistent id")


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
        array = _load(path)
        stem = path.relative_to(directory).with_suffix("").as_posix()
        rows += [_row(record, stem, number, path) for number, record in enumerate(array)]
    if not rows:
        raise UserError(
            f"{directory} holds none of the authors' files (*.p); unpack rnn_hp_dataset.tar.gz "
            "of github.com/jazcollins/cap-n-train-hps there"
        )
    return trials.frame(rows)


def _load(path):
    try:
        with open(path, "rb") as file:
            array = ArrayUnpickler(file).load()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except _Refused as error:
        raise UserError(f"{path} is no array of plain values: {error}; nothing of it ran") from None
    except Exception as error:  # What a damaged pickle raises is any of many.
        raise UserError(f"{path} cannot be unpickled: {error or type(error).__name__}") from None
    names = getattr(getattr(array, "dtype", None), "names", None) or ()
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise UserError(f"{path} has no column {', '.join(missing)}; it has {', '.join(names)}")
    return array.reshape(-1)


def _row(record, stem, number, path):
    values = {name: _plain(record[name]) for name in COLUMNS}
    task, arch = values["task_type"], values["architecture"]
    for name, known in (("task_type", _TASKS), ("architecture", ARCHITECTURES)):
        if values[name] not in known:
            choices = ", ".join(known)
            raise UserError(
                f"{path}, record {number}: unknown {name} {values[name]!r}; known are {choices}"
            )
    if not isinstance(values["hparams"], dict):
        raise UserError(f"{path}, record {number}: hparams are no dict")
    task, hparams = _TASKS[task], flat(_plain(values["hparams"]))
    losses = {name: _finite(values[name]) for name in ("train_loss", "valid_loss", "eval_loss")}
    depth, budget = int(values["n_layers"]), int(values["max_params"])
    is_feasible = None not in losses.values()
    study = f"published/{stem}/{task}-{arch}-{depth}-{budget}"
    row = losses | {
        "run": f"{study}/{number:06d}",
        "study": study,
        "run_id": f"{number:06d}",
        "iteration": int(values["hyper_iter"]),
        "is_rerun": False,
        "stopped_early": False,
        "source": "published",
        "algorithm": "random" if pathlib.PurePath(stem).name.startswith("fig5") else "gp",
        "task": task,
        "arch": arch,
        "depth": depth,
        "max_params": budget,
        "num_params": int(values["num_params"]),
        "units": _units(task, arch, depth, budget),
        "train_steps": hparams.get("train_steps"),
        "status": "ok" if is_feasible else "infeasible",
        "objective": losses["valid_loss"] if is_feasible else None,
        "chance_loss": _chance_loss(task),
        "activation": str(hparams.get("nonlinearity", _NONLINEARITY.get(arch, ""))).lower() or None,
        "hparams": json.dumps(hparams, default=str),
        "curve": "[]",
    }
    if is_feasible and task == "capacity":
        row["bits"] = abs(losses["eval_loss"])
        row["bits_per_parameter"] = row["bits"] / row["num_params"]
        row["objective"], row["num_steps"] = -abs(losses["valid_loss"]), trials.CAPACITY_STEPS
    if task == "text8":
        row["bits_per_character"] = losses["eval_loss"]
    return row


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
    return float(value) if math.isfinite(value) else None


@functools.cache
def _units(task, arch, depth, budget):
    """Units a layer of a network that fills the budget, by our count."""
    if task not in _DIMENSIONS:
        return None
    return sizing.units_for_budget(arch, depth, budget, *_DIMENSIONS[task])


@functools.cache
def _chance_loss(task):
    """Of the hard tasks, where a share of it is what counts as solved."""
    return TASKS[task]().chance_loss if task in ("parens", "arithmetic") else None
