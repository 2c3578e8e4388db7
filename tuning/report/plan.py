"""A plan that decides the most claims for the least machine time.

Each claim has a `designs.Design`, the studies that can decide it and the way in which they grow.
The power of a design is the probability that the claim's rule reaches a verdict once its studies
are complete. It is estimated from simulations, which complete the existing trials with random ones.
Studies can serve several claims, so claims are ordered by the time that their studies add, and the
power of each is estimated again with all studies of the plan.
"""

import dataclasses
import functools
import os
import pathlib
import pprint
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from rnn_zoo.files import whole
from trainer.display.progress import Display
from trainer.display.words import count, duration
from trainer.errors import UserError
from tuning import trials
from tuning.report import comparisons, designs
from tuning.report.claims import CLAIMS, TOO_FEW
from tuning.report.designs import Design, Point
from tuning.report.evidence import Evidence
from tuning.report.selection import by_optimizer, of_paper
from tuning.sweep import config, estimate

#: Required probability of a verdict.
POWER = 0.8
#: Number of simulations, and the share of them that must end in a verdict: at least 22 of 25. With
#: a power of 80 % this happens in 23 % of cases, with 70 % in 3 %.
SIMULATIONS, REQUIRED = 25, 0.88
#: Sizes of a design that are tried: multiples of its trials or seeds, and of its steps. Searches
#: that have not converged need both.
SCALES = ((1, 1), (2, 1), (3, 1), (4, 1), (4, 2), (4, 4), (8, 4))

Seconds = Callable[[Sequence[Point]], Sequence[float]]


@dataclasses.dataclass(frozen=True)
class Step:
    """One claim of a plan.

    Attributes:
        claim: its name.
        verdict: its current verdict.
        power: probability of a verdict if the paper is right, with the step's studies; if these fit
            into the time, with all studies of the plan; None without studies.
        studies: its studies; none if the claim is decided, or if it has no design.
        runs, hours: number and core-hours of the runs that its studies add to those that
            exist and those of earlier steps.
        total: core-hours of this and all earlier steps; None if the step is left out, for lack of
            time or power.
    """

    claim: str
    verdict: str
    power: float | None
    studies: tuple[Point, ...] = ()
    runs: int = 0
    hours: float = 0.0
    total: float | None = None


def make(
    found: pd.DataFrame,
    hours: float,
    seconds: Seconds,
    names: Iterable[str] | None = None,
    display: Display | None = None,
) -> list[Step]:
    """Plan the studies that decide claims.

    Args:
        found: existing trials, from `trials.read`; those with the paper's optimizers count.
        hours: available core-hours.
        seconds: maps studies to the core-seconds per trial of each.
        names: names of the claims; all if None.
        display: shows the progress, and a line for each claim whose power was estimated.

    Returns:
        The steps: decided claims, then those that fit into the time, in the order in which to
        decide them, then those that are left out, and claims without a design last.
    """
    found = by_optimizer(of_paper(found))[""]
    there = Evidence(found)
    verdicts = {name: CLAIMS[name].check(found).verdict for name in names or CLAIMS}
    steps = [
        Step(name, each, None, total=0.0) for name, each in verdicts.items() if each != TOO_FEW
    ]
    display = display or Display(Console(quiet=True))
    undecided = [name for name, each in verdicts.items() if each == TOO_FEW]
    open_ = _designed([name for name in undecided if name in designs.DESIGNS], there, display)
    points = [point for _, studies in open_.values() for point in studies]
    with display.phase("measuring the time of a trial"):
        costs = _Costs(there, seconds, points)
    total = 0.0
    planned: dict[tuple, int] = {}
    while open_:
        added = {name: costs.added(studies, planned) for name, (_, studies) in open_.items()}
        # Claims without enough power at any size come last.
        name = min(open_, key=lambda name: (open_[name][0] < REQUIRED, added[name][1]))
        reached, studies = open_.pop(name)
        runs, more = added[name]
        fits = reached >= REQUIRED and total + more <= hours
        if fits:
            total += more
            planned |= costs.trials(studies, planned)
        upto = total if fits else None
        steps.append(Step(name, TOO_FEW, reached, studies, runs, more, upto))
    steps.sort(key=lambda step: step.total is None)
    steps = _together(steps, there)
    others = [name for name in undecided if name not in designs.DESIGNS]
    return steps + [Step(name, TOO_FEW, None) for name in others]


def _designed(names, there, display):
    """Return claim -> (power, studies) of the smallest design that has enough power."""
    found = {}
    started, left = time.monotonic(), ""
    for number, name in enumerate(names, 1):
        with display.phase(f"simulating {name}, claim {number} of {len(names)}{left}"):
            reached, studies = _smallest(CLAIMS[name].check, designs.DESIGNS[name], there)
        remaining = (time.monotonic() - started) / number * (len(names) - number)
        left = f", about {duration(remaining)} left"
        found[name] = reached, studies
        display.say(f"{name}: power {reached:.0%} with {count(len(studies), 'study', 'studies')}")
    return found


