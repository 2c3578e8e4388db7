"""The atlas: every cell of the zoo at equal budgets, tuned with equal effort, as one table.

A study is used once all of its trials are finished, so that no cell is compared after fewer trials
than another.
"""

import dataclasses
import functools
import json
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from rnn_zoo.architectures import ARCHITECTURES
from trainer.config import EXPERIMENT, TrainConfig
from trainer.errors import UserError
from trainer.storage import differences
from tuning.options import CORPUS, SEARCHED
from tuning.report import lengths, statistics
from tuning.report.claims.floors import LEARNED
from tuning.report.drawing import over_seeds
from tuning.report.paper import ARCHS, DIMENSIONS, label
from tuning.report.selection import (
    dimensions,
    finished,
    in_studies,
    limits_of,
    task_in_words,
)
from tuning.sweep import config

LEARNS, DIVERGES, SPEED = "trials that learn, %", "trials that diverge, %", "steps per second"
#: Columns that describe a cell, before those that measure it.
FACTS = ("cell", "equations from", "year", "states")
#: Gin file of the project's columns.
FILE = "gin_configs/atlas.gin"
#: The source of the architectures of `ARCHS`.
COLLINS = "Collins et al. 2017"
#: Columns that identify a study of the atlas: those of `trials.read`, and `limits`.
_KEYS = ["task", "arch", "depth", "max_params", "max_steps", "seed", "algorithm", "limits"]
#: Hyperparameters that a gin file may hold.
_HPARAMS = {field.name for field in dataclasses.fields(TrainConfig)} - EXPERIMENT
_HPARAMS -= {"task_options", "train_steps"}
#: Settings that a study of the atlas needs.
_NEEDED = ("task", "arch", "num_params", "train_steps", "seed", "algorithm", "num_trials")


class Measured(NamedTuple):
    """A number of a cell, with its interval.

    Attributes:
        value, low, high: the number and its interval; NaN if all trials diverged. The number alone
            is NaN if the trials of the median seed did.
        run: name of the run behind it; "" if it summarises several.
    """

    value: float
    low: float
    high: float
    run: str = ""

    def __str__(self) -> str:
        if math.isnan(self.low):
            return "all diverged"
        value, low, high = (f"{x:.3g}" if x < 1000 else f"{x:.0f}" for x in self[:3])
        interval = low if low == high else f"{low} to {high}"
        if math.isnan(self.value):
            return f"some seeds diverged ({interval})"
        return value if low == high else f"{value} ({interval})"


