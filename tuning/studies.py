"""Facts that the files of studies and sweeps state about all of their trials."""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NotRequired, TypedDict

from rnn_zoo.json_types import Count
from trainer.display.words import count, printable
from trainer.errors import UserError
from trainer.storage import json_files
from tuning.search.hyperparameter import from_json, of_range, short_names
from tuning.study import consistency, identity, log


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
        num_runs: number of trials and reruns to expect; 0 if it is unknown, or if a file that is
            written with the trials counts those that have ended.
        num_trials: number of trials that it is to have, by its own settings or by its sweep's; 0 if
            unknown.
    """

    name: str
    algorithm: str | None = None
    profile: str | None = None
    max_steps: int | None = None
    narrowed: tuple[str, ...] = ()
    search: Mapping[str, str] = dataclasses.field(default_factory=dict)
    config: identity.ConfigFacts | None = None
    num_runs: int = 0
    num_trials: int = 0


def read(
    path: pathlib.Path,
    directory: str | os.PathLike,
    sweeps: dict[pathlib.Path, Any],
    problems: list[str],
) -> Study:
    """Read the facts of a study.

    Args:
        path: its directory.
        directory: the directory that is read.
        sweeps: facts of the sweeps that were read before, to which those of its own are added.
        problems: list to which problems are added, as sentences.
    """
    name = path.relative_to(directory).as_posix()
    # It becomes a column of text, a label and a file's name.
    name = printable(path.resolve().name if name == "." else name)
    # A sweep keeps its studies in OUT/studies/NAME.
    is_of_sweep, sweep = path.parent.name == "studies", path.parent.parent
    if is_of_sweep and sweep not in sweeps:
        sweeps[sweep] = of_sweep(sweep, problems)
    facts = tolerant(problems, identity.read, path, identity.Facts) or {}
    study = facts.get("study", {})
    if identity.is_lost(path):
        problems.append(f"{path} has lost its study.json, so its ranges are unknown")
    of_all = sweeps[sweep] if is_of_sweep else {}
    wanted = of_all.get("studies", {}).get(path.name, {})
    if "studies" in of_all and not wanted:
        problems.append(f"{path} is not among the studies that sweep.json names")
    if wanted:
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
        0 if _is_counted(path) else facts.get("num_trials", 0) + wanted.get("reruns", 0),
        max(each.get("num_trials", 0) for each in (facts, wanted.get("study", {}))),
    )


def limits(search: Mapping[str, Any]) -> dict[str, str]:
    """Return the early stopping of a search, if it has any, and its ranges, in words by name.

    Args:
        search: fields of a `StudyConfig`, as in study.json. Single values are left out: they are
            settings of the trials.
    """
    stopping = search.get("early_stopping", "none")
    found = {} if stopping == "none" else {"early_stopping": stopping}
    ranges = _ranges(search)
    return found | {f"{each.name} range": str(each) for each in ranges if each.fixed is None}


def _ranges(search):
    """Yield the ranges that the user set; malformed ones, of a damaged file, are left out."""
    for name, wanted in short_names(search.get("ranges", {})).items():
        with contextlib.suppress(UserError, LookupError, TypeError, ValueError, ArithmeticError):
            yield of_range(name, from_json(wanted), "the user")


def _max_steps(facts):
    """Return the largest number of steps of a study's trials, None if it is unknown."""
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
    reruns: NotRequired[Count]


def of_sweep(sweep: pathlib.Path, problems: list[str]) -> dict[str, Any]:
    """Return what a sweep's sweep.json has, such as its profile; empty without a readable one.

    Args:
        sweep: its directory.
        problems: list to which a problem with the file is added. A directory named `studies` may
            hold single studies: the file is missed only if others show that there was one.

    Returns:
        Dict with `profile` and `studies`, a dict from name to facts, of those that the file has.
        Invalid facts of a study are left out.
    """
    if not (sweep / "sweep.json").exists() and (
        (sweep / "sweep.gin").exists() or any(_states(sweep))
    ):
        problems.append(f"{sweep} has lost its sweep.json, so its profile is unknown")
    facts = dict(tolerant(problems, json_files.read, sweep / "sweep.json", _Manifest) or {})
    if "studies" in facts:
        named = {}
        for each in facts["studies"]:
            with contextlib.suppress(json_files.Damaged):
                entry = json_files.checked(each, _Named, "sweep.json")
                named[entry["name"]] = entry
        facts["studies"] = named
    return facts


def _states(sweep):
    """Yield the states of a sweep's studies."""
    return (sweep / "states").glob("*.json")


def _is_counted(study):
    """Whether a study's search, or the state of its sweep, says how many trials have ended."""
    state = study.parent.parent / "states" / f"{study.name}.json"
    return (study / log.ENDED[log.TRIALS]).exists() or (
        study.parent.name == "studies" and state.exists()
    )


class _State(TypedDict, total=False):
    """Facts of a study in a sweep's states/."""

    trials: Count


def lost(
    sweep: pathlib.Path,
    directory: pathlib.Path,
    counts: Mapping[pathlib.Path, int],
    problems: list[str],
) -> Iterator[str]:
    """Yield a sentence for each study of a sweep that once had more trials, or that is gone.

    Args:
        sweep, directory: the sweep, and the directory that is read.
        counts: the trials that were read, by study.
        problems: list to which problems with files are added.
    """
    states = sorted(_states(sweep))
    for path in states:
        study = sweep / "studies" / path.stem
        if not study.is_relative_to(directory):
            continue
        had = (tolerant(problems, json_files.read, path, _State) or {}).get("trials", 0)
        if lacking := _lacking(study, counts.get(study, 0), had):
            yield f"{study} lost {lacking} of its {count(had, 'finished run')}"
    # A sweep that is published without states is finished.
    if not states:
        for name in of_sweep(sweep, problems).get("studies", {}):
            study = sweep / "studies" / name
            if study.is_relative_to(directory) and study not in counts:
                yield f"{study}, which sweep.json names, is lost"


def unfinished(study: pathlib.Path, facts: Study, number: int) -> Iterator[str]:
    """Yield a sentence if a study without the files of its search has too few runs.

    Args:
        study, facts: its directory, and what `read` returned for it.
        number: the trials and reruns that were read.
    """
    wanted = facts.num_runs
    if lacking := _lacking(study, number, wanted):
        has = f"{study} has {wanted - lacking} of its {count(wanted, 'run')}"
        yield f"{has}: it was not finished, or lost the others"


def _lacking(study, number, wanted):
    """Return how many of the wanted runs a study lacks if `number` were read."""
    if number >= wanted:
        return 0
    # Damaged lines and logs that cannot be read are problems of their own, and lines may have come
    # since they were read.
    left = log.num_lines(study)
    return 0 if left is None else max(0, wanted - left)


def tolerant(problems: list[str], read_file: Callable, *arguments: Any) -> Any:
    """Call a function that reads a file; return None if it cannot, and add to the problems."""
    try:
        return read_file(*arguments)
    except FileNotFoundError:
        pass
    except UserError as error:
        problems.append(str(error))
    except OSError as error:
        problems.append(f"{error.filename}: {error.strerror}")
    return None
