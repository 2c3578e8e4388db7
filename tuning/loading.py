"""Runs from Python: any run, study or sweep as one tidy DataFrame."""

import json
import os
import warnings

import pandas as pd

from trainer.display.words import printable
from trainer.errors import UserError
from trainer.windows import CURVE_POINTS, window_ends
from tuning.rows import NAMES, OPTIONS, numbers
from tuning.trials import collect, frame, with_copies

#: Columns of `trials.read` that hold JSON and are replaced by columns of their own.
_JSON = ("hparams", "curve", "validation", "lengths", "fixed")
#: Hyperparameters that are a number for all gates, or a number per gate.
_BY_GATE = ("gate_bias", "input_scale", "recurrent_scale", "bias_scale")


def load(path: str | os.PathLike, curves: bool = False) -> pd.DataFrame:
    """Load a run, a study, a sweep, or all of these below a directory, as a tidy DataFrame.

    Args:
        path: a run directory, a study, a sweep, or a directory that holds some of these.
        curves: whether to return the learning curves instead of the trials.

    Returns:
        DataFrame with a row per trial. Its columns are

        - those of `trials.read`, where `held`, `narrowed` and `outside` are tuples of names. Each
          hyperparameter is a column instead of the JSON of `hparams`: `lr_init`, `gate_bias.g`,
          `task_options.num_samples`. A number for all gates has no column of its own if another
          trial of the architecture has one per gate.
        - the other fields of the record and its configuration: `preset`, `init_from`,
          `transferred_from`, `searched`, `input_dim`, `output_dim`, `host` and `command`.
        - the task's metrics on the split eval, under their own names, or as `metrics.NAME` if
          another column has the name; those of a list as NAME.0, NAME.1 and so on; and those at 2
          times the trained length as `lengths.2.loss`, `lengths.2.accuracy` and so on, with
          `lengths.2.num_steps` and `lengths.2.chance_loss`.

        Runs that the report leaves out are included: `excluded` has the reason. Those that are not
        finished have the status "interrupted".

        With `curves=True`, a row per point of a learning curve. The columns `step` and `loss` are
        the point, where `loss` is the mean training loss over the twentieth of the steps that ends
        at `step`; the other columns are those of the trial.

    Raises:
        UserError: the path is not a directory, or holds no run.

    Example:
        runs = tuning.load("runs/figure_5")
        runs.groupby(["task", "arch"]).eval_loss.min()
        tuning.load("runs/figure_5", curves=True).pivot_table("loss", "step", "arch").plot()
    """
    if not os.path.isdir(path):
        reason = "is a file" if os.path.exists(path) else "does not exist"
        raise UserError(f"{path} {reason}; give the directory of a run, a study or a sweep")
    rows, problems = collect(path, details=True)
    for problem in problems:
        warnings.warn(printable(problem), stacklevel=2)
    if not rows:
        raise UserError(
            f"{path} holds no run; make one, e.g. python -m trainer --task=memory --arch=gru "
            f"--profile=smoke --run_dir={os.path.join(path, 'first')}"
        )
    found = with_copies(frame(rows))
    trials = _tidy(found, [row["details"] for row in rows])
    return _points(trials, found.curve.map(json.loads)) if curves else trials


def _tidy(found, details):
    """Replace columns of JSON, and add the details of `trials.collect`."""
    words = found.select_dtypes("category").columns
    trials = found.astype(dict.fromkeys(words, object)).drop(columns=list(_JSON))
    for name in NAMES:
        trials[name] = trials[name].map(lambda text: tuple(json.loads(text)))
    # These options have their default where a trial's hyperparameters lack them.
    options = {name: f"task_options.{name}" for name in OPTIONS}
    trials = trials.rename(columns={"num_inputs": "input_dim"} | options)
    hparams = pd.DataFrame(found.hparams.map(json.loads).tolist())
    fields, metrics = (pd.DataFrame([row[k] for row in details]) for k in ("fields", "metrics"))
    taken = {*trials, *fields, *hparams}
    metrics = metrics.rename(columns=lambda name: f"metrics.{name}" if name in taken else name)
    lengths = pd.DataFrame(map(_at_lengths, found.lengths.map(json.loads)))
    for table in (fields, metrics, lengths, hparams):
        # Activation, optimizer and number of steps are fields of the record too.
        trials = trials.join(table.drop(columns=table.columns.intersection(trials.columns)))
    empty = [name for name in options.values() if trials[name].isna().all()]
    return _by_gate(trials.drop(columns=empty))


def _at_lengths(lengths):
    """Return the numbers of a record's field `lengths` by the name of their column."""
    found = {}
    for each in lengths:
        values = {"num_steps": each["num_steps"], "chance_loss": each["chance_loss"]}
        for name, value in numbers(values | (each["metrics"] or {})).items():
            found[f"lengths.{each['multiple']}.{name}"] = value
    return found


def _by_gate(trials):
    """Replace a number for all gates by one per gate, for architectures that have such columns."""
    for name in set(_BY_GATE).intersection(trials):
        for _, part in trials.groupby("arch"):
            of_gates = part.filter(regex=rf"^{name}\.").dropna(axis="columns", how="all").columns
            rows = part.index[part[name].notna()]
            if len(of_gates):
                trials.loc[rows, of_gates] = part.loc[rows, [name] * len(of_gates)].to_numpy()
                trials.loc[rows, name] = None
        if trials[name].isna().all():
            trials = trials.drop(columns=name)
    return trials


def _points(trials, curves):
    """Return a row per point of the learning curves."""
    steps = [
        window_ends(total, CURVE_POINTS)[: len(curve)]
        for total, curve in zip(trials.train_steps.astype(int), curves, strict=True)
    ]
    points = trials.assign(step=steps, loss=curves).explode(["step", "loss"], ignore_index=True)
    points = points.dropna(subset="step").astype({"step": int, "loss": float})
    return points.reset_index(drop=True)
