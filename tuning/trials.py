"""All runs below a directory as one DataFrame with one row per training.

The report uses `read`, whose columns do not depend on the runs; `tuning.load` has a column for each
hyperparameter and metric. The columns of `read` are fields of `RunRecord` and `TrainConfig`, and

    run             study/run_id, a unique name
    study, run_id   path of the study below `directory`; name of the trial within it
    iteration       number of the trial in its study, from 0; NaN outside a search
    is_rerun        whether it is a rerun of a study's best hyperparameters
    is_partial      whether it is a trial of a study that does not have all of its trials yet
    source          "rnn-zoo" or "published"
    algorithm       search algorithm: "gp", "random", ...
    profile         "smoke", "laptop" or "paper": --profile of the sweep, study or run; None if it
                    started from a preset or a run, from Python, and in older records
    setting         JSON: task options that are not the defaults and must be equal for trials to be
                    compared, "searched" for those that the search chose, and the hash of text8's
                    corpus
    bits            stored information of a capacity run, eq. (22)
    num_samples     b of a capacity run, N of rcf
    num_steps       T, if it is an option of the task
    num_inputs      I, n_in of a capacity run
    max_steps       largest number of steps of the study, up to which that of each trial is tuned;
                    NaN outside a study
    origin          where a trial's hyperparameters come from: "first", "random", "search" or
                    "transfer"; None outside a study, and in records of older versions
    hparams, curve  JSON: hyperparameters, with the defaults of options; training loss at each
                    twentieth of the steps
    validation      JSON: [step, loss on valid] of each measurement of a run of the trainer; trials
                    of studies are measured at their end only
    lengths         JSON: the field of the record, losses and metrics at multiples of the trained
                    length
    held            JSON: names of the hyperparameters that the user fixed
    narrowed        JSON: names of those whose ranges the user set
    outside         JSON: names of those whose values are outside the paper's ranges, also of a run
                    of the trainer if its task, cell and optimizer are registered
    fixed           JSON: name -> value of the settings that no search chose, except those that have
                    columns of their own
    excluded        why the report leaves the training out: `UNFINISHED`, `PRETRAINED`, `COPY`,
                    `OTHER_RERUN` or `PARTIAL_RERUN` of `tuning.rows`; "" for the others. A copy has
                    the settings and the results of another training: of a run or a trial of another
                    study, or of a trial that a run replays
"""

import json
import os
import pathlib
from typing import Any

import numpy as np

from trainer.display.words import count
from trainer.errors import extra
from trainer.storage import json_files
from trainer.storage.records import RunRecord
from tuning import options, rows, studies
from tuning.study import consistency, log
from tuning.study.log import RERUNS, TRIALS

with extra("report", "reading runs"):
    import pandas as pd

#: Columns in which the copies of a trial agree, such as those of a study in two directories. Of the
#: setting, only the corpus is compared: `hparams` has the options.
_SAME = (
    "task", "arch", "depth", "max_params", "setting", "seed", "train_steps", "num_steps",
    "num_inputs", "hparams", "is_rerun", "source", *rows.OF_CONFIG, "status", "steps_done",
    "infeasible_at",
)  # fmt: skip
#: Results, which tell runs apart whose cell or task was edited in between.
_LOSSES = ("train_loss", "valid_loss", "eval_loss")
#: Largest relative difference between the losses of copies. Lanes round sums in another order.
_TOLERANCE = 1e-5


def read(directory: str | os.PathLike, everything: bool = False) -> tuple[pd.DataFrame, list[str]]:
    """Read every run below a directory, including those of unfinished sweeps.

    A study keeps its trials in `trials.jsonl` and the reruns of its best trial in `reruns.jsonl`;
    `given.jsonl` has runs of given hyperparameters. A directory with a `record.json` outside
    any study is a run of the trainer.

    Args:
        directory: the directory.
        everything: whether to include the runs that `excluded` gives a reason to leave out:
            unfinished ones, those that start from a preset's or a run's weights, copies, such as a
            replay of a run, and reruns that table App.1 does not compare. Otherwise the problems
            count them.

    Returns:
        (DataFrame, list of problems as sentences). Each row is a run; the trials of a study
        are in the order in which they were proposed. Missing values are NaN or None.
    """
    found, problems = collect(directory)
    trials = with_copies(frame(found))
    if everything:
        return trials, problems
    return evidence(trials), problems + left_out(trials)


def collect(
    directory: str | os.PathLike, details: bool = False
) -> tuple[list[dict[str, Any]], list[str]]:
    """Read every run below a directory as the arguments of `frame`.

    Args:
        directory: the directory.
        details: whether rows have an entry `details`, a dict of everything else that is known.

    Returns:
        (rows, list of problems as sentences).
    """
    found: list[dict[str, Any]] = []
    problems: list[str] = []
    defaults: dict[str, dict[str, Any]] = {}
    sweeps: dict[pathlib.Path, Any] = {}
    counts: dict[pathlib.Path, int] = {}
    for path, names in log.record_files(pathlib.Path(directory), problems):
        if (path / "sweep.json").exists() and path not in sweeps:
            sweeps[path] = studies.of_sweep(path, problems)
        study = studies.read(path, directory, sweeps, problems)
        logs = {
            name: studies.tolerant(problems, _records, path / name, study, problems) or []
            for name in names
        }
        counts[path] = sum(len(logs.get(name, ())) for name in (TRIALS, RERUNS))
        problems += studies.unfinished(path, study, counts[path])
        _drop_repeated(logs, path, problems)
        best = next(iter(log.ranked(logs.get(TRIALS, ()))), None)
        for name, records in logs.items():
            of = (path / name, records, study, best, details, defaults, problems)
            found += rows.of_file(*of)
    for sweep in sweeps:
        problems += list(studies.lost(sweep, pathlib.Path(directory), counts, problems))
    return found, list(dict.fromkeys(problems))


