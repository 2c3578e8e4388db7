"""The paper's tables, one function each of the DataFrame of `trials.read`, beside its own numbers.

Each returns a DataFrame for people, with the paper's numbers in columns that say so; a missing cell
is NaN. `TABLES` has all of them by the paper's names.
"""

import dataclasses
import math
from collections.abc import Callable

import pandas as pd

from tuning.report import paper, statistics
from tuning.report.paper import LABELS
from tuning.report.selection import rerun, untuned
from tuning.robustness import robustness

_STATISTICS = ("original", "infeasible", "min", "mean", "max", "sd", "sd/mean")


def infeasible(trials):
    """Table 1: the share of infeasible trials among those with random hyperparameters."""
    rows = []
    for depth in (1, 8):
        found = untuned(trials, depth)
        for arch, published in paper.TABLE_1[depth].items():
            if arch == "+rnn" and depth == 1:
                continue
            table = found[found.arch == arch]
            count = int((table.status == "infeasible").sum())
            share = statistics.share(count, len(table))
            rows.append(
                {
                    "architecture": LABELS[arch],
                    "depth": depth,
                    "trials": len(table),
                    "infeasible": share.value,
                    "low": share.low,
                    "high": share.high,
                    "paper": published,
                }
            )
    return pd.DataFrame(rows)


def reruns(trials):
    """Table App.1: the best hyperparameters of parentheses, trained again from other seeds."""
    studies, rows = rerun_studies(trials), []
    for arch, published in paper.TABLE_APP_1.iterrows():
        row = {"architecture": LABELS[arch], "reruns": 0} | dict.fromkeys(_STATISTICS, math.nan)
        if arch in studies:
            original, again = original_and_reruns(trials, studies[arch])
            losses = [None if pd.isna(loss) else loss for loss in again.eval_loss]
            found = robustness(original, losses)
            row |= {name: math.nan if v is None else v for name, v in found.items()}
            row["reruns"] = len(again)
        rows.append(row | {f"paper: {name}": published[name] for name in _STATISTICS})
    return pd.DataFrame(rows)


def rerun_studies(trials):
    """Architecture -> the study whose reruns count: of several, the one with most."""
    sizes = (
        rerun(trials).groupby(["arch", "study"], observed=True).size().sort_values(ascending=False)
    )
    return {arch: sizes[arch].index[0] for arch in sizes.index.unique("arch")}


def original_and_reruns(trials, study):
    """The eval loss of a study's best trial, None if it has none, and its reruns."""
    own = trials[trials.study == study]
    best = statistics.best(own[~own.is_rerun], ["study"]).eval_loss
    return (float(best.iloc[0]) if len(best) else None), own[own.is_rerun]


def welch(trials):
    """Table App.2: Welch's t-test for equal mean eval losses, of each pair of architectures.

    A negative t says that the mean of the second architecture is the larger.
    """
    rows = []
    for each in paper.TABLE_APP_2.sort_values("depth", kind="stable").itertuples():
        found = untuned(trials, each.depth)
        losses = [
            found.eval_loss[found.arch == arch].dropna() for arch in (each.first, each.second)
        ]
        t, df, p = statistics.welch(*losses)
        rows.append(
            {
                "pair": f"{LABELS[each.first]}/{LABELS[each.second]}",
                "depth": each.depth,
                "t": t,
                "df": df,
                "p": p,
                "paper: t": each.t,
                "paper: df": each.df,
                "paper: p": each.p,
            }
        )
    return pd.DataFrame(rows)


@dataclasses.dataclass(frozen=True)
class Table:
    """What the report knows of a table.

    Attributes:
        title: one line.
        sweep: the file of gin_configs/paper whose sweep makes its runs.
        depths: those that it has rows of.
        select: from the trials to those that it is made of.
        make: from the trials to a DataFrame.
        note: what a reader has to know, with the source of the paper's numbers.
    """

    title: str
    sweep: str
    depths: tuple
    select: Callable
    make: Callable
    note: str


#: The paper's tables by name.
TABLES = {
    "1": Table(
        "Infeasible trials among random hyperparameters, parentheses",
        "figure_5",
        (1, 8),
        untuned,
        infeasible,
        "Intervals are Wilson's, of 95 %. The paper's: Table 1, 1000 trials at 200,000 parameters.",
    ),
    "App.1": Table(
        "The best hyperparameters again, parentheses, depth 1",
        "table_app_1",
        (1,),
        rerun,
        reruns,
        "Eval losses in nats, sd of the sample. The paper's: Table App.1, 100 reruns at 100,000 "
        "parameters.",
    ),
    "App.2": Table(
        "Welch's t-test of mean eval losses, random hyperparameters, parentheses",
        "figure_5",
        (1, 8),
        untuned,
        welch,
        "A negative t says that the mean of the second architecture is the larger. The paper's: "
        f"Table App.2, which prints p below {paper.P_FLOOR} as < {paper.P_FLOOR}.",
    ),
}
