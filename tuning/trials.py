"""All runs below a directory as one DataFrame with one row per training.

The report uses `read`, whose columns do not depend on the runs; `tuning.load` has a column for each
hyperparameter and metric. The columns of `read` are fields of `RunRecord` and `TrainConfig`, and

    run             study/run_id, a unique name
    study, run_id   path of the study below `directory`; name of the trial within it
    iteration       number of the trial in its study, from 0; NaN outside a search
    is_rerun        whether it is a rerun of a study's best hyperparameters
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
                    columns of their own; see `_fixed`
    excluded        why the report leaves the training out: `UNFINISHED`, `PRETRAINED`, `COPY`,
                    `OTHER_RERUN` or `PARTIAL_RERUN`; "" for the others. A copy has the settings and
                    the results of another training: of a run or a trial of another study, or of a
                    trial that a run replays
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

import numpy as np

from rnn_zoo.json_types import Count
from rnn_zoo.names import home_of
from trainer.cli.gin_files import default_batch_size
from trainer.config import is_registered, read_config
from trainer.display.words import count, printable
from trainer.errors import UserError
from trainer.options import completed
from trainer.storage import json_files
from trainer.storage.differences import flat
from trainer.storage.records import AtLength, RunDirectory, RunRecord
from tuning import options
from tuning.search import ranges
from tuning.search.hyperparameter import from_json, of_range, short_names
from tuning.search.space import deviations
from tuning.study import consistency, identity, log
from tuning.study.log import RERUNS, RUN, TRIALS

try:
    import pandas as pd
except ImportError:
    raise UserError("runs are read with pandas: pip install 'rnn-zoo[report]'") from None

#: Numeric columns that are fields of a record under the same name.
_NUMBERS = (
    "depth units max_params num_params train_steps steps_done infeasible_at train_loss valid_loss "
    "eval_loss objective chance_loss seconds steps_per_second seed"
).split()
#: Text columns that are fields of a record under the same name.
_WORDS = ("task", "arch", "status", "backend")
#: Columns that are fields of a record under the same name, and that old records lack.
_PROVENANCE = ("date", "device", "commit", "peak_memory")
#: Other text columns with few different values.
_LABELS = (
    "study source algorithm profile setting activation optimizer origin held narrowed outside "
    "fixed device commit precision"
).split()
#: Fields of a record, and of its configuration, that only `tuning.load` has.
_OTHERS = ("output_dim", "transferred_from", "host", "command")
_OTHERS_OF_CONFIG = ("preset", "init_from")
#: Columns of the configuration's settings that are no hyperparameters.
_OF_CONFIG = ("data_seed", "precision", "eval_samples")
#: Settings that all trials of a study share, unless it searches them.
_OF_STUDY = (*_OF_CONFIG, "batch_size", "arch_options", "optimizer_options")
#: Why the report leaves a training out, in words that follow "2 trials".
UNFINISHED, PRETRAINED = "not finished", "from trained weights"
COPY = "with the settings and results of another"
OTHER_RERUN = "from reruns of another trial than the best"
PARTIAL_RERUN = "from reruns that vary init or data alone"
#: Columns that hold lists of names, as JSON.
NAMES = ("held", "narrowed", "outside")
#: Task options that figures and claims use.
OPTIONS = ("num_samples", "num_steps")
#: Column -> metric of the `eval` split.
_METRICS = {
    "bits": "mutual_information",
    "bits_per_parameter": "bits_per_parameter",
    "bits_per_character": "bits_per_character",
}

COLUMNS = (
    "run", "study", "run_id", "iteration", "is_rerun", "source", "algorithm", "profile", "setting",
    *_WORDS, *_NUMBERS, "stopped_early", "origin", "activation", "optimizer", *OPTIONS,
    "num_inputs", "max_steps", *_METRICS, "held", "narrowed", "outside",
    "fixed", "hparams", "curve", "validation", "lengths", *_PROVENANCE, *_OF_CONFIG, "excluded",
)  # fmt: skip
#: Columns in which the copies of a trial agree, such as those of a study in two directories. Of the
#: setting, only the corpus is compared: `hparams` has the options.
_SAME = (
    "task", "arch", "depth", "max_params", "setting", "seed", "train_steps", "num_steps",
    "num_inputs", "hparams", "is_rerun", "source", *_OF_CONFIG, "status", "steps_done",
    "infeasible_at",
)  # fmt: skip
#: Results, which tell runs apart whose cell or task was edited in between.
_LOSSES = ("train_loss", "valid_loss", "eval_loss")
#: Largest relative difference between the losses of copies. Lanes round sums in another order.
_TOLERANCE = 1e-5
#: Columns of JSON, and what they hold.
JSON: dict[str, Any] = {**dict.fromkeys(NAMES, list[str]), "validation": list}
JSON |= {"lengths": list[AtLength], "curve": list[float]}
JSON |= {"setting": dict, "hparams": dict, "fixed": dict}
#: Columns that tables of earlier versions lack.
LATER = (*_PROVENANCE, "validation", "lengths", "fixed", *_OF_CONFIG, "excluded")


@dataclasses.dataclass(frozen=True)
class Study:
    """Facts that all trials of a directory share.

    Attributes:
        name: path relative to the directory that is read.
        algorithm: search algorithm, None if unknown.
        profile: profile of the sweep or study, None if unknown.
        max_steps: largest number of steps of a trial, None if unknown.
        narrowed: names of the hyperparameters whose ranges the user set, except the steps'.
        search: what the user set of the search: early stopping, and ranges; see `limits`.
        config: task, architecture and size of all trials, None if unknown.
    """

    name: str
    algorithm: str | None = None
    profile: str | None = None
    max_steps: int | None = None
    narrowed: tuple[str, ...] = ()
    search: Mapping[str, str] = dataclasses.field(default_factory=dict)
    config: identity.ConfigFacts | None = None


def read(directory: str | os.PathLike, everything: bool = False) -> tuple[pd.DataFrame, list[str]]:
    """Reads every run below a directory, including those of unfinished sweeps.

    A study keeps its trials in `trials.jsonl` and the reruns of its best trial in `reruns.jsonl`;
    `given.jsonl` has trainings of given hyperparameters. A directory with a `record.json` outside
    any study is a run of the trainer.

    Args:
        directory: the directory.
        everything: whether to include the trainings that `excluded` gives a reason to leave out:
            unfinished ones, those that start from a preset's or a run's weights, copies, such as a
            replay of a run, and reruns that table App.1 does not compare. Otherwise the problems
            count them.

    Returns:
        (DataFrame, list of problems as sentences). Each row is a training; the trials of a study
        are in the order in which they were proposed. Missing values are NaN or None.
    """
    rows, problems = collect(directory)
    found = with_copies(frame(rows))
    if everything:
        return found, problems
    return evidence(found), problems + left_out(found)


def collect(
    directory: str | os.PathLike, details: bool = False
) -> tuple[list[dict[str, Any]], list[str]]:
    """Reads every run below a directory as the arguments of `frame`.

    Args:
        directory: the directory.
        details: whether rows have an entry `details`, a dict of everything else that is known.

    Returns:
        (rows, list of problems as sentences).
    """
    rows: list[dict[str, Any]] = []
    problems: list[str] = []
    defaults: dict[str, dict[str, Any]] = {}
    sweeps: dict[pathlib.Path, Any] = {}
    counts: dict[pathlib.Path, int] = {}
    for path, names in log.record_files(pathlib.Path(directory)):
        study = _study(path, directory, sweeps, problems)
        logs = {
            name: _tolerant(problems, _records, path / name, study, problems) or []
            for name in names
        }
        counts[path] = sum(len(logs.get(name, ())) for name in (TRIALS, RERUNS))
        _drop_repeated(logs, path, problems)
        best = next(iter(log.ranked(logs.get(TRIALS, ()))), None)
        for name, records in logs.items():
            rows += _rows(path / name, records, study, best, details, defaults, problems)
    for sweep in sweeps:
        problems += list(_lost(sweep, pathlib.Path(directory), counts, problems))
    return rows, list(dict.fromkeys(problems))


def with_copies(trials: pd.DataFrame) -> pd.DataFrame:
    """Marks the copies of other studies' trials and of runs in `excluded`; changes the table."""
    kept = trials[trials.excluded == ""]
    # Few trials are left, whose JSON is then parsed.
    kept = kept[kept.duplicated([name for name in _SAME if name not in JSON], keep=False)]
    # Options have another order in a run that repeats a config.gin, where gin has sorted them.
    kept = kept.assign(
        hparams=kept.hparams.map(_sorted, na_action="ignore"),
        setting=kept.setting.astype(object).map(_corpus, na_action="ignore"),
    )
    kept = kept[kept.duplicated(list(_SAME), keep=False)]
    # A run that replays a trial is the copy, wherever it is.
    kept = kept.assign(is_run=kept.iteration.isna()).sort_values("is_run", kind="stable")
    same = [str(values) for values in kept[list(_SAME)].itertuples(index=False, name=None)]
    for _, alike in kept.groupby(np.array(same, object)):
        originals: list[Any] = []
        for row in alike.itertuples():
            if any(_repeats(row, each) for each in originals):
                trials.loc[row.Index, "excluded"] = COPY
            else:
                originals.append(row)
    return trials