def studies_of(steps: Iterable[Step], there: Evidence | None = None) -> list[Point]:
    """Return the studies of all steps that fit into the time, each once, in order.

    Args:
        steps: the steps.
        there: the existing trials, whose complete studies are left out; None if there are none.
    """
    largest: dict[tuple, Point] = {}
    for step in steps:
        for point in step.studies if step.total is not None else ():
            key = designs.key(point)
            if key not in largest or largest[key]["num_trials"] < point["num_trials"]:
                largest[key] = point
    counted = [(point, there.count(point) if there else 0) for point in largest.values()]
    return [point for point, count in counted if count < point["num_trials"]]


def gin(points: Iterable[Point], comment: str, merge: bool = True) -> str:
    """Return studies as the text of a gin file for `python -m tuning.sweep`.

    Args:
        points: the studies, which start in this order.
        comment: text of the file's first lines.
        merge: whether studies that differ in few values share an entry of the grid.
    """
    ranked = [{**point, "priority": rank} for rank, point in enumerate(points)]
    entries = designs.entries(ranked, merge)
    grid = pprint.pformat(entries, width=96, sort_dicts=False)
    lines = textwrap.fill(comment, 100, initial_indent="# ", subsequent_indent="# ")
    return f"{lines}\n\nSweepConfig.grid = {grid}\n"


def power(
    check: Callable[[pd.DataFrame], Any],
    studies: Sequence[Point],
    there: Evidence,
    simulations: int | None = None,
    seed: int = 0,
    required: float = 0.0,
) -> float:
    """Estimate the probability that a rule comes to a verdict.

    Args:
        check: maps trials to a `Finding`.
        studies: studies to complete.
        there: the existing trials.
        simulations: number of simulated outcomes; `SIMULATIONS` if None.
        seed: seed of the simulations.
        required: simulations end once they cannot reach this power; the result is then below it.
    """
    simulations = simulations or SIMULATIONS
    generator, verdicts = np.random.default_rng(seed), 0
    for left in reversed(range(simulations)):
        verdicts += check(there.completed(studies, generator)).verdict != TOO_FEW
        if verdicts + left < required * simulations:
            break
    return verdicts / simulations


def _smallest(check, design: Design, there):
    """Return (power, studies) of the smallest design with enough power, or else the largest."""
    for seed, scale in enumerate(SCALES, 1):
        studies = design.studies(*scale)
        # Other simulations for each size, or else several sizes could pass by the same luck.
        # Of designs that are too small, the power of the largest is shown.
        required = REQUIRED if scale != SCALES[-1] else 0.0
        reached = power(check, studies, there, seed=seed, required=required)
        if reached >= REQUIRED:
            break
    return reached, studies


def _together(steps, there):
    """Return the steps with their power once all studies of the plan are complete.

    Studies of one claim can be evidence for another one.
    """
    planned = {step.claim: 0 for step in steps if step.studies and step.total is not None}
    studies, generator = studies_of(steps), np.random.default_rng(len(SCALES) + 1)
    for _ in range(SIMULATIONS if planned else 0):
        table = there.completed(studies, generator)
        for name in planned:
            planned[name] += CLAIMS[name].check(table).verdict != TOO_FEW
    return [
        dataclasses.replace(step, power=planned[step.claim] / SIMULATIONS)
        if step.claim in planned
        else step
        for step in steps
    ]


class _Costs:
    """Core-hours of studies, measured once."""

    def __init__(self, there: Evidence, seconds: Seconds, points: Sequence[Point]):
        self._there = there
        each = {designs.key(point): point for point in points}
        measured = seconds(list(each.values())) if each else ()
        self._seconds: Mapping[tuple, float] = dict(zip(each, measured, strict=True))

    def trials(self, studies: Iterable[Point], planned: Mapping[tuple, int]) -> dict[tuple, int]:
        """Return the number of trials of each study that is larger than planned so far."""
        wanted = {}
        for point in studies:
            key = designs.key(point)
            total = point["num_trials"] + point.get("reruns", 0)
            if total > planned.get(key, self._there.count(point)):
                wanted[key] = total
        return wanted

    def added(self, studies: Sequence[Point], planned: Mapping[tuple, int]) -> tuple[int, float]:
        """Return the number of runs that studies add to those planned, and their hours."""
        before = {designs.key(point): self._there.count(point) for point in studies} | dict(planned)
        added = {key: n - before[key] for key, n in self.trials(studies, planned).items()}
        return sum(added.values()), sum(n * self._seconds[key] for key, n in added.items()) / 3600


