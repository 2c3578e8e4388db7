"""Which trials a figure, a table or a claim is about.

All take the DataFrame of `trials.read` and return some of its rows.
"""

from tuning.report.paper import ARCHS, UNROLLED

#: Columns of the settings that a search is made for.
SIZE = ("arch", "depth", "max_params")


def searched(trials, task, depth=None):
    """Trials of a task's searches, of one depth if one is given.

    They are of the paper's architectures, and no reruns. Smoke runs count where there are no
    others, and of several settings of the task, as sizes of its data set, the one with most trials.
    """
    found = trials[(trials.task == task) & ~trials.is_rerun & trials.arch.isin(ARCHS)]
    if (found.profile != "smoke").any():
        found = found[found.profile != "smoke"]
    if found.setting.nunique() > 1:
        found = found[found.setting == found.setting.value_counts().index[0]]
    return found if depth is None else found[found.depth == depth]


def capacity(trials, depth=None):
    """Those of the capacity task at the T of figure 1."""
    found = searched(trials, "capacity", depth)
    return found[found.num_steps == UNROLLED]


def relu(trials):
    """Those whose nonlinearity is ReLU; an IRNN has no other."""
    return trials[(trials.activation == "relu") | (trials.arch == "irnn")]


def tuned(trials, task, depth=None):
    """One search an architecture and depth, for what is shown by iteration.

    All of one budget: that which most architectures were searched at, then the one with most
    trials. Random hyperparameters are no search, and of several searches counts the longest.
    """
    found = searched(trials, task, depth)
    found = found[found.iteration.notna() & (found.algorithm != "random")]
    found = one_budget(found)
    sizes = found.groupby(["arch", "depth", "study"], observed=True).size()
    longest = sizes.reset_index(name="n").sort_values(["n", "study"], ascending=[False, True])
    kept = longest.groupby(["arch", "depth"], observed=True).head(1)
    return found[found.study.isin(kept.study)]


def untuned(trials, depth=None):
    """Parentheses with hyperparameters at random, of one budget as in `tuned`."""
    found = searched(trials, "parens", depth)
    return one_budget(found[found.algorithm == "random"])


def rerun(trials):
    """The best hyperparameters of parentheses at depth 1 again, of one budget as in `tuned`."""
    found = trials[trials.is_rerun & (trials.task == "parens") & (trials.depth == 1)]
    return one_budget(found[found.arch.isin(ARCHS)])


def one_budget(trials):
    """Those of the budget that most architectures have, then of the one with most trials."""
    if not len(trials):
        return trials
    budgets = trials.groupby("max_params").agg(archs=("arch", "nunique"), runs=("run", "size"))
    budgets = budgets.sort_values(["archs", "runs"]).reset_index()
    return trials[trials.max_params == budgets.max_params.iloc[-1]]


def unrolled(trials):
    """Capacity trials of the one size and depth that has most numbers of time steps."""
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
