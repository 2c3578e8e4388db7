"""Figures of any task, also outside the paper: loss by size, trial, depth and length, stored bits.

Each setting of a task, such as another number of time steps, has figures of its own.

Losses are divided by the chance loss of their trial, so that 1 is chance in every figure. A task
whose objective is not its loss, such as capacity, shows the objective instead.
"""

import hashlib
import re
from functools import partial

import numpy as np
import pandas as pd

from tuning.report import lengths, statistics
from tuning.report.chart import Chart
from tuning.report.drawing import (
    PARAMETERS,
    UNITS,
    Select,
    by_group,
    by_size,
    by_trial,
    chance,
    layers,
    note_seeds,
    over_seeds,
    seeds_of,
)
from tuning.report.figures import Panel
from tuning.report.paper import in_order, label
from tuning.report.selection import (
    has_loss_as_objective,
    in_words,
    of_task,
    one_budget,
    other_options,
    settings,
)

#: Ratio of the largest to the smallest value above which an axis is logarithmic.
WIDE = 8
_BITS = "stored bits"
#: Kind of figure -> words for the trials that it leaves out for no reason of `SELECTS_BY`.
_REST = {"lengths": "not measured at other lengths"}
#: Columns of `captions.REASONS` by which these figures select.
SELECTS_BY = ("source", "is_rerun", "setting", "profile", "depth", "max_params", "num_steps")


def panels(trials: pd.DataFrame) -> dict[str, Panel]:
    """The figures of every task in a DataFrame of `trials.read`, by name: TASK-parameters, ...

    Those of further settings of a task are TASK-SETTING-parameters, ...
    """
    found = {}
    for task in sorted(trials.task.dropna().unique()):
        part = trials[trials.task == task]
        # The authors' trials have one setting per task.
        first, *others = settings(part[part.source == "rnn-zoo"]) or [""]
        for setting in (None, *others):
            place = f"{task}-{_slug(setting)}" if setting else task
            words = in_words(setting or first) if others else other_options(first or "{}", task)
            words = f", {words}" if words else ""
            found_in = part[part.setting == (setting or first)] if others else part
            for kind, title, select, draw in _kinds(task, setting, found_in):
                found[f"{place}-{kind}"] = Panel(
                    title + words, task, "", (), select, partial(draw, select),
                    rest=_REST.get(kind, "outside a search"), selects_by=SELECTS_BY,
                )  # fmt: skip
    return found


def _slug(setting):
    """A setting as part of a file's name, whose length is limited."""
    text = re.sub(r"[^\w.=+-]+", "_", in_words(setting), flags=re.ASCII)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return text if len(text) <= 80 else f"{text[:70]}-{digest}"


def _kinds(task, setting, trials):
    what = "Loss" if has_loss_as_objective(trials) else "Objective"
    every: Select = partial(_comparable, task=task, setting=setting)
    of_budget: Select = lambda each: one_budget(every(each))  # noqa: E731
    yield "parameters", f"{what} by number of parameters", every, by_parameters
    yield "units", f"{what} by units per layer", every, by_units
    if trials.iteration.notna().any():
        title = f"{what} by trial, best so far and median"
        yield "trials", title, lambda each: _one_size(_searched(every(each))), by_iteration
    if of_budget(trials).depth.nunique() > 1:
        yield "depth", f"{what} by depth", of_budget, by_depth
    if trials.bits_per_parameter.notna().any():
        yield "bits", "Bits per parameter", every, by_bits
    if (trials.lengths != "[]").any():
        of_lengths: Select = lambda each: _one_size(every(_measured(each)))  # noqa: E731
        what = "Accuracy" if lengths.have_accuracy(lengths.rows(trials)) else "Loss"
        yield "lengths", f"{what} beyond the trained length", of_lengths, by_length


def by_parameters(select: Select, trials: pd.DataFrame) -> Chart | None:
    """Best trial of each size, by number of parameters."""
    return _sizes(select, trials, "num_params", PARAMETERS)


def by_units(select: Select, trials: pd.DataFrame) -> Chart | None:
    """Best trial of each size, by units per layer."""
    return _sizes(select, trials, "units", UNITS)


def _sizes(select, trials, x, name):
    chart, trials, level = _chart(select, trials, name, "log")
    by_size(chart, trials, select, x, "measure")
    chance(chart, level, is_always_shown=True)
    return chart.or_none()


def by_bits(select: Select, trials: pd.DataFrame) -> Chart | None:
    """Bits per parameter of the best trial of each size."""
    chart = Chart(PARAMETERS, "bits per parameter", "log")
    chart.is_split = True
    by_size(chart, trials, select, "num_params", "bits_per_parameter")
    chart.axes.set_ylim(bottom=0)
    return chart.or_none()


