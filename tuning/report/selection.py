"""Selection of the trials of a figure, table or claim.

Each function takes the DataFrame of `trials.read` and returns some of its rows.
"""

import json

import numpy as np
import pandas as pd

from trainer.config import PAPER_OPTIMIZERS
from tuning.report.paper import ARCHS, UNROLLED

#: Columns that identify a search, within a task.
SIZE = ("arch", "depth", "max_params")


def searched(trials: pd.DataFrame, task: str, depth: int | None = None) -> pd.DataFrame:
    """Trials of a task, without reruns and without architectures outside the paper.

    Smoke runs are kept only if there are no others. If the task was run in several settings, such
    as sizes of its data set, only the setting with the most trials is kept.
    """
    found = trials[(trials.task == task) & ~trials.is_rerun & trials.arch.isin(ARCHS)]
    if (found.profile != "smoke").any():
        found = found[found.profile != "smoke"]
    if found.setting.nunique() > 1:
        found = found[found.setting == found.setting.value_counts().index[0]]
    return found if depth is None else found[found.depth == depth]


def holds(trials: pd.DataFrame, name: str) -> np.ndarray:
    """Whether the user fixed a hyperparameter of each trial."""
    return np.asarray(trials.held.map(lambda text: name in json.loads(text)), bool)


def by_optimizer(trials: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Splits trials by optimizer, with the paper's four together under "".

    Trials of an unknown optimizer are under "" too.
    """
    others = [name for name in trials.optimizer.cat.categories if name not in PAPER_OPTIMIZERS]
    found = {"": trials[~trials.optimizer.isin(others)]}
    found |= {name: trials[trials.optimizer == name] for name in others}
    return {name: each for name, each in found.items() if not name or len(each)}


def capacity(trials: pd.DataFrame, depth: int | None = None) -> pd.DataFrame:
    """Trials of the capacity task at the T of figure 1, in studies that search over s()."""
    found = with_each_activation(trials, depth)
    return found[~holds(found, "activation")]


def with_each_activation(trials: pd.DataFrame, depth: int | None = None) -> pd.DataFrame:
    """Trials of the capacity task at the T of figure 1, also in studies that hold s()."""
    found = searched(trials, "capacity", depth)
    return found[found.num_steps == UNROLLED]


def relu(trials: pd.DataFrame) -> pd.DataFrame:
    """Trials with ReLU; the IRNN always has it."""
    return trials[(trials.activation == "relu") | (trials.arch == "irnn")]


def tuned(trials: pd.DataFrame, task: str, depth: int | None = None) -> pd.DataFrame:
    """Trials of searches, for plots by iteration.

    All searches share one budget, chosen as in `one_budget`. Random search is left out.
    """
    found = searched(trials, task, depth)
    return one_budget(found[found.iteration.notna() & (found.algorithm != "random")])


def longest(trials: pd.DataFrame) -> pd.DataFrame:
    """Trials of the longest study of each architecture and depth; ties go to the first by name."""
    sizes = trials.groupby(["arch", "depth", "study"], observed=True).size()
    order = sizes.reset_index(name="n").sort_values(["n", "study"], ascending=[False, True])
    kept = order.groupby(["arch", "depth"], observed=True).head(1)
    return trials[trials.study.isin(kept.study)]


def untuned(trials: pd.DataFrame, depth: int | None = None) -> pd.DataFrame:
    """Trials of parentheses with random hyperparameters, at one budget.

    Trials whose hyperparameters were given or transferred are left out, and so are studies that
    stop trials early.
    """
    found = searched(trials, "parens", depth)
    found = found[(found.algorithm == "random") & ~found.origin.isin(["first", "transfer"])]
    cut = found[found.stopped_early].study.unique()
    return one_budget(found[~found.study.isin(cut)])


def rerun(trials: pd.DataFrame) -> pd.DataFrame:
    """Reruns of the best hyperparameters of parentheses, at depth 1 and one budget."""
    found = trials[trials.is_rerun & (trials.task == "parens") & (trials.depth == 1)]
    return one_budget(found[found.arch.isin(ARCHS)])


def one_budget(trials: pd.DataFrame) -> pd.DataFrame:
    """Trials of the budget with the most architectures; ties go to the one with more trials."""
    if not len(trials):
        return trials
    budgets = trials.groupby("max_params").agg(archs=("arch", "nunique"), runs=("run", "size"))
    budgets = budgets.sort_values(["archs", "runs"]).reset_index()
    return trials[trials.max_params == budgets.max_params.iloc[-1]]


def unrolled(trials: pd.DataFrame) -> pd.DataFrame:
    """Capacity trials at the budget and depth with the most distinct unrolled lengths.

    Architectures with a single length are left out.
    """
    found = searched(trials, "capacity")
    if not len(found):
        return found
    sizes = found.groupby(["max_params", "depth"]).agg(
        lengths=("num_steps", "nunique"), runs=("run", "size")
    )
    size, depth = sizes.sort_values(["lengths", "runs"]).index[-1]
    found = found[(found.max_params == size) & (found.depth == depth)]
    lengths = found.groupby("arch", observed=True).num_steps.nunique()
    return found[found.arch.isin(lengths[lengths > 1].index)]