def with_copies(trials: pd.DataFrame) -> pd.DataFrame:
    """Mark the copies of other studies' trials and of runs in `excluded`; change the table."""
    kept = trials[trials.excluded == ""]
    # Few trials are left, whose JSON is then parsed.
    kept = kept[kept.duplicated([name for name in _SAME if name not in rows.JSON], keep=False)]
    # Options have another order in a run that repeats a config.gin, where gin has sorted them.
    kept = kept.assign(
        hparams=kept.hparams.map(_sorted, na_action="ignore"),
        setting=kept.setting.astype(object).map(_corpus, na_action="ignore"),
    )
    kept = kept[kept.duplicated(list(_SAME), keep=False)]
    # A run that replays a trial is the copy, wherever it is, and so is an unfinished study's trial.
    kept = kept.assign(is_run=kept.iteration.isna())
    kept = kept.sort_values(["is_run", "is_partial"], kind="stable")
    same = [str(values) for values in kept[list(_SAME)].itertuples(index=False, name=None)]
    for _, alike in kept.groupby(np.array(same, object)):
        originals: list[Any] = []
        for row in alike.itertuples():
            if any(_repeats(row, each) for each in originals):
                trials.loc[row.Index, "excluded"] = rows.COPY
            else:
                originals.append(row)
    return trials


def _repeats(row, earlier):
    """Whether a run is a copy of an earlier one with the same settings."""
    # A search may try the same values twice.
    if row.study == earlier.study and not row.is_run:
        return False
    # Searches of two kinds, or with other ranges, may have the same trials, such as the first ones.
    searches = [(str(each.algorithm), each.fixed) for each in (row, earlier)]
    if not row.is_run and searches[0] != searches[1]:
        return False
    losses = [[getattr(each, name) for name in _LOSSES] for each in (row, earlier)]
    return np.allclose(*losses, rtol=_TOLERANCE, atol=0, equal_nan=True)


def _corpus(setting):
    """The hash of text8's corpus in a setting, or None."""
    return json.loads(setting).get(options.CORPUS)


def _sorted(text):
    """The same JSON with the keys in order."""
    return json.dumps(json.loads(text), sort_keys=True)


def evidence(trials: pd.DataFrame) -> pd.DataFrame:
    """Trainings that the report uses, from a DataFrame of `read` with everything."""
    return trials[trials.excluded == ""].reset_index(drop=True)


def left_out(trials: pd.DataFrame) -> list[str]:
    """Count the runs that the report leaves out, in a sentence per reason."""
    sentences = []
    for reason, part in trials[trials.excluded != ""].groupby("excluded"):
        tasks = part.task.astype(str).value_counts().sort_index()
        of_tasks = ", ".join(f"{number:,} of {task}" for task, number in tasks.items())
        sentences.append(f"left out: {count(len(part), 'trial')} {reason} ({of_tasks})")
    return sentences


def frame(found: list[dict] | pd.DataFrame) -> pd.DataFrame:
    """Make a DataFrame with all of `rows.COLUMNS` and their types from rows that may lack some."""
    trials = pd.DataFrame(found, columns=list(rows.COLUMNS))
    own = ("num_inputs", "max_steps", "iteration", "peak_memory", "data_seed", "eval_samples")
    for name in (*rows.NUMBERS, *rows.OPTIONS, *rows.METRICS, *own):
        trials[name] = pd.to_numeric(trials[name], errors="coerce")
    for name in ("is_rerun", "stopped_early", "is_partial"):
        trials[name] = trials[name].eq(True)
    missing = dict.fromkeys((*rows.NAMES, "validation", "lengths"), "[]")
    missing |= {"fixed": "{}", "excluded": ""}
    for name, value in missing.items():
        trials[name] = trials[name].astype(object).fillna(value)
    for name in (*rows.WORDS, *rows.LABELS):
        trials[name] = trials[name].astype("category")
    return trials


def together(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Concatenate tables of `frame`, and merge their categories."""
    if len(frames) == 1:
        return frames[0]
    return frame(pd.concat([each.astype(object) for each in frames], ignore_index=True))


def _records(path, study, problems):
    """Read the records of a log, or the single one of a JSON file."""
    if path.suffix != ".jsonl":
        return [json_files.read(path, RunRecord)]
    is_study = path.name == TRIALS
    found = consistency.read(path.parent, study.config) if is_study else consistency.read_log(path)
    problems += found.problems
    return found.records.values()


def _drop_repeated(logs, path, problems):
    """Drop the records that an earlier log of a study has too, such as those of a copied log."""
    first: dict[str, str] = {}
    for name, records in logs.items():
        repeated = [each.run_id for each in records if each.run_id in first]
        if repeated:
            problems.append(
                f"{path / name} has {count(len(repeated), 'trial')} of {first[repeated[0]]} again, "
                f"the first is {repeated[0]}"
            )
        logs[name] = [each for each in records if each.run_id not in first]
        first |= {each.run_id: name for each in logs[name]}