def by_iteration(select: Select, trials: pd.DataFrame) -> Chart | None:
    """Best so far (solid) and running median (dashed) over the trials of searches of one size.

    The best is that by the objective on the split valid, as in the other figures.
    """
    chart, trials, level = _chart(select, trials, "trial", "linear")
    chart.dashes_differ = True
    for layer in layers(trials, chart, select):
        by_trial(chart, layer, "measure", "best")
        by_trial(chart, layer, "measure", "median", "--", has_band=False)
    chart.key("best so far", "-")
    chart.key("median", "--")
    chart.whole_numbers()
    chance(chart, level, is_always_shown=True)
    return chart.or_none()


def by_depth(select: Select, trials: pd.DataFrame) -> Chart | None:
    """Best trial of each depth, at one budget."""
    chart, trials, level = _chart(select, trials, "depth", "linear")
    by_group(chart, trials, select, ("arch", "depth"), "depth", "measure")
    chart.whole_numbers(sorted(set(chart.points.x)))
    chance(chart, level, is_always_shown=True)
    return chart.or_none()


def by_length(select: Select, trials: pd.DataFrame) -> Chart | None:
    """Best trial of each architecture at multiples of the trained length, at one size."""
    found = lengths.rows(select(trials))
    has_accuracy = lengths.have_accuracy(found)
    measure, name = "ratio", "eval loss / chance loss"
    if has_accuracy:
        measure = name = "accuracy"
    chart = Chart("time steps / trained time steps", name, y_scale=_scale(found[measure].dropna()))
    chart.is_split = True
    for layer in layers(trials, chart, select):
        points = _at_each_length(layer.assign(seed=seeds_of(layer, ["arch"])))
        _note_infinite(chart, points[points.objective.notna()])
        table = over_seeds(points, ["arch", "multiple"], "multiple", measure)
        table = note_seeds(chart, table)
        for arch in in_order(table.arch):
            chart.line(table[table.arch == arch].sort_values("x"), arch)
    chart.whole_numbers(sorted(set(chart.points.x)))
    if not has_accuracy:
        chance(chart, trials.chance_loss * 0 + 1, is_always_shown=True)
    return chart.or_none()


def _at_each_length(trials):
    """The best trial of each seed at each length; of a seed that only diverged, any trial."""
    points = lengths.rows(statistics.best(trials, ["arch", "seed"]).drop(columns="trials"))
    feasible = trials.groupby(["arch", "seed"], observed=True).objective.transform("count")
    lost = trials[feasible == 0].drop_duplicates(["arch", "seed"])
    multiples = points[["arch", "multiple"]].drop_duplicates()
    return pd.concat([points, lost.merge(multiples, on="arch")], ignore_index=True)


def _measured(trials):
    """Trials that were measured at other lengths, and diverged ones of the same architectures."""
    is_measured = trials.lengths != "[]"
    has_diverged = (trials.status == "infeasible") & trials.arch.isin(trials.arch[is_measured])
    return trials[is_measured | has_diverged]


def _note_infinite(chart, points):
    """Say in the caption where the loss of an architecture is not finite."""
    lost = points[points.ratio.isna()]
    for arch in in_order(lost.arch):
        multiples = sorted(set(lost.multiple[lost.arch == arch]))
        times = " and ".join(map(str, multiples))
        chart.note(f"The loss of {label(arch)} is not finite at {times} times the length.")


def _comparable(trials, task, setting):
    """Trials of a task; those of capacity, with any T in one setting, at the most frequent T."""
    found = of_task(trials, task, setting=setting)
    if task == "capacity" and len(found):
        return found[found.num_steps == found.num_steps.mode().iloc[0]]
    return found


def _searched(trials):
    return trials[trials.iteration.notna()]


def _one_size(trials):
    """Trials of one budget and depth, those with the most architectures."""
    found = one_budget(trials)
    if not len(found):
        return found
    depths = found.groupby("depth").agg(archs=("arch", "nunique"), runs=("run", "size"))
    return found[found.depth == depths.sort_values(["archs", "runs"]).index[-1]]


def _chart(select, trials, x, x_scale):
    """Return an empty chart, the trials with the column `measure`, and its values at chance."""
    used, level = select(trials), trials.chance_loss * np.nan
    if not has_loss_as_objective(used):
        has_bits = used.bits.notna().any()
        measure = trials["bits" if has_bits else "objective"]
        name = _BITS if has_bits else "objective (lower is better)"
    elif (used.chance_loss > 0).all():
        measure, name = trials.eval_loss / trials.chance_loss, "eval loss / chance loss"
        level = level.fillna(1.0)
    else:
        measure, name = trials.eval_loss, "eval loss"
    chart = Chart(x, name, x_scale, _scale(measure[used.index].dropna()))
    chart.is_split = True
    return chart, trials.assign(measure=measure), level


def _scale(values):
    """Scale of an axis for these values."""
    is_wide = len(values) and values.max() > WIDE * values.min() > 0
    return "log" if is_wide else "linear"