def run(
    runs: str | os.PathLike | None,
    out: str | os.PathLike,
    hours: float,
    text8: Mapping[str, str],
    display: Display,
    claims: Iterable[str] | None = None,
) -> None:
    """Plan the studies that decide the most claims, given the trials in a directory of runs.

    OUT/plan.gin    the studies, for `python -m tuning.sweep`
    OUT/plan.csv    the claims in order, with power, studies and core-hours

    Args:
        runs: the directory of runs; None if there are none yet.
        out: directory to write to.
        hours: core-hours that the studies may take.
        text8: options of the task that locate its text, path or source; it is downloaded if empty.
        display: prints the plan.
        claims: names of the claims; all if None.

    Raises:
        UserError: an unknown claim, or a text that cannot be read.
    """
    names = _known(claims)
    found = trials.frame([])
    if runs is not None:
        found, problems = trials.read(runs)
        found = comparisons.without(found)
        for problem in problems:
            display.say(problem)
    if "path" in text8:  # worker processes may have another home directory
        text8 = {"path": os.path.abspath(os.path.expanduser(text8["path"]))}
    _refuse_unreadable(names, text8)
    seconds = functools.partial(_seconds, text8=text8)
    steps = make(found, hours, seconds, names, display)
    table = pd.DataFrame(map(_row, steps))
    rows = [[str(cell) for cell in row] for row in table.itertuples(index=False)]
    display.table(list(table.columns), rows)
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    with whole(out / "plan.csv", "w") as file:
        file.write(table.to_csv(index=False))
    there = Evidence(by_optimizer(of_paper(found))[""])
    studies = studies_of(steps, there)
    display.say(f"{out / 'plan.csv'}")
    if studies:
        _say_places(studies, there, display)
        decided = ", ".join(step.claim for step in steps if step.studies and step.total is not None)
        with whole(out / "plan.gin", "w") as file:
            file.write(gin(studies, f"The studies that decide {decided}, in this order."))
        has_text8 = any(point["task"] == "text8" for point in studies)
        data = "".join(f" --text8_{name}={place}" for name, place in text8.items() if has_text8)
        command = f"python -m tuning.sweep --gin_file={out / 'plan.gin'} --out={runs or 'runs'}"
        number = count(len(studies), "study", "studies")
        display.say(f"{out / 'plan.gin'}: {number}; run with {command}/decide{data}")
    elif any(step.verdict == TOO_FEW for step in steps):
        display.say(f"no open claim can be decided in {hours:g} core-hours")
    else:
        display.say("all of these claims are decided")


def _known(claims):
    """Return the names of claims as a list, or those of all claims for None."""
    names = list(CLAIMS if claims is None else claims)
    if unknown := [name for name in names if name not in CLAIMS]:
        raise UserError(f"unknown claim {', '.join(unknown)}; choose from {', '.join(CLAIMS)}")
    return names


def _refuse_unreadable(names, text8):
    """Refuse an unreadable text, which a claim needs, before minutes of simulations."""
    known = (designs.DESIGNS[name] for name in names if name in designs.DESIGNS)
    points = (point for design in known for point in design.smallest)
    if of_text8 := next((point for point in points if point["task"] == "text8"), None):
        _specs([of_text8], text8)


def _row(step):
    if step.verdict != TOO_FEW:
        note = step.verdict
    elif not step.studies:
        note = "needs the paper's scale"
    elif step.total is not None:
        note = "" if step.power >= POWER else "less power with the plan's other studies"
    else:
        note = "too long" if step.power >= REQUIRED else "too little power"
    return {
        "claim": step.claim,
        "power": "" if step.power is None else f"{step.power:.0%}",
        "studies": len(step.studies),
        "runs added": step.runs,
        "core-hours added": f"{step.hours:.1f}",
        "total": f"{step.total:.1f}" if step.studies and step.total is not None else "",
        "note": note,
    }


def _say_places(studies, there, display):
    """Name the directories of sweeps that hold a part of the planned studies."""
    places: dict[str, int] = {}
    for point in studies:
        for study in there.places(point):
            sweep = study.rpartition("/studies/")[0]
            places[sweep] = places.get(sweep, 0) + 1
    for sweep, number in places.items():
        display.say(
            f"{number} of these studies have trials in the sweep {sweep or '.'}; they continue "
            "there, and a sweep in another directory repeats these trials"
        )


def _seconds(points, text8):
    """Core-seconds per trial of studies, measured on this machine."""
    specs = _specs(points, text8)
    costs = estimate.costs(specs, {spec.name: spec.num_runs for spec in specs})
    return [cost.seconds / cost.runs for cost in costs.values()]


def _specs(points, text8):
    """Studies of a sweep, checked; equal ones once."""
    each = {designs.key(point): point for point in points}
    with tempfile.TemporaryDirectory() as place:
        path = pathlib.Path(place, "plan.gin")
        path.write_text(gin(each.values(), "To be measured.", merge=False))
        return config.parse(str(path), "laptop", data={"text8": text8})[0]
