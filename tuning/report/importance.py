"""Importance of each hyperparameter of a study."""

import functools
import json
from typing import NamedTuple

import numpy as np
import pandas as pd

#: Smallest number of trials from which importances are estimated.
FEWEST_TRIALS = 20
#: Number of studies with importances: those with the most trials.
MOST_STUDIES = 50
#: Number of trials that a forest learns from; those of a larger study are sampled.
MOST_TRIALS = 300
_TREES = 32
_REPEATS = 3


class Importance(NamedTuple):
    """Importances in one study.

    Attributes:
        values: name of a hyperparameter -> importance, in falling order. An importance is the drop
            in R² when the forest is shown other trials' values of this hyperparameter.
        explained: R² of the forest on trials that it has not learned from, at least 0.
    """

    values: dict[str, float]
    explained: float


def find(trials: pd.DataFrame) -> dict[str, Importance]:
    """Estimate importances in the studies with the most trials.

    A random forest predicts the rank of a trial's objective within its study, with diverged trials
    last. Half of the trials test the forest that learned from the other half, both ways.

    Args:
        trials: DataFrame of `tuning.trials.read`.

    Returns:
        dict from the name of a study to its `Importance`. Studies of fewer than `FEWEST_TRIALS`
        trials, and those in which no hyperparameter varies, are left out.
    """
    searched = trials[~trials.is_rerun & trials.iteration.notna()]
    sizes = searched.groupby("study", observed=True).size()
    names = sizes[sizes >= FEWEST_TRIALS].nlargest(MOST_STUDIES, keep="first").index
    found = {}
    for name, study in searched[searched.study.isin(names)].groupby("study", observed=True):
        if len(study) > MOST_TRIALS:
            study = study.sample(MOST_TRIALS, random_state=0)
        objectives = study.objective.fillna(np.inf)
        importance = _estimate(tuple(study.hparams), tuple(objectives))
        if importance:
            found[str(name)] = importance
    return found


# The report that --watch makes again finds most studies unchanged.
@functools.lru_cache(maxsize=2 * MOST_STUDIES)
def _estimate(hparams, objectives):
    inputs = _encode(pd.DataFrame([json.loads(each) for each in hparams]))
    ranks = pd.Series(objectives).rank().to_numpy()
    if not len(inputs.columns) or ranks.std() == 0:
        return None
    table, generator = inputs.to_numpy(), np.random.default_rng(0)
    halves = np.array_split(generator.permutation(len(table)), 2)
    tested = [
        _test(table[train], ranks[train], table[test], ranks[test], generator)
        for train, test in (halves, halves[::-1])
    ]
    explained, losses = (np.mean(each, axis=0) for each in zip(*tested, strict=True))
    order = np.argsort(-losses, kind="stable")
    values = {inputs.columns[i]: max(0.0, float(losses[i])) for i in order}
    return Importance(values, max(0.0, float(explained)))


def _encode(values):
    """Return numbers for all hyperparameters that vary; categories become their index."""
    columns = {}
    for name in values:
        column = values[name]
        if not pd.api.types.is_numeric_dtype(column):
            column = pd.Series(pd.factorize(column.astype(str), sort=True)[0])
        column = column.astype(float)
        if column.nunique(dropna=False) > 1:
            # A hyperparameter that a trial lacks, such as another optimizer's, has its own value.
            columns[name] = column.fillna(column.min() - 1)
    return pd.DataFrame(columns)


def _test(train, train_ranks, test, ranks, generator):
    """Return a forest's R² on tests, and the loss in R² for each permuted column."""
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(_TREES, min_samples_leaf=2, max_features=0.5, random_state=0)
    forest.fit(train, train_ranks)
    size, count = test.shape
    # All permutations in one call: most of a call's time is spent on starting it.
    copies = np.broadcast_to(test, (_REPEATS, count, size, count)).copy()
    for repeat, column in np.ndindex(_REPEATS, count):
        copies[repeat, column, :, column] = generator.permutation(test[:, column])
    shown = np.concatenate([test, copies.reshape(-1, count)])
    predicted = forest.predict(shown).reshape(-1, size)
    errors = ((predicted - ranks) ** 2).mean(axis=1) / ranks.var()
    return 1 - errors[0], errors[1:].reshape(_REPEATS, count).mean(axis=0) - errors[0]
