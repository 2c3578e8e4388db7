"""Selection of the trials of a figure, table or claim.

Each function takes the DataFrame of `trials.read` and returns some of its rows.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from trainer.display.words import printable
from trainer.optimizers import PAPER_OPTIMIZERS
from trainer.tasks.corpus import TEXT8
from tuning.options import CORPUS
from tuning.report import statistics
from tuning.report.paper import ARCHS, DIMENSIONS, TRIALS, UNROLLED
from tuning.search.hyperparameter import to_json
from tuning.studies import limits as search_limits

#: Columns that identify a search, within a task.
SIZE = ("arch", "depth", "max_params")
#: Values of `outside` of the trials that are within the paper's ranges; see `within`.
WITHIN = ("[]", '["optimizer"]')


def of_paper(trials: pd.DataFrame) -> pd.DataFrame:
    """Trials of the paper's architectures and tasks, which alone decide its claims and tables."""
    return trials[trials.arch.isin(ARCHS) & trials.task.isin(TRIALS)]


def within(trials: pd.DataFrame) -> np.ndarray:
    """Whether all hyperparameters are within the paper's ranges, whatever the optimizer.

    Trials with an optimizer that the paper lacks are told apart by `variant`.
    """
    return trials.outside.isin(WITHIN).to_numpy(bool)


def searched(trials: pd.DataFrame, task: str, depth: int | None = None) -> pd.DataFrame:
    """Trials of a task, without reruns and hyperparameters outside the paper's ranges.

    If the task was run in several settings, such as sizes of its data set, only the first of
    `settings` is kept. Smoke runs are kept only if there are no others.
    """
    return of_task(trials[within(trials)], task, depth)


def of_task(
    trials: pd.DataFrame, task: str, depth: int | None = None, setting: str | None = None
) -> pd.DataFrame:
    """Trials of one setting of a task, chosen as in `searched`, with any hyperparameters."""
    found = trials[(trials.task == task) & ~trials.is_rerun]
    if setting is not None or found.setting.nunique() > 1:
        found = found[found.setting == (setting or settings(found)[0])]
    if (found.profile != "smoke").any():
        found = found[found.profile != "smoke"]
    return found if depth is None else found[found.depth == depth]


def settings(trials: pd.DataFrame) -> list[str]:
    """The settings of a task: those with the most architectures first, then the most trials.

    Ties go to the one with the fewest options that are not the defaults. Settings that have only
    smoke runs or reruns come last.
    """
    is_full = (trials.profile != "smoke") & ~trials.is_rerun

    def size(setting):
        of_setting = trials.setting == setting
        found = [trials[of_setting & is_full], trials[of_setting]]
        return [number for each in found for number in (each.arch.nunique(), len(each))]

    found = sorted(trials.setting.dropna().unique(), key=lambda each: (len(json.loads(each)), each))
    return sorted(found, key=size, reverse=True)


def in_words(setting: str) -> str:
    """Write the task options of a setting briefly; the hash of a text is cut."""
    return _in_words(json.loads(setting)) or "default options"


def other_options(setting: str, task: str) -> str:
    """Write the options of a task that are not the defaults; "" if all are.

    That a text is another one than text8 is said as well.
    """
    options = json.loads(setting)
    is_other = options.pop(CORPUS, TEXT8.sha256) != TEXT8.sha256 and task == "text8"
    return ", ".join(filter(None, (_in_words(options), "not the full text8" if is_other else "")))


def task_in_words(values: Mapping[str, Any]) -> str:
    """Write the task of a study in a gin file, with its options."""
    return ", ".join((values["task"], *filter(None, [_in_words(values.get("task_options", {}))])))


def _in_words(options):
    words = (n if value is True else f"{n}={str(value)[:12]}" for n, value in options.items())
    return printable(" ".join(words))


def has_loss_as_objective(trials: pd.DataFrame) -> bool:
    """Whether the objective of a task is its loss on `valid`."""
    losses = trials.valid_loss.fillna(trials.eval_loss)
    known = trials.objective.notna() & losses.notna()
    return np.allclose(trials.objective[known], losses[known], rtol=1e-3)


def holds(trials: pd.DataFrame, name: str) -> np.ndarray:
    """Whether the user fixed a hyperparameter of each trial."""
    return np.asarray(trials.held.map(lambda text: name in json.loads(text)), bool)


def limits(trials: pd.DataFrame) -> pd.Series:
    """Ranges and early stopping that the user set in each trial's study, as JSON."""

    def of_settings(text):
        settings = json.loads(text)
        names = [name for name in settings if name.endswith(" range") or name == "early_stopping"]
        return _sorted({name: settings[name] for name in names})

    return trials.fixed.astype(object).map(of_settings)


