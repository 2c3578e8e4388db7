"""Selection of the trials of a figure, table or claim.

Each function takes the DataFrame of `trials.read` and returns some of its rows.
"""

import json

import numpy as np
import pandas as pd

from trainer.optimizers import PAPER_OPTIMIZERS
from tuning.report import statistics
from tuning.report.paper import ARCHS, UNROLLED

#: Columns that identify a search, within a task.
SIZE = ("arch", "depth", "max_params")


def searched(trials: pd.DataFrame, task: str, depth: int | None = None) -> pd.DataFrame:
    """Trials of a task, without reruns, architectures and hyperparameters outside the paper's.

    Smoke runs are kept only if there are no others. If the task was run in several settings, such
    as sizes of its data set, only the setting with the most trials is kept.
    """
    found = trials[(trials.task == task) & ~trials.is_rerun & trials.arch.isin(ARCHS)]
    found = found[(found.outside == "[]").to_numpy(bool)]
    if (found.profile != "smoke").any():
        found = found[found.profile != "smoke"]
    if found.setting.nunique() > 1:
        found = found[found.setting == found.setting.value_counts().index[0]]
    return found if depth is None else found[found.depth == depth]


def holds(trials: pd.DataFrame, name: str) -> np.ndarray:
    """Whether the user fixed a hyperparameter of each trial."""
    return np.asarray(trials.held.map(lambda text: name in json.loads(text)), bool)


def unrestricted(trials: pd.DataFrame) -> pd.DataFrame:
    """Trials whose hyperparameters all range over the whole of appendix A.

    An optimizer outside the paper has to be held, so this is no restriction.
    """
    allowed = np.where(trials.optimizer.isin(PAPER_OPTIMIZERS), "[]", '["optimizer"]')
    free = np.ones(len(trials), bool)
    for names in (trials.held, trials.narrowed):
        given = names.to_numpy(object)
        free &= np.equal(given, "[]").astype(bool) | np.equal(given, allowed).astype(bool)
    return trials[free]


def found_by_search(trials: pd.DataFrame) -> pd.DataFrame:
    """Trials that a search found on its own, for comparisons after equal tuning.

    First trials with given hyperparameters are left out, and so are whole studies with a
    transferred trial.
    """
    helped = trials.study[trials.origin == "transfer"].unique()
    return trials[(trials.origin != "first").to_numpy(bool) & ~trials.study.isin(helped)]


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

    All searches share one budget, chosen as in `one_budget`. Random search is left out. All
    architectures of a depth have the same number of steps.
    """
    found = searched(trials, task, depth)
    found = one_budget(found[found.iteration.notna() & (found.algorithm != "random")])
    return statistics.equal_steps(found, ["depth"])


def longest(trials: pd.DataFrame) -> pd.DataFrame:
    """Trials of the longest study of each architecture and depth; ties go to the first by name."""
    sizes = trials.groupby(["arch", "depth", "study"], observed=True).size()
    order = sizes.reset_index(name="n").sort_values(["n", "study"], ascending=[False, True])
    kept = order.groupby(["arch", "depth"], observed=True).head(1)
    return trials[trials.study.isin(kept.study)]


def untuned(trials: pd.DataFrame, depth: int | None = None) -> pd.DataFrame:
    """Trials of parentheses with random hyperparameters, at one budget.

    Trials whose hyperparameters were given, transferred, held or narrowed are left out, and so are
    studies that stop trials early. All architectures of a depth have the same number of steps.
    """
    found = searched(trials, "parens", depth)
    found = found[(found.algorithm == "random") & ~found.origin.isin(["first", "transfer"])]
    found = one_budget(unrestricted(whole(found)))
    return statistics.equal_steps(found, ["depth"])


def whole(trials: pd.DataFrame) -> pd.DataFrame:
    """Trials of studies that stop none early."""
    return trials[~trials.study.isin(trials.study[trials.stopped_early].unique())]


def rerun(trials: pd.DataFrame) -> pd.DataFrame:
    """Reruns of the best hyperparameters of parentheses, at depth 1 and one budget."""
    found = trials[trials.is_rerun & (trials.task == "parens") & (trials.depth == 1)]
    return one_budget(found[found.arch.isin(ARCHS) & (found.outside == "[]").to_numpy(bool)])


def one_budget(trials: pd.DataFrame) -> pd.DataFrame:
    """Trials of the budget with the most architectures; ties go to the one with more trials."""
    if not len(trials):
        return trials
    budgets = trials.groupby("max_params").agg(archs=("arch", "nunique"), runs=("run", "size"))
    budgets = budgets.sort_values(["archs", "runs"]).reset_index()
    return trials[trials.max_params == budgets.max_params.iloc[-1]]


def unrolled(trials: pd.DataFrame) -> pd.DataFrame:
    """Capacity trials at the budget and depth with the most distinct unrolled lengths.

    Architectures with a single length are left out, and so are studies that hold s().
    """
    found = searched(trials, "capacity")
    found = found[~holds(found, "activation")]
    if not len(found):
        return found
    sizes = found.groupby(["max_params", "depth"]).agg(
        lengths=("num_steps", "nunique"), runs=("run", "size")
    )
    size, depth = sizes.sort_values(["lengths", "runs"]).index[-1]
    found = found[(found.max_params == size) & (found.depth == depth)]
    lengths = found.groupby("arch", observed=True).num_steps.nunique()
    return found[found.arch.isin(lengths[lengths > 1].index)]