class Atlas:
    """The studies of gin files, and the tables that they make.

    Args:
        files: gin files of sweeps, in the order of their columns.

    Attributes:
        studies: DataFrame of the studies, with the heading of the column to which each belongs.
            `multiples` are those of the trained length at which they are measured.
        columns: heading of each column with a task -> that of its studies, and the multiple of the
            trained length.

    Raises:
        UserError: a file cannot be read, or a study in it lacks a setting.
    """

    def __init__(self, files: Sequence[str] = (FILE,)):
        rows = [row for file in files for row in _studies(file)]
        self.studies = pd.DataFrame(rows).drop_duplicates([*_KEYS, "options", "values"])
        self.columns: dict[str, tuple[str, int]] = {}
        for row in self.studies.drop_duplicates("column").itertuples():
            for multiple in row.multiples:
                times = "" if multiple == 1 else f" at {multiple} times the length"
                self.columns[row.column.replace(":", f"{times}:", 1)] = row.column, multiple

    @property
    def first(self) -> str:
        """Heading of the first column."""
        return next(iter(self.columns))

    def select(self, trials: pd.DataFrame) -> pd.DataFrame:
        """The trials of the studies, with the additional columns `num_trials` and `column`.

        A random study of another sweep may have the same task, sizes and seed, but it has other
        ranges or does not begin with the task's defaults.
        """
        found = in_studies(trials, self.studies, _KEYS)
        found = found[np.array([_is_of_study(row) for row in found.itertuples()], bool)]
        begins = found[(found.iteration == 0) & (found.origin == "first")].study
        return found[found.study.isin(begins)]

    def table(self, found: pd.DataFrame) -> pd.DataFrame:
        """A row per architecture, a column per task with a `Measured`, None if not run.

        Args:
            found: trials of `complete`.
        """
        rows = {arch: _facts(arch) for arch in dict.fromkeys([*ARCHITECTURES, *found.arch])}
        for arch, part in found[found.column.isin(self.pooled(found))].groupby(
            "arch", observed=True
        ):
            trials = part[part.origin == "random"]
            learned = (trials.eval_loss < LEARNED * trials.chance_loss).sum()
            rows[arch][LEARNS] = _percent(learned, len(trials))
            rows[arch][DIVERGES] = _percent((trials.status == "infeasible").sum(), len(trials))
        for column, (of_studies, multiple) in self.columns.items():
            for arch, value in _bests(found[found.column == of_studies], multiple).items():
                rows[arch][column] = value
        for arch, value in _speeds(self.timed(found)).items():
            rows[arch][SPEED] = value
        names = [*FACTS, *self.columns, LEARNS, DIVERGES, SPEED]
        filled = [[row.get(name) for name in names] for row in rows.values()]
        return pd.DataFrame(filled, list(rows), names, dtype=object)

    def pooled(self, found: pd.DataFrame) -> list[str]:
        """Columns over which the shares of random trials are pooled.

        These are the columns of all cells that have a result, except cells that need more layers
        than a column has. Before there is one, it is the column of the most cells.
        """
        archs = {name: set(part.arch) for name, part in found.groupby("column")}
        of_cells = self.studies[self.studies.arch.isin(set(found.arch))]
        wanted = of_cells.groupby("column").arch.agg(set)
        common = [name for name in self.columns if name in archs and archs[name] == wanted[name]]
        return common or sorted(archs, key=lambda name: len(archs[name]))[-1:]

    def timed(self, found: pd.DataFrame) -> pd.DataFrame:
        """Trials whose speed is compared: the first column's, on its most frequent device."""
        part = found[(found.column == self.first) & (found.status == "ok")]
        devices = part.device.astype(object).fillna("")
        return part[devices == devices.mode().iloc[0]] if len(part) else part

    def notes(self, found: pd.DataFrame) -> Sequence[str]:
        """Sentences that explain the table's numbers."""
        speeds = self.timed(found)
        devices = sorted({str(each) for each in speeds.device.dropna()}) or ["unknown"]
        of_speeds = (
            "Steps per second are the median of the first column's trials that did not diverge, as "
            f"their records have it (device: {', '.join(devices)}): all steps, over the time from "
            "the first to the last, compilation and measurements included. Other processes on the "
            "machine may have slowed them down.",
        )
        longer = (
            "Columns at a multiple of the length have the same trials as those before them, "
            "measured on longer sequences than they were trained on.",
        )
        return (
            "Results are those of the best trial on the split valid, measured on eval: the median "
            "seed's, and in brackets the range of the seeds. Of two seeds, it is the mean.",
            f"A random trial learns if its loss is below {LEARNED} of chance. Shares are pooled "
            f"over {'; '.join(self.pooled(found))}, with Wilson's 95 % intervals.",
            "The memory task's variance is divided by the share of its numbers for which there is "
            "a unit, so 1 is the best possible.",
            *(of_speeds if len(speeds) else ()),
            "Cells that need two layers have two in all columns, and none at depth 1.",
            *_searched(found),
            *(longer if any(multiple > 1 for _, multiple in self.columns.values()) else ()),
        )


def _studies(file):
    """The studies of a gin file, as far as their cells have enough layers."""
    for values in config.points(file, "laptop"):
        if missing := [name for name in _NEEDED if name not in values]:
            raise UserError(
                f"{file}: a study of the atlas needs {', '.join(missing)} in SweepConfig.grid or "
                "SweepConfig.common"
            )
        # Reports import no modules, so a custom cell may not be registered.
        facts = ARCHITECTURES.get(values["arch"])
        least = facts.min_depth if facts else 1
        if (depth := values.get("depth", least)) >= least:
            yield {
                "file": file,
                **{
                    name: values[name]
                    for name in ("task", "arch", "seed", "algorithm", "num_trials")
                },
                "depth": depth,
                "max_params": values["num_params"],
                "max_steps": values["train_steps"],
                "options": json.dumps(values.get("task_options", {}), sort_keys=True),
                "values": json.dumps(_held(values), sort_keys=True),
                "limits": limits_of(values),
                "multiples": values.get("eval_lengths") or (1,),
                "column": _heading(values),
            }


@functools.cache
def standard() -> Atlas:
    """The atlas of the project's own columns."""
    return Atlas()


def _held(values):
    """The hyperparameters that a study of a gin file holds, by their names in records."""
    return differences.flat({name: values[name] for name in _HPARAMS & values.keys()})


def _heading(values):
    held = "".join(f", {name} {value}" for name, value in sorted(_held(values).items()))
    if values["task"] == "capacity":
        return f"bits per parameter at {values['num_params']:,}{held}"
    if values["task"] == "memory":
        size = values.get("task_options", {}).get("dimensions", DIMENSIONS)
        return f"variance recovered / (units / {size}){held}"
    depth = f", depth {values['depth']}" if "depth" in values else ""
    return f"{task_in_words(values)}{depth}{held}: loss / chance"


