"""The number that searches minimise on each task, in words."""

import pandas as pd

from tuning.report.selection import has_loss_as_objective

#: Objective of each of the paper's tasks; an open task's follows from its trials.
OBJECTIVES = {
    "capacity": "minus the stored bits: mutual information over the whole data set, eq. (22)",
    "memory": "squared error per dimension of the recalled vector",
    "rcf": "squared error of the function's value",
    "text8": "cross-entropy per character, in nats",
    "parens": "cross-entropy in nats, summed over the ten counts",
    "arithmetic": "cross-entropy per character, in nats",
}


def describe(trials: pd.DataFrame) -> pd.DataFrame:
    """Describe the objective of each task that has trials.

    Returns:
        DataFrame of `task`, `objective`, `chance` (the objective of the best constant predictor,
        as text), `best` (the smallest objective of all trials) and `trials`.
    """
    rows = []
    for task, part in trials.groupby("task", observed=True):
        rows.append(
            {
                "task": task,
                "objective": OBJECTIVES.get(task) or _own(part),
                "chance": _chance(task, part),
                "best": part.objective.min(),
                "trials": len(part),
            }
        )
    return pd.DataFrame(rows)


def _own(trials):
    """Describe the objective of an open task: its loss, if that is what the records show."""
    return "the task's loss" if has_loss_as_objective(trials) else "the task's own objective"


def _chance(task, trials):
    """Format the range of chance levels; nothing if the objective has none."""
    if task == "capacity":
        return "0"  # A constant answer stores nothing.
    levels = trials.chance_loss.dropna()
    if not len(levels) or not (task in OBJECTIVES or has_loss_as_objective(trials)):
        return "–"
    low, high = levels.min(), levels.max()
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
