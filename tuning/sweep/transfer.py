"""Transfer: a study starts from the best hyperparameters of a smaller one.

Both have the same task, architecture, algorithm and fixed hyperparameters, and their names differ
along one axis alone, the budget or the depth. The source is the next smaller study along this axis.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from trainer.config import read_config
from trainer.errors import UserError
from tuning.config import StudyConfig
from tuning.search import ranges
from tuning.study import consistency, identity
from tuning.study.log import ranked
from tuning.sweep.config import TRANSFERS, Spec, prefix

#: Hyperparameters that grow with the axis, so source and target may fix them at different values.
_SCALED = ("train_steps", "task_options.num_samples")


def sources(specs: Mapping[str, Spec]) -> dict[str, str]:
    """Return target -> source, the names of each study with a transfer and of its source.

    The smallest study along an axis has no source.
    """
    found: dict[str, str] = {}
    known = [spec for spec in specs.values() if spec.is_known]
    for axis in TRANSFERS:
        targets = [spec for spec in known if spec.transfer == axis]
        groups: dict[tuple, list[Spec]] = {}
        for spec in known if targets else ():
            groups.setdefault(_group(spec, axis), []).append(spec)
        for target in targets:
            kin = sorted(groups[_group(target, axis)], key=lambda spec: _size(spec, axis))
            smaller = [spec.name for spec in kin if _size(spec, axis) < _size(target, axis)]
            found |= {target.name: smaller[-1]} if smaller else {}
    return found


def _size(spec, axis):
    return getattr(spec.config, axis)


def _group(spec, axis):
    """Return a key that is equal for studies that differ only along the axis."""
    config, space = spec.config, ranges.of_ranges(spec.config, spec.study)
    held = [each for each in space if each.fixed is not None and each.name not in _SCALED]
    fixed = sorted((each.name, each.fixed) for each in held)
    others = [_size(spec, other) for other in TRANSFERS if other != axis]
    rest = spec.name.removeprefix(prefix(config, spec.study))
    return (config.task, config.arch, *others, spec.study.algorithm, rest, repr(fixed))


class Beginning(NamedTuple):
    """How a study begins.

    Attributes:
        search: the search with its first trial.
        transferred_from: STUDY/RUN_ID of the trial that the first one comes from, or None.
        note: message about the transfer; empty if the study asks for none.
    """

    search: StudyConfig
    transferred_from: str | None = None
    note: str = ""


def begin(
    specs: Mapping[str, Spec], name: str, source: str | None, path: Callable[[str], pathlib.Path]
) -> Beginning:
    """Return how a study begins, which is fixed once it has a study.json.

    Args:
        specs: the studies of the sweep by name.
        name: name of the study.
        source: name of its source, which must be over; None if it has none.
        path: returns the directory of a study.
    """
    search = specs[name].study
    held = identity.read(path(name))
    if held is not None:
        origin = held.get("transferred_from")
        if origin:
            return _transferred(search, held["study"].first, origin)
        return Beginning(search, note="" if source is None else "began without transfer")
    if source is None:
        return Beginning(search)
    found = consistency.read(path(source), vars(specs[source].config))
    if found.foreign:
        return Beginning(search, note=f"starts without transfer: {found.foreign}")
    damage = "".join(f"; {problem}" for problem in found.problems)
    best = next(iter(ranked(found.records.values())), None)
    if best is None:
        note = f"starts without transfer: {source} has no feasible trial{damage}"
        return Beginning(search, note=note)
    try:
        first = first_trial(specs[name], specs[source], best.config)
    except UserError as error:
        return Beginning(search, note=f"starts without transfer from {source}: {error}{damage}")
    begun = _transferred(search, first, f"{source}/{best.run_id}")
    return begun._replace(note=begun.note + damage)


def _transferred(search, first, origin):
    return Beginning(dataclasses.replace(search, first=first), origin, f"starts from {origin}")


def first_trial(target: Spec, source: Spec, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a trial of the source as a point of the target's space.

    Numbers are clipped to their ranges. The number of samples of a capacity task is proportional to
    the budget.

    Args:
        target, source: the studies.
        config: the configuration of the trial, a dict.

    Raises:
        UserError: one of the trial's choices is not in the target's space.
    """
    found = read_config(config, source.name)
    if found.task == "capacity" and "num_samples" in found.task_options:
        ratio = target.config.num_params / source.config.num_params
        samples = round(found.task_options["num_samples"] * ratio)
        options = found.task_options | {"num_samples": samples}
        found = dataclasses.replace(found, task_options=options)
    return ranges.point(found, ranges.of_ranges(target.config, target.study), {})
