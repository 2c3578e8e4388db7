"""The paper's tables, each a function of the DataFrame of `trials.read`.

Each function returns a DataFrame for display, with the paper's own numbers in columns whose names
start with "paper". Missing cells are NaN. `TABLES` lists all tables by the paper's names.
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


def infeasible(trials: pd.DataFrame) -> pd.DataFrame:
    """Table 1: fraction of infeasible trials with random hyperparameters."""
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


def reruns(trials: pd.DataFrame) -> pd.DataFrame:
    """Table App.1: the best hyperparameters of parentheses, rerun with other seeds."""
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


def rerun_studies(trials: pd.DataFrame) -> dict[str, str]:
    """Map each architecture to its study with the most reruns."""
    sizes = (
        rerun(trials).groupby(["arch", "study"], observed=True).size().sort_values(ascending=False)
    )
    return {arch: sizes[arch].index[0] for arch in sizes.index.unique("arch")}


def original_and_reruns(trials: pd.DataFrame, study: str) -> tuple[float | None, pd.DataFrame]:
    """Eval loss of a study's best trial (None if all are infeasible), and its reruns."""
    own = trials[trials.study == study]
    best = statistics.best(own[~own.is_rerun], ["study"]).eval_loss
    return (float(best.iloc[0]) if len(best) else None), own[own.is_rerun]


def welch(trials: pd.DataFrame) -> pd.DataFrame:
    """Table App.2: Welch's t-test for equal mean eval losses of each pair of architectures.

    A negative t means that the mean of the second architecture is larger.
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
    """Specification of a table.

    Attributes:
        title: one line.
        sweep: name of the file in gin_configs/paper that defines the runs, without its suffix.
        depths: depths with rows.
        select: maps all trials to those of the table.
        make: maps all trials to the table.
        note: explanation, with the source of the paper's numbers.
        shares: names of the columns that hold fractions of 1, which page and Markdown show as
            percentages.
    """

    title: str
    sweep: str
    depths: tuple[int, ...]
    select: Callable[[pd.DataFrame], pd.DataFrame]
    make: Callable[[pd.DataFrame], pd.DataFrame]
    note: str
    shares: tuple[str, ...] = ()


#: The paper's tables by name.
TABLES = {
    "1": Table(
        "Infeasible trials with random hyperparameters, parentheses",
        "figure_5",
        (1, 8),
        untuned,
        infeasible,
        "Wilson's 95 % intervals. Source: Table 1, 1000 trials at 200,000 parameters.",
        ("infeasible", "low", "high", "paper"),
    ),
    "App.1": Table(
        "Reruns of the best hyperparameters, parentheses, depth 1",
        "table_app_1",
        (1,),
        rerun,
        reruns,
        "Eval losses in nats; sd is the sample standard deviation. Source: Table App.1, 100 "
        "reruns at 100,000 parameters.",
        ("infeasible", "paper: infeasible"),
    ),
    "App.2": Table(
        "Welch's t-test of mean eval losses, random hyperparameters, parentheses",
        "figure_5",
        (1, 8),
        untuned,
        welch,
        "A negative t means that the mean of the second architecture is larger. Source: Table "
        f"App.2, which prints p below {paper.P_FLOOR} as < {paper.P_FLOOR}.",
    ),
}
