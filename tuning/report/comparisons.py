"""Trials of the project's own comparisons, which enter no figure, table or claim of the paper."""

import pandas as pd

from tuning.report import atlas, optimizers


def find(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials of the atlas and of the comparison of optimizers, with why as `excluded`."""
    return pd.concat(
        [
            atlas.standard().select(trials).assign(excluded="in the atlas alone"),
            optimizers.select(trials).assign(excluded="in the comparison of optimizers alone"),
        ]
    )


def without(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials by which the paper's claims are judged."""
    return trials.drop(index=find(trials).index)
