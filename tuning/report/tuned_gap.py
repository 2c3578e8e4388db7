"""Whether RNNs catch up with gated cells after equal tuning, as a table and a figure.

A search tunes one cell on parens or arithmetic at depth 1, with the paper's four optimizers or with
another one, over the rest of appendix A. Searches are the samples: each has one score, the loss of
its best trial. Their trials are in the paper's figures too.
"""

import numpy as np
import pandas as pd
from matplotlib import rc_context

from tuning.report import optimizers, statistics
from tuning.report.chart import Chart
from tuning.report.claims import floors
from tuning.report.claims.base import SHALLOW, TOO_FEW
from tuning.report.claims.searches import capped
from tuning.report.paper import GATED, label
from tuning.report.selection import found_by_search, of_paper, tuned, unrestricted, variant, whole

TASKS = ("parens", "arithmetic")
#: Largest difference of losses that is taken as a closed gap, in units of the chance loss.
CLOSE = 0.05
#: Name of the paper's optimizers, one of which each trial has.
PAPER = "the paper's four"
CAPTION = (
    "The loss of a search is that of its best trial on valid, as loss / chance; losses of at least "
    f"{floors.LEARNED} are set to 1. All searches of a task have as many trials and steps. The "
    "searches of an ungated cell with each choice of optimizers are compared with those of the "
    "UGRNN, the GRU and the LSTM together, with the optimizers that suit these best: those of the "
    "smallest median loss on valid. The gap is Hodges and Lehmann's estimate of the shift between "
    "the two samples, and its interval holds the shifts that the Mann-Whitney test does not reject "
    f"at p < 0.05. It is closed if the interval lies below {CLOSE}. Otherwise it remains if the "
    "gated cells' losses are smaller by that test, at p < 0.05 divided by the number of the task's "
    f"rows, or else is undecided. With fewer than {floors.SEARCHES} searches of the cell or of a "
    f'gated one, the verdict is "{TOO_FEW}".'
)
SIZE = (6.0, 3.4)
_GATED = [arch for arch in GATED if arch in SHALLOW]


def select(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials of the searches, with the additional columns `optimizers` and `cell`.

    They pass the floors of the claims, and have equal numbers of trials and steps per task.
    """
    found = floors.evidence(of_paper(trials))
    parts = [tuned(found, task, 1) for task in TASKS]
    found = unrestricted(whole(found_by_search(pd.concat(parts))))
    names = variant(found).replace("", PAPER)
    found = found.assign(optimizers=names, cell=found.arch.astype(str) + " with " + names)
    return statistics.equal_trials(found, ["task"], "cell")


def scores(found: pd.DataFrame) -> pd.DataFrame:
    """A row per search, with the loss of its best trial.

    Args:
        found: trials of `select`.

    Returns:
        DataFrame with the columns task, arch, optimizers, study, `count` (its trials), `ratio`
        (loss / chance on eval, as in `capped`) and `objective` (loss / chance on valid). Both
        losses are 1 for a search whose trials all diverged.
    """
    keys = ["task", "arch", "optimizers", "study"]
    found = found.astype(dict.fromkeys(keys, object))
    sizes = found.groupby(keys).run.size().rename("count").reset_index()
    best = statistics.best(found, keys)
    best = best.assign(ratio=capped(best), objective=best.objective / best.chance_loss)
    table = sizes.merge(best[[*keys, "ratio", "objective"]], how="left", on=keys)
    return table.fillna({"ratio": 1.0, "objective": 1.0})


def table(searches: pd.DataFrame) -> pd.DataFrame:
    """A row per task, ungated cell and choice of optimizers: losses, and the gap.

    Args:
        searches: DataFrame of `scores`.
    """
    rows = []
    for task in TASKS:
        of_task = searches[searches.task == task]
        is_gated = of_task.arch.isin(_GATED)
        gated = of_task[is_gated]
        if not len(gated):
            continue
        suits = gated.groupby("optimizers").objective.median().idxmin()
        reference = gated[gated.optimizers == suits]
        cells = [own for _, own in of_task[~is_gated].groupby(["optimizers", "arch"])]
        cells.sort(key=lambda own: SHALLOW.index(own.arch.iloc[0]))
        cells.sort(key=lambda own: _rank(own.optimizers.iloc[0]))
        rows += [_row(own, reference, len(cells)) for own in cells]
    return pd.DataFrame(rows)


def _rank(names):
    return names != PAPER, names


def _row(own, reference, number):
    """The row of a cell's searches, of which the task has `number`."""
    first = own.iloc[0]
    gap = statistics.shift(own.ratio, reference.ratio)
    p = statistics.mann_whitney(own.ratio, reference.ratio)[1] * number
    decided = optimizers.verdict(gap, p, reference.ratio.min(), CLOSE)
    counts = reference.arch.value_counts()
    is_enough = min(len(own), *(counts.get(arch, 0) for arch in _GATED)) >= floors.SEARCHES
    return {
        **{"task": first.task, "cell": label(first.arch), "optimizers": first.optimizers},
        **{"searches": len(own), "trials per search": int(first["count"])},
        **_summary("loss", own),
        "reference": f"gated cells with {reference.optimizers.iloc[0]}",
        "their searches": len(reference),
        **_summary("their loss", reference),
        **{"gap": gap.value, "gap, low": gap.low, "gap, high": gap.high},
        "the gap": decided if is_enough else TOO_FEW,
    }


def _summary(name, searches):
    low, middle, high = np.quantile(searches.ratio, (0, 0.5, 1))
    return {name: middle, f"{name}, smallest": low, f"{name}, largest": high}


def draw(searches: pd.DataFrame) -> Chart:
    """Draw the loss of each search by cell, a mark per task and choice of optimizers.

    Args:
        searches: DataFrame of `scores`.
    """
    chart = Chart("", "best loss of a search / chance")
    series = list(searches.groupby(["task", "optimizers"]))
    series.sort(key=lambda each: (TASKS.index(each[0][0]), *_rank(each[0][1])))
    with rc_context(chart.style):
        chart.figure.set_size_inches(SIZE)
        cycle = chart.style["axes.prop_cycle"].by_key()
        for number, ((task, names), part) in enumerate(series):
            looks = {key: values[number % len(values)] for key, values in cycle.items()}
            x = part.arch.map(SHALLOW.index) + 0.15 * (number - (len(series) - 1) / 2)
            medians = part.ratio.groupby(x).median()
            style = {"color": looks["color"], "linestyle": "none", "markerfacecolor": "none"}
            (marks,) = chart.axes.plot(x, part.ratio, looks["marker"], **style)
            ends = (medians.index - 0.07, medians.index + 0.07)
            chart.axes.hlines(medians, *ends, color=looks["color"])
            chart.entry(f"{task}, {names}", marks)
        chart.axes.set_xticks(range(len(SHALLOW)), map(label, SHALLOW))
    return chart


def files(found: pd.DataFrame) -> dict[str, str | bytes]:
    """Return the content of the table's and the figure's files by their path in the report.

    Args:
        found: trials of `select`.
    """
    searches = scores(found)
    rows = table(searches)
    if not len(rows):
        return {}
    return optimizers.as_files("tuned_gap", rows, CAPTION, draw(searches))