def _is_of_study(row):
    """Whether a trial has the settings of the gin file, and no others, and its ranges."""
    wanted, setting = json.loads(row.options), json.loads(row.setting)
    given = {name: value for name, value in setting.items() if value != SEARCHED}
    # A setting lacks options at their default.
    values = json.loads(row.hparams) | {f"task_options.{n}": value for n, value in given.items()}
    others = given.keys() - wanted.keys() - {CORPUS}
    if others or any(values.get(f"task_options.{n}") != value for n, value in wanted.items()):
        return False
    fixed = json.loads(row.values)
    if any(values.get(name) != value for name, value in fixed.items()):
        return False
    held = {name.removeprefix("task_options.") for name in json.loads(row.held)}
    # It is outside the paper only where the gin file has a range or a value.
    ranges = json.loads(row.limits)
    return held <= wanted.keys() | fixed.keys() and all(
        name in fixed or {f"{name} range", f"{name.partition('.')[2]} range"} & ranges.keys()
        for name in json.loads(row.outside)
    )


def complete(found: pd.DataFrame) -> pd.DataFrame:
    """The trials of the finished studies among those of `select`."""
    return finished(found)


def _searched(found):
    """Sentences about columns whose trials differ in task options."""
    for column, settings in found.groupby("column").setting:
        each = [json.loads(setting).items() for setting in settings.unique()]
        options = {name for values in each for name, value in values if value == SEARCHED}
        if options:
            yield (
                f"Each trial of {column} has drawn its own {', '.join(sorted(options))} from the "
                "task's range; its loss is divided by its own chance loss."
            )


def _facts(arch):
    facts = ARCHITECTURES.get(arch)
    if facts is None:
        return dict(zip(FACTS, (label(arch), "", "", ""), strict=True))
    paper = COLLINS if arch in ARCHS else facts.paper.split(", ")[0]
    authors, _, year = paper.rpartition(" ")
    name = label(arch) if facts.min_depth == 1 else f"{label(arch)} (depth {facts.min_depth})"
    return dict(zip(FACTS, (name, authors, year, ", ".join(facts.state_names)), strict=True))


def _percent(count, total):
    return Measured(*(100 * x for x in statistics.share(int(count), total)))


def _bests(part, multiple):
    """Architecture -> best trial of the median seed, with the range over seeds."""
    diverged = Measured(math.nan, math.nan, math.nan)
    # The best are those at the trained length.
    bests = statistics.best(part, ["arch", "seed"]).drop(columns="trials")
    bests = bests.assign(measure=_measure(bests, multiple))
    feasible = part.groupby(["arch", "seed"], observed=True).objective.transform("count")
    rows = over_seeds(pd.concat([bests, part[feasible == 0]]), ["arch"], "units", "measure")
    found = {row.arch: Measured(row.y, row.low, row.high, row.run) for row in rows.itertuples()}
    return dict.fromkeys(part.arch.unique(), diverged) | found


def _measure(part, multiple):
    if multiple > 1:
        found = lengths.rows(part)
        ratios = found[found.multiple == multiple].set_index("run").ratio
        return part.run.map(ratios).astype(float)
    ratio = part.eval_loss / part.chance_loss
    recovered = (1 - ratio) / (part.units / dimensions(part)).clip(upper=1)
    ratio = ratio.where(part.task != "memory", recovered)
    return ratio.where(part.task != "capacity", part.bits_per_parameter)


def _speeds(part):
    """Architecture -> median steps per second, over seeds."""
    seeds = part.groupby(["arch", "seed"], observed=True).steps_per_second.median()
    medians = part.groupby("arch", observed=True).steps_per_second.median()
    ranges = seeds.groupby("arch", observed=True).agg(["min", "max"])
    return {arch: Measured(value, *ranges.loc[arch]) for arch, value in medians.dropna().items()}


def flat(cells: pd.DataFrame) -> pd.DataFrame:
    """The table with the ends of intervals in columns of their own, for CSV."""
    parts: list[pd.Series] = []
    for name in cells:
        if name in FACTS:
            parts.append(cells[name])
            continue
        for number, suffix in enumerate(("", ": low", ": high")):
            values = cells[name].map(lambda each, n=number: math.nan if each is None else each[n])
            parts.append(values.rename(f"{name}{suffix}").astype(float))
    return pd.concat(parts, axis=1)


def in_words(cells: pd.DataFrame) -> pd.DataFrame:
    """The table as text, with "not run" for results that do not exist."""
    return cells.map(lambda each: "not run" if each is None else str(each))
