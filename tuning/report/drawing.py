"""Kinds of figures: by size and by trial, over seeds. The paper's and all others share these."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from trainer.display.words import count
from tuning.report import statistics
from tuning.report.chart import Chart, dashes_of
from tuning.report.paper import in_order, label
from tuning.report.selection import SIZE, by_optimizer
from tuning.report.settings import groups, in_words

Select = Callable[[pd.DataFrame], pd.DataFrame]
PARAMETERS, UNITS = "number of parameters", "hidden units per layer"
_BARS = "Points: the median seed by the objective on valid; bars: the range of the seeds."
_EVEN = (
    "Of an even number of seeds, the point lies midway between the middle two, and leads to the "
    "better one."
)
_BANDS = "Lines: the median of the studies; bands: their range."
_ENDED = "Studies that ended earlier keep their last value."
_FEASIBLE = "Medians are of the trials that did not diverge."


def layers(
    trials: pd.DataFrame, chart: Chart, select: Select, others: bool = True
) -> Iterator[pd.DataFrame]:
    """Yield the selected trials of each source, the authors' first; these are faint under others.

    Trials with optimizers that the paper lacks follow in layers of their own if `others` is set. If
    the chart `is_split`, so do trials with other settings.
    """
    is_overlay = trials.source.nunique() > 1
    for source in ("published", "rnn-zoo"):
        selected = select(trials[trials.source == source])
        chart.is_faint = is_overlay and source == "published"
        for optimizer, layer in by_optimizer(selected).items():
            chart.variant = optimizer
            for part in _groups(layer, chart) if len(layer) and (others or not optimizer) else ():
                chart.series.append(part.index)
                yield part


def _groups(layer, chart):
    """Yield the groups of a layer that the chart tells apart."""
    if not chart.is_split:
        yield layer
        return
    found = groups(layer)
    if found.unnamed:
        chart.note(f"Lines also differ in {in_words(found.unnamed)}.")
    for chart.group, part in found.parts:
        yield part
    chart.group = ""


def over_seeds(trials: pd.DataFrame, by: Iterable[str], x: str, y: str) -> pd.DataFrame:
    """The best trial of each group; of several seeds' best trials, the median one.

    A seed without a y, such as one whose trials all diverged, counts as the worst. A further study
    with the settings and the seed of another one counts as another seed.

    Args:
        trials: DataFrame of `trials.read`.
        by: columns that define a group.
        x, y: columns to draw.

    Returns:
        DataFrame with columns x, y, low and high, the range of y over the seeds, `seeds`, their
        number, and `lost`, the number of those without a y. Each row is a trial: of an even number
        of seeds, the better of the middle two, with the mean of their x and y. It has no y if one
        of these seeds has none.
    """
    by = list(by)
    trials = trials.assign(seed=seeds_of(trials, by))
    known = trials[trials[y].notna()]
    bests = statistics.best(known, [*by, "seed"])
    numbers = trials.groupby(by, observed=True).seed.nunique().rename("seeds").reset_index()
    # All groups with a y, so that a lost median has a row too.
    bests = bests.merge(numbers, on=by).sort_values([*by, "objective", "run"])
    of_group = bests.groupby(by, observed=True)
    low, high, found = (of_group[y].transform(name) for name in ("min", "max", "size"))
    bests = bests.assign(x=bests[x], y=bests[y], low=low, high=high, lost=bests.seeds - found)
    place, middle, next_one = of_group.cumcount(), (bests.seeds - 1) // 2, bests.seeds // 2
    of_middle = bests[(place == middle) | (place == next_one)].groupby(by, observed=True)
    for name in ("x", "y"):
        bests[name] = of_middle[name].transform("mean").reindex(bests.index)
    is_lost = next_one >= found
    bests = bests.assign(y=bests.y.mask(is_lost))
    return bests[place == middle.mask(is_lost, 0)].reset_index(drop=True)


def seeds_of(trials: pd.DataFrame, by: Iterable[str]) -> pd.Series:
    """Number the seeds of trials; further studies with equal settings and seed have other numbers.

    The longest of such studies comes first. Trials of another directory that continue a study have
    other iterations than its own, and so the same number.

    Args:
        trials: DataFrame of `trials.read`.
        by: columns of the groups in which seeds are compared.
    """
    of_search = trials[trials.iteration.notna()]
    sizes = of_search.groupby("study", observed=True).run.transform("size")
    order = of_search.assign(size=-sizes).sort_values(["size", "study"], kind="stable")
    cells = order.groupby([*by, "seed", "fixed", "iteration"], observed=True, dropna=False)
    further = cells.cumcount().reindex(trials.index, fill_value=0)
    return trials.assign(further=further).groupby(["seed", "further"], dropna=False).ngroup()


def by_size(chart: Chart, trials: pd.DataFrame, select: Select, x: str, y: str) -> None:
    """Draw a line per architecture and depth through the best trial of each size.

    Args:
        chart: the empty chart.
        trials: all trials.
        select: maps the trials of a source to those to draw.
        x, y: columns to draw.
    """
    lines = [
        (over_seeds(layer, SIZE, x, y), chart.is_faint, chart.variant, chart.group)
        for layer in layers(trials, chart, select)
    ]
    depths = sorted({depth for table, *_ in lines for depth in table.depth})
    chart.dashes_differ = len(depths) > 1
    for table, chart.is_faint, chart.variant, chart.group in lines:
        table = note_seeds(chart, table)
        for arch in in_order(table.arch):
            for depth, line in table[table.arch == arch].groupby("depth"):
                dashes = dashes_of(depth) if len(depths) > 1 else "-"
                chart.line(line.sort_values("x"), arch, dashes)
    for depth in depths if len(depths) > 1 else ():
        chart.key(f"depth {depth}", dashes_of(depth))


def by_group(
    chart: Chart,
    trials: pd.DataFrame,
    select: Select,
    by: Iterable[str],
    x: str,
    y: str,
    others: bool = True,
) -> None:
    """Draw a line per architecture through the best trial of each group, as `by_size` does."""
    for layer in layers(trials, chart, select, others):
        table = note_seeds(chart, over_seeds(layer, by, x, y))
        for arch in in_order(table.arch):
            chart.line(table[table.arch == arch].sort_values("x"), arch)


def note_seeds(chart: Chart, table: pd.DataFrame) -> pd.DataFrame:
    """Explains the bars and the lost seeds of a table of `over_seeds` in the caption.

    Returns:
        The points to draw: the rows of the table that have a y.
    """
    if table.seeds.max() > 1:
        chart.note(_BARS)
    if (table.seeds % 2 == 0).any():
        chart.note(_EVEN)
    several = table[table.seeds > 1]
    for arch in in_order(several.arch[several.lost > 0]):
        each = several[several.arch == arch]
        lost, seeds = int(each.lost.sum()), int(each.seeds.sum())
        without = int(each.y.isna().sum())
        chart.without_median |= {arch} if without else set()
        ending = f"; {count(without, 'point')} without a median not drawn" if without else ""
        chart.note(
            f"{lost:,} of {seeds:,} seeds of {label(arch)} only diverged and count as the worst, "
            f"outside the bars{ending}."
        )
    return table[table.y.notna()]


def chance(chart: Chart, levels: pd.Series, is_always_shown: bool = False) -> None:
    """Draw the line of chance, or put it into the caption if it is far from all points.

    Args:
        chart: the chart.
        levels: y of chance for each of all trials.
        is_always_shown: whether to draw the line however far it is.
    """
    level = levels.loc[sorted(chart.used)].median()
    if not len(chart.points) or np.isnan(level):
        return
    low, high, at = chart.points.y.min(), chart.points.y.max(), level
    if chart.axes.get_yscale() == "log":
        low, high, at = np.log([low, high, at])
    # The points should keep a third of the axis.
    if is_always_shown or max(high, at) - min(low, at) <= 3 * (high - low):
        chart.level(level, "chance")
    else:
        chart.note(f"Chance is at {level:.4g}.")


def by_trial(
    chart: Chart,
    found: pd.DataFrame,
    y: str,
    statistic: str,
    dashes: Any = "-",
    has_band: bool = True,
) -> None:
    """Draw a running statistic of each architecture over the trials of its studies.

    Args:
        chart: the chart.
        found: trials of searches.
        y: column to draw.
        statistic: "median", with a dot per trial; "min"; or "best", the y of the trial that has the
            best objective so far, by which the search chooses.
        dashes: dashes of the lines.
        has_band: whether a band shows the range over several studies, around their median.
    """
    needed = [y, "objective"] if statistic == "best" else [y]
    feasible = found.dropna(subset=needed).sort_values("iteration")
    feasible = feasible.assign(x=feasible.iteration + 1, y=feasible[y])
    for arch in in_order(feasible.arch):
        table, tried = feasible[feasible.arch == arch], found[found.arch == arch]
        running: dict[Any, pd.Series] = {}
        for study, trials in table.groupby("study", observed=True):
            running[study] = _running(trials.set_index("x"), statistic)
            if statistic != "median":
                # The line extends to the last trial, even if that is not the best.
                best = trials[trials.y.to_numpy() == running[study].to_numpy()]
                chart.record(pd.concat([best, best.iloc[[-1]].assign(x=trials.x.iloc[-1])]), arch)
                # Without a feasible trial yet, the study counts as the worst.
                first = tried.iteration[tried.study == study].min() + 1
                running[study] = pd.concat([pd.Series(np.inf, [first]), running[study]])
                running[study] = running[study].groupby(level=0).min()
        if statistic == "median":
            chart.dots(table, arch)
            if len(table) < len(tried):
                chart.note(_FEASIBLE)
        if statistic != "median":
            running |= _lost(chart, tried, table)
        over = pd.DataFrame(running).sort_index().ffill()
        curve = {"x": over.index, "y": over.median(axis=1)}
        if has_band and len(running) > 1:
            finite = over.replace(np.inf, np.nan)
            curve |= {"low": finite.min(axis=1), "high": finite.max(axis=1)}
            chart.note(_BANDS)
        if len({study.index[-1] for study in running.values()}) > 1:
            chart.note(_ENDED)
        drawn = pd.DataFrame(curve).replace(np.inf, np.nan).dropna(subset="y")
        if len(drawn):
            chart.curve(drawn, arch, dashes, step=statistic != "median")


def _lost(chart, trials, feasible):
    """Studies of an architecture without a feasible trial, as infinite; a note counts them."""
    lost = trials[~trials.study.isin(feasible.study)]
    found = {
        study: pd.Series(np.inf, index=sorted(part.iteration + 1))
        for study, part in lost.groupby("study", observed=True)
    }
    if found:
        total, name = trials.study.nunique(), label(trials.arch.iloc[0])
        chart.note(
            f"{len(found):,} of {total:,} studies of {name} only diverged and count as the worst."
        )
    return found


def _running(trials, statistic):
    """A statistic of y over each trial and those before it."""
    if statistic == "best":
        is_best = trials.objective < trials.objective.cummin().shift(fill_value=np.inf)
        return trials.y.where(is_best).ffill()
    return getattr(trials.y.expanding(), statistic)()
