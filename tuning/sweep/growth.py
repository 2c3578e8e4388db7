"""Growth of a sweep: the union of the studies that it holds and those of a gin file."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from trainer.display.words import count
from trainer.errors import UserError
from trainer.storage.differences import refuse_difference
from tuning.study.identity import comparable, refuse_other
from tuning.sweep import estimate
from tuning.sweep.config import Spec
from tuning.sweep.transfer import sources


class Union(NamedTuple):
    """Studies of a sweep after it has grown.

    Attributes:
        specs: all studies by name, ordered by priority, then by cost. The most expensive come
            first, so that none is left at the end while other processes are idle. A study in
            conflict keeps the sweep's settings.
        conflicts: study name -> error message, for studies that differ in a setting.
        unnamed: names of the sweep's studies that are not among the added ones.
        larger: names of those that keep a larger number of trials, or of reruns, than the added
            ones have.
        transfers: names of the sweep's studies that had no transfer and now have a source.
        repeats: names of added studies -> names of others with the same settings, which the sweep
            has or which are added before them.
    """

    specs: dict[str, Spec]
    conflicts: dict[str, str]
    unnamed: list[str]
    larger: list[str]
    transfers: list[str]
    repeats: dict[str, str]


def union(subject: str, held: Mapping[str, Spec], wanted: Mapping[str, Spec]) -> Union:
    """Add studies to those of a sweep.

    Args:
        subject: the sweep, for error messages.
        held: studies of the sweep by name.
        wanted: studies to add. One that the sweep already holds takes the larger numbers of trials
            and of reruns, and the new transfer, which has no effect once it has begun.
    """
    specs, conflicts = {**held, **wanted}, {}
    for name in filter(held.__contains__, wanted):
        try:
            specs[name] = _grown(subject, held[name], wanted[name])
        except UserError as error:
            specs[name], conflicts[name] = held[name], str(error)
    order = sorted(specs, key=lambda name: (specs[name].priority, -estimate.work(specs[name])))
    unnamed = [name for name in held if name not in wanted]
    larger = [
        name
        for name in wanted.keys() - conflicts.keys()
        if specs[name].num_runs > wanted[name].num_runs
    ]
    transfers = [name for name in sources(specs) if name in held and not held[name].transfer]
    ordered = {name: specs[name] for name in order}
    repeats = _repeats(held, wanted)
    return Union(ordered, conflicts, unnamed, sorted(larger), transfers, repeats)


def _repeats(held, wanted):
    """Return added studies with the settings of another one, of the sweep or added before them."""
    alike: dict[tuple, list[str]] = {}
    for name, spec in {**held, **wanted}.items():
        config = spec.config
        key = config.task, config.arch, config.depth, config.num_params, config.seed
        alike.setdefault(key, []).append(name)
    found = {}
    for names in alike.values():
        if len(names) == 1 or held.keys() >= set(names):  # settings take long to compare
            continue
        known: dict[str, str] = {}
        for name in names:
            other = known.setdefault(_settings(held.get(name) or wanted[name]), name)
            if other != name and name not in held:
                found[name] = other
    return found


def _settings(spec):
    # Whatever part of its trials a search proposes, their seeds are the same.
    study = dataclasses.replace(spec.study, batch=None, initial_points=None)
    return repr((comparable(spec.config, study), study.seed, spec.transfer))


def kept(path: str, merged: Union) -> list[str]:
    """Say what a sweep keeps that its command does not ask for.

    Args:
        path: directory of the sweep.
        merged: its studies after it has grown.
    """
    lines = []
    begun = [
        name for name in merged.transfers if Path(path, "studies", name, "study.json").exists()
    ]
    if begun:
        studies = count(len(begun), "study", "studies")
        lines.append(f"a transfer has no effect on {studies} that had begun: {begun[0]}")
    if merged.unnamed:
        more = count(len(merged.unnamed), "more study", "more studies")
        lines.append(f"{path} keeps {more} that the gin file does not name")
    if merged.repeats:
        studies = count(len(merged.repeats), "study repeats one", "studies repeat others")
        name, other = next(iter(merged.repeats.items()))
        lines.append(
            f"{studies} of {path} with the same settings, as {name} does {other}, and will count "
            "as more seeds; to add seeds, list the new ones alone"
        )
    if merged.larger:
        studies, first = count(len(merged.larger), "study", "studies"), merged.larger[0]
        number = count(merged.specs[first].num_runs, "run")
        lines.append(f"{path} keeps more runs of {studies} than you want: {first} has {number}")
    return lines


def _grown(subject, held, wanted):
    """Return the held study with the larger counts; raise a UserError if settings differ."""
    seeds = {"StudyConfig.seed": held.study.seed}, {"StudyConfig.seed": wanted.study.seed}
    if wanted.study.seed is not None:  # the grid cannot vary it, unlike the other settings
        way_out = "choose another --out, or omit StudyConfig.seed"
        refuse_difference(f"{subject} holds {held.name}", *seeds, way_out)
    refuse_other(
        f"{subject} holds {held.name}",
        comparable(held.config, held.study),
        comparable(wanted.config, wanted.study),
        "choose another --out, or put both values into one list of the grid, so that the names of "
        "the studies differ",
    )
    num_trials = max(held.study.num_trials, wanted.study.num_trials)
    # Ranges of earlier versions lack values that the paper does not tune; see `ranges.settled`.
    names = ("ranges", "first", "keep")
    new = {name: getattr(wanted.study, name) for name in names}
    study = dataclasses.replace(held.study, num_trials=num_trials, **new)
    reruns = max(held.reruns, wanted.reruns)
    return held._replace(
        config=wanted.config,
        study=study,
        reruns=reruns,
        transfer=wanted.transfer,
        priority=wanted.priority,
    )