def _repeats(row, earlier):
    """Whether a training is a copy of an earlier one with the same settings."""
    # A search may try the same values twice.
    if row.study == earlier.study and not row.is_run:
        return False
    # Searches of two kinds may begin with the same trials.
    if not row.is_run and str(row.algorithm) != str(earlier.algorithm):
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
    """Counts the trainings that the report leaves out, in a sentence per reason."""
    sentences = []
    for reason, part in trials[trials.excluded != ""].groupby("excluded"):
        tasks = part.task.astype(str).value_counts().sort_index()
        of_tasks = ", ".join(f"{number:,} of {task}" for task, number in tasks.items())
        sentences.append(f"left out: {count(len(part), 'trial')} {reason} ({of_tasks})")
    return sentences


def frame(rows: list[dict] | pd.DataFrame) -> pd.DataFrame:
    """Makes a DataFrame with all of `COLUMNS` and their types from rows that may lack some."""
    trials = pd.DataFrame(rows, columns=list(COLUMNS))
    own = ("num_inputs", "max_steps", "iteration", "peak_memory", "data_seed", "eval_samples")
    for name in (*_NUMBERS, *OPTIONS, *_METRICS, *own):
        trials[name] = pd.to_numeric(trials[name], errors="coerce")
    for name in ("is_rerun", "stopped_early"):
        trials[name] = trials[name].astype(bool)
    missing = dict.fromkeys((*NAMES, "validation", "lengths"), "[]")
    missing |= {"fixed": "{}", "excluded": ""}
    for name, value in missing.items():
        trials[name] = trials[name].astype(object).fillna(value)
    for name in (*_WORDS, *_LABELS):
        trials[name] = trials[name].astype("category")
    return trials