def limits_of(values: Mapping[str, Any]) -> str:
    """The `limits` of a study of a sweep's grid, from its values."""
    ranges = {name: to_json(wanted) for name, wanted in values.get("ranges", {}).items()}
    return _sorted(search_limits({**values, "ranges": ranges}))


def _sorted(values):
    return json.dumps(values, sort_keys=True)


def in_studies(trials: pd.DataFrame, studies: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Trials of the studies of a gin file, with the columns of the studies and `limits`.

    Args:
        trials: all trials.
        studies: a row per study.
        keys: columns that a study shares with its trials.
    """
    found = trials[~trials.is_rerun & trials.iteration.notna() & (trials.profile != "smoke")]
    found = found.assign(limits=limits(found))
    return found.reset_index().merge(studies, on=list(keys)).set_index("index").sort_index()


def finished(trials: pd.DataFrame) -> pd.DataFrame:
    """The first `num_trials` trials of each study, without studies that have fewer."""
    size = trials.groupby("study", observed=True).run.transform("size")
    return trials[(size >= trials.num_trials) & (trials.iteration < trials.num_trials)]


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


def variant(trials: pd.DataFrame) -> pd.Series:
    """Optimizer of each trial if the paper lacks it; "" for the paper's four and unknown ones."""
    names = trials.optimizer.astype(object)
    return names.where(names.notna() & ~names.isin(PAPER_OPTIMIZERS), "")


def by_optimizer(trials: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Split trials by `variant`. There is always an entry for "", even if it is empty."""
    names = variant(trials)
    return {name: trials[names == name] for name in ["", *sorted({*names} - {""})]}


def capacity(trials: pd.DataFrame, depth: int | None = None) -> pd.DataFrame:
    """Trials of the capacity task at the T of figure 1, in studies that search over s()."""
    found = with_each_activation(trials, depth)
    return found[~holds(found, "activation")]


def with_each_activation(trials: pd.DataFrame, depth: int | None = None) -> pd.DataFrame:
    """Trials of the capacity task at the T of figure 1, also in studies that hold s()."""
    found = searched(trials, "capacity", depth)
    return found[found.num_steps == UNROLLED]


def dimensions(trials: pd.DataFrame) -> pd.Series:
    """Number of dimensions of the vector of memory trials, the paper's where it is not known."""
    return trials.num_inputs.astype(float).fillna(DIMENSIONS)


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
    return _equally_long(found)


def longest(trials: pd.DataFrame) -> pd.DataFrame:
    """Trials of the longest study of each architecture, optimizer, depth and seed.

    Ties go to the first study by name.
    """
    by = ["arch", "variant", "depth", "seed"]
    table = trials.assign(variant=variant(trials))
    sizes = table.groupby([*by, "study"], observed=True, dropna=False).size()
    order = sizes.reset_index(name="n").sort_values(["n", "study"], ascending=[False, True])
    kept = order.groupby(by, observed=True, dropna=False).head(1)
    return trials[trials.study.isin(kept.study)]


def untuned(trials: pd.DataFrame, depth: int | None = None) -> pd.DataFrame:
    """Trials of parentheses with random hyperparameters, at one budget.

    Trials whose hyperparameters were given, transferred, held or narrowed are left out, and so are
    studies that stop trials early. All architectures of a depth have the same number of steps.
    """
    found = searched(trials, "parens", depth)
    found = found[(found.algorithm == "random") & ~found.origin.isin(["first", "transfer"])]
    found = one_budget(unrestricted(whole(found)))
    return _equally_long(found)


def _equally_long(trials):
    """The studies with the most steps that all of the paper's architectures of a depth have.

    Those of other architectures are kept if they have about as many, so that a short one of these
    does not displace the paper's.
    """
    paper = statistics.equal_steps(of_paper(trials), ["depth"])
    if not len(paper):
        return statistics.equal_steps(trials, ["depth"])
    steps = statistics.budgets(trials)
    most = trials.depth.map(steps[paper.index].groupby(paper.depth).max())
    is_near = (steps <= 1.25 * most) & (most <= 1.25 * steps) & ~trials.arch.isin(ARCHS)
    return trials[is_near | trials.index.isin(paper.index)]


def whole(trials: pd.DataFrame) -> pd.DataFrame:
    """Trials of studies that stop none early."""
    return trials[~trials.study.isin(trials.study[trials.stopped_early].unique())]


def rerun(trials: pd.DataFrame) -> pd.DataFrame:
    """Reruns of the best hyperparameters of parentheses, at depth 1 and one budget."""
    found = trials[trials.is_rerun & (trials.task == "parens") & (trials.depth == 1)]
    return one_budget(found[within(found)])


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
