"""A training run as a row of the table of all runs; `tuning.trials` describes the columns."""

import contextlib
import json
import pathlib
import re
from collections.abc import Collection, Mapping
from typing import Any

from rnn_zoo.names import home_of
from trainer.cli.gin_files import default_batch_size
from trainer.config import is_registered, read_config
from trainer.display.words import printable
from trainer.errors import UserError
from trainer.options import completed
from trainer.storage.differences import flat
from trainer.storage.records import AtLength, RunDirectory, RunRecord
from tuning import options
from tuning.search import ranges
from tuning.search.space import deviations
from tuning.studies import Study, tolerant
from tuning.study import log
from tuning.study.log import RERUNS, RUN, TRIALS

#: Numeric columns that are fields of a record under the same name.
NUMBERS = (
    "depth units max_params num_params train_steps steps_done infeasible_at train_loss valid_loss "
    "eval_loss objective chance_loss seconds steps_per_second seed"
).split()
#: Text columns that are fields of a record under the same name.
WORDS = ("task", "arch", "status", "backend")
#: Columns that are fields of a record under the same name, and that old records lack.
PROVENANCE = ("date", "device", "commit", "peak_memory")
#: Other text columns with few different values.
LABELS = (
    "study source algorithm profile setting activation optimizer origin held narrowed outside "
    "fixed device commit precision"
).split()
#: Fields of a record, and of its configuration, that only `tuning.load` has.
_OTHERS = ("output_dim", "transferred_from", "host", "command")
_OTHERS_OF_CONFIG = ("preset", "init_from")
#: Columns of the configuration's settings that are not hyperparameters.
OF_CONFIG = ("data_seed", "precision", "eval_samples")
#: Settings that all trials of a study share, unless it searches them.
_OF_STUDY = (*OF_CONFIG, "batch_size", "arch_options", "optimizer_options")
#: Why the report leaves a run out, in words that follow "2 trials".
UNFINISHED, PRETRAINED = "not finished", "from trained weights"
COPY = "with the settings and results of another"
OTHER_RERUN = "from reruns of another trial than the best"
PARTIAL_RERUN = "from reruns that vary init or data alone"
#: Columns that hold lists of names, as JSON.
NAMES = ("held", "narrowed", "outside")
#: Task options that figures and claims use.
OPTIONS = ("num_samples", "num_steps")
#: Column -> metric of the `eval` split.
METRICS = {
    "bits": "mutual_information",
    "bits_per_parameter": "bits_per_parameter",
    "bits_per_character": "bits_per_character",
}

COLUMNS = (
    "run", "study", "run_id", "iteration", "is_rerun", "source", "algorithm", "profile", "setting",
    *WORDS, *NUMBERS, "stopped_early", "is_partial", "origin", "activation", "optimizer", *OPTIONS,
    "num_inputs", "max_steps", *METRICS, "held", "narrowed", "outside",
    "fixed", "hparams", "curve", "validation", "lengths", *PROVENANCE, *OF_CONFIG, "excluded",
)  # fmt: skip
#: Columns of JSON, and what they hold.
JSON: dict[str, Any] = {**dict.fromkeys(NAMES, list[str]), "validation": list}
JSON |= {"lengths": list[AtLength], "curve": list[float]}
JSON |= {"setting": dict, "hparams": dict, "fixed": dict}
#: Columns that tables of earlier versions lack.
LATER = (*PROVENANCE, "validation", "lengths", "fixed", *OF_CONFIG, "excluded", "is_partial")


def of_file(
    path: pathlib.Path,
    records: Collection[RunRecord],
    study: Study,
    best: RunRecord | None,
    details: bool,
    defaults: dict[str, dict[str, Any]],
    problems: list[str],
) -> list[dict[str, Any]]:
    """Return a row per record of a file, in the order of their ids.

    Args:
        path: the file.
        records: what it holds.
        study: facts of the directory.
        best: the best trial of the study, None without one.
        details: whether rows have an entry `details`; see `trials.collect`.
        defaults: options of tasks that are not imported; see `options.changed`.
        problems: list to which problems with other files are added.
    """
    rows, searched = {}, _searched_code(records)
    for record in records:
        row = rows[record.run_id] = _row(record, study, path.name, defaults, searched)
        row["is_partial"] = path.name == TRIALS and len(records) < study.num_trials
        if row["is_rerun"] and best and not log.is_rerun(record, best):
            reason = PARTIAL_RERUN if log.repeats(record, best) else OTHER_RERUN
            row["excluded"] = row["excluded"] or reason
        if details:
            row["details"] = _details(record)
        if path.name == RUN:
            found = tolerant(problems, _validation, path.parent, record, problems) or []
            row["validation"] = json.dumps(found)
    return [rows[run_id] for run_id in sorted(rows)]


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
    row |= {name: getattr(record, name) for name in (*WORDS, *NUMBERS, *PROVENANCE)}
    row |= {name: hparams["task_options"].get(name) for name in OPTIONS}
    row |= {column: evaluated.get(name) for column, name in METRICS.items()}
    # Terminals and browsers would obey control characters.
    return {k: printable(value) if isinstance(value, str) else value for k, value in row.items()}


def _of_config(record):
    values = {name: record.config.get(name) for name in OF_CONFIG}
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
    """Return the fields of a record that `read` lacks, and its other metrics on `eval`."""
    found = {name: getattr(record, name) for name in _OTHERS}
    found |= {name: record.config.get(name) for name in _OTHERS_OF_CONFIG}
    found["searched"] = tuple(record.searched)
    evaluated = record.metrics.get("eval", {})
    others = {name: v for name, v in evaluated.items() if name not in ("loss", *METRICS.values())}
    return {"fields": found, "metrics": numbers(others)}


def numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers among metrics, those of a list as NAME.0, NAME.1 and so on."""
    found: dict[str, float] = {}
    for name, value in metrics.items():
        if isinstance(value, list):
            found |= numbers({f"{name}.{index}": each for index, each in enumerate(value)})
        elif isinstance(value, (int, float)):
            found[name] = value
    return found


def _exclusion(record):
    if record.status == "interrupted":
        return UNFINISHED
    # The paper's trials start from random weights.
    is_pretrained = record.config.get("preset") or record.config.get("init_from")
    return PRETRAINED if is_pretrained else ""