def together(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Concatenates tables of `frame`, and merges their categories."""
    if len(frames) == 1:
        return frames[0]
    return frame(pd.concat([each.astype(object) for each in frames], ignore_index=True))


def _study(path, directory, sweeps, problems):
    """Reads the facts of a study; `sweeps` has those of the sweeps that were read before."""
    name = path.relative_to(directory).as_posix()
    # It becomes a column of text, a label and a file's name.
    name = printable(path.resolve().name if name == "." else name)
    # A sweep keeps its studies in OUT/studies/NAME.
    is_of_sweep, sweep = path.parent.name == "studies", path.parent.parent
    if is_of_sweep and sweep not in sweeps:
        sweeps[sweep] = of_sweep(sweep, problems)
    facts = _tolerant(problems, identity.read, path, identity.Facts) or {}
    study = facts.get("study", {})
    if identity.is_lost(path):
        problems.append(f"{path} has lost its study.json, so its ranges are unknown")
    of_all = sweeps[sweep] if is_of_sweep else {}
    if wanted := _in_sweep(of_all, path.name):
        text = consistency.difference(facts.get("config", {}), wanted["config"])
        if text := text or consistency.search_difference(study, wanted.get("study", {})):
            problems.append(f"{path} holds another study than sweep.json names: {text}")
    profile = of_all.get("profile")
    return Study(
        name,
        study.get("algorithm"),
        profile or facts.get("profile"),
        _max_steps(facts),
        # Each task has a range of steps of its own.
        tuple(sorted(short_names(study.get("ranges", {})).keys() - {"train_steps"})),
        limits(study),
        facts.get("config"),
    )


def limits(search: Mapping[str, Any]) -> dict[str, str]:
    """Returns the early stopping of a search, if it has any, and its ranges, in words by name.

    Args:
        search: fields of a `StudyConfig`, as in study.json. Single values are left out: they are
            settings of the trials.
    """
    stopping = search.get("early_stopping", "none")
    found = {} if stopping == "none" else {"early_stopping": stopping}
    ranges = _ranges(search)
    return found | {f"{each.name} range": str(each) for each in ranges if each.fixed is None}


def _ranges(search):
    """Yields the ranges that the user set; malformed ones, of a damaged file, are left out."""
    for name, wanted in short_names(search.get("ranges", {})).items():
        with contextlib.suppress(UserError, LookupError, TypeError, ValueError, ArithmeticError):
            yield of_range(name, from_json(wanted), "the user")


def _max_steps(facts):
    """Returns the largest number of steps of a study's trials, None if it is unknown."""
    ends = [each.ends[1] for each in _ranges(facts.get("study", {})) if each.name == "train_steps"]
    return ends[0] if ends else facts.get("config", {}).get("train_steps")


class _Manifest(TypedDict, total=False):
    """Facts of a sweep in sweep.json."""

    profile: str
    studies: list


class _Named(TypedDict):
    """Facts of a study in sweep.json."""

    name: str
    config: identity.ConfigFacts
    study: NotRequired[identity.SearchFacts]


def _in_sweep(facts, name):
    """Returns what a sweep's facts have for a study; None if they have nothing valid."""
    for each in facts.get("studies", []):
        if isinstance(each, dict) and each.get("name") == name:
            with contextlib.suppress(json_files.Damaged):
                return json_files.checked(each, _Named, name)
    return None


def of_sweep(sweep: pathlib.Path, problems: list[str]) -> Mapping[str, Any]:
    """Returns what a sweep's sweep.json has, such as its profile; empty without a readable one.

    Args:
        sweep: its directory.
        problems: list to which a problem with the file is added.
    """
    return _tolerant(problems, json_files.read, sweep / "sweep.json", _Manifest) or {}


class _State(TypedDict, total=False):
    """Facts of a study in a sweep's states/."""

    trials: Count


def _lost(sweep, directory, counts, problems):
    """Names the studies of a sweep that once had more trials; `counts` has those read by study."""
    for path in sorted((sweep / "states").glob("*.json")):
        study = sweep / "studies" / path.stem
        if not study.is_relative_to(directory):
            continue
        had = (_tolerant(problems, json_files.read, path, _State) or {}).get("trials", 0)
        # Damaged lines are problems of their own, and lines may have come since they were read.
        if counts.get(study, 0) < had and (left := log.num_lines(study)) < had:
            yield f"{study} lost {had - left} of its {count(had, 'finished training')}"


def _tolerant(problems, read_file, *arguments):
    """Calls a function that reads a file; returns None if it cannot, and adds to the problems."""
    try:
        return read_file(*arguments)
    except FileNotFoundError:
        pass
    except UserError as error:
        problems.append(str(error))
    except OSError as error:
        problems.append(f"{error.filename}: {error.strerror}")
    return None


def _rows(path, records, study, best, details, defaults, problems):
    """Returns a row per record of a file; `best` is the best trial of its study, None without one.

    `defaults` has the options of tasks that are not imported; see `options.changed`.
    """
    rows, searched = {}, _searched_code(records)
    for record in records:
        row = rows[record.run_id] = _row(record, study, path.name, defaults, searched)
        if row["is_rerun"] and best and not log.is_rerun(record, best):
            reason = PARTIAL_RERUN if log.repeats(record, best) else OTHER_RERUN
            row["excluded"] = row["excluded"] or reason
        if details:
            row["details"] = _details(record)
        if path.name == RUN:
            found = _tolerant(problems, _validation, path.parent, record, problems) or []
            row["validation"] = json.dumps(found)
    return [rows[run_id] for run_id in sorted(rows)]


def _records(path, study, problems):
    """Reads the records of a log, or the single one of a JSON file."""
    if path.suffix != ".jsonl":
        return [json_files.read(path, RunRecord)]
    is_study = path.name == TRIALS
    found = consistency.read(path.parent, study.config) if is_study else consistency.read_log(path)
    problems += found.problems
    return found.records.values()


def _drop_repeated(logs, path, problems):
    """Drops the records that an earlier log of a study has too, such as those of a copied log."""
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


def _validation(run, record, problems):
    """Steps and losses of the measurements on the split valid."""
    directory = RunDirectory(run)
    measured = directory.read_metrics(record.identity)
    if gaps := directory.gaps(record, record.steps_done, measured):
        problems.append(gaps)
    return [[m["step"], m["valid_loss"]] for m in measured if m.get("valid_loss") is not None]


def _row(record, study, file, defaults, searched):
    hparams, evaluated = completed(record), record.metrics.get("eval", {})
    run_id, is_trial = record.run_id, file == TRIALS and re.fullmatch("[0-9]{1,9}", record.run_id)
    row = {
        "run": f"{study.name}/{run_id}" if study.name != run_id else run_id,
        "study": study.name,
        "run_id": run_id,
        "iteration": int(run_id) if is_trial else None,
        "is_rerun": file == RERUNS,
        "source": "rnn-zoo",
        "algorithm": study.algorithm,
        "profile": study.profile or record.profile,
        "max_steps": study.max_steps,
        "setting": json.dumps(options.setting(record, defaults), sort_keys=True),
        "num_inputs": record.input_dim,
        "stopped_early": record.stopped_early,
        "origin": record.origin,
        "activation": hparams["activation"],
        "optimizer": hparams.get("optimizer"),
        "hparams": json.dumps(flat(hparams)),
        "held": json.dumps(record.held),
        "narrowed": json.dumps(study.narrowed),
        "outside": json.dumps(_outside(record, file)),
        "curve": json.dumps(record.curve),
        "lengths": json.dumps(record.lengths),
        **_of_config(record),
        "fixed": json.dumps(_fixed(record, hparams, study, is_trial, searched), sort_keys=True),
        "excluded": _exclusion(record),
    }
    row |= {name: getattr(record, name) for name in (*_WORDS, *_NUMBERS, *_PROVENANCE)}
    row |= {name: hparams["task_options"].get(name) for name in OPTIONS}
    row |= {column: evaluated.get(name) for column, name in _METRICS.items()}
    # Terminals and browsers would obey control characters.
    return {k: printable(value) if isinstance(value, str) else value for k, value in row.items()}


def _of_config(record):
    values = {name: record.config.get(name) for name in _OF_CONFIG}
    return values | {"precision": values["precision"] or "float32"}


def _outside(record, file):
    """Names of the values that are outside the paper, also of runs, which have no search space."""
    given = record.config.get("arch_options")
    known = {"arch": record.arch, "arch_options": given if isinstance(given, dict) else {}}
    names = [*record.outside, *deviations(record.config | known)]
    if file == RUN and is_registered(record.config):
        with contextlib.suppress(UserError):  # an invalid configuration of another version
            config = read_config(record.config, file)
            size = default_batch_size(config.task, record.profile)
            names += ranges.outside_in_run(config, size)
    return list(dict.fromkeys(names))


def _searched_code(records):
    """Code of the optimizers that a study searches over, which all of its trials share."""
    found: dict[str, set[str]] = {}
    for record in records:
        if "optimizer" in record.searched:
            others = set(map(home_of, (record.task, record.arch)))
            for home in record.code.keys() - others:
                found.setdefault(f"code of {home}", set()).add(str(record.code[home]))
    return {name: ", ".join(sorted(versions)) for name, versions in found.items()}


def _fixed(record, hparams, study, is_trial, searched):
    """Settings that no search chose: all of a run, and of a trial those that its study shares.

    The options of the task are left out: `setting` has them. `searched` is of `_searched_code`.
    """
    values = flat(hparams | _of_config(record))
    values = {name: v for name, v in values.items() if not name.startswith("task_options.")}
    code = {f"code of {home}": version for home, version in record.code.items()} | searched
    if not is_trial:
        return values | code
    shared = {name for name in values if name.partition(".")[0] in _OF_STUDY}
    shared = shared.difference(record.searched).union(record.held)
    of_search = {"search": study.algorithm or "unknown", "train_steps": study.max_steps}
    return (
        {name: v for name, v in values.items() if name in shared} | of_search | study.search | code
    )


def _details(record):
    """Returns the fields of a record that `read` lacks, and its other metrics on `eval`."""
    found = {name: getattr(record, name) for name in _OTHERS}
    found |= {name: record.config.get(name) for name in _OTHERS_OF_CONFIG}
    found["searched"] = tuple(record.searched)
    metrics = {
        name: value
        for name, value in record.metrics.get("eval", {}).items()
        if name not in ("loss", *_METRICS.values()) and isinstance(value, (int, float))
    }
    return {"fields": found, "metrics": metrics}


def _exclusion(record):
    if record.status == "interrupted":
        return UNFINISHED
    # The paper's trials start from random weights.
    is_pretrained = record.config.get("preset") or record.config.get("init_from")
    return PRETRAINED if is_pretrained else ""
