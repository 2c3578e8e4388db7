"""Sections 2.2 and 3: memory of inputs, text8, and random continuous functions."""

import functools
import math

import numpy as np
import pandas as pd

from trainer.tasks.memory import least_error
from tuning.report import statistics
from tuning.report.claims.base import (
    Claim,
    Finding,
    has_all,
    is_thorough,
    say,
    verdict,
    without_each_size,
)
from tuning.report.paper import DIMENSIONS
from tuning.report.selection import SIZE, searched


def number_per_unit(trials: pd.DataFrame) -> Finding:
    """Averages the difference between the error and the theory."""
    found = searched(trials, "memory")
    table = statistics.best(found, SIZE)
    if not len(table):
        return Finding(runs=len(found))
    excess = table.eval_loss - least_error(table.units, DIMENSIONS)
    average = statistics.mean(excess)
    result = (
        f"error above theory by {say(average, 3)} on average and {excess.max():.3f} at most, in "
        f"{len(table)} settings of {table.units.min():.0f} to {table.units.max():.0f} units"
    )
    worse = average.low > 0.05 and is_thorough(table, "memory")
    # The theory predicts an error below `DIMENSIONS` units and none from there on.
    sides = all(
        has_all(side)
        for side in (table[table.units < DIMENSIONS], table[table.units >= DIMENSIONS])
    )
    supported = average.within(-0.05, 0.05) and sides
    return Finding(result, len(found), verdict(supported, average.high < -0.05 or worse))


def text8_equal(trials: pd.DataFrame) -> Finding:
    """Finds the largest ratio of parameters at equal loss on text8."""
    return _equal(trials, "text8", "bits_per_character")


def rcf_equal(trials: pd.DataFrame) -> Finding:
    """Finds the largest ratio of parameters at equal loss on random continuous functions."""
    return _equal(trials, "rcf", "eval_loss")


def _equal(trials, task, loss):
    found = searched(trials, task)
    table = statistics.best(found, SIZE)
    table = table[table[loss].notna()]
    factor = without_each_size(
        table, functools.partial(_largest_factor, size="num_params", loss=loss)
    )
    if math.isnan(factor.value):
        return Finding(runs=len(found))
    result = f"factor {say(factor)} in parameters between architectures, for equal loss"
    largest = table[table.max_params == table.max_params.max()]
    learned = has_all(table) and (largest.eval_loss < 0.9 * largest.chance_loss).all()
    contradicted = factor.low > 2 and is_thorough(table, task)
    return Finding(result, len(found), verdict(factor.high <= 2 and learned, contradicted))


def per_unit_misleads(trials: pd.DataFrame) -> Finding:
    """Compares the largest ratio of units at equal loss to that of parameters."""
    found = searched(trials, "text8", 1)
    table = statistics.best(found, SIZE)
    table = table[table.bits_per_character.notna()]
    by = {
        size: without_each_size(
            table, functools.partial(_largest_factor, size=size, loss="bits_per_character")
        )
        for size in ("units", "num_params")
    }
    units, parameters = by["units"], by["num_params"]
    if math.isnan(units.value) or math.isnan(parameters.value):
        return Finding(runs=len(found))
    result = f"factor {say(units)} in units, {say(parameters)} in parameters"
    supported = units.low > parameters.high and has_all(table)
    contradicted = units.high < parameters.low and is_thorough(table, "text8")
    return Finding(result, len(found), verdict(supported, contradicted))


def _largest_factor(table, size, loss):
    """Returns the largest `statistics.parameter_factors` over all depths; NaN if any is NaN."""
    factors = [
        statistics.parameter_factors(each[size], each[loss], each.arch.astype(str)).max(
            skipna=False
        )
        for _, each in table.groupby("depth")
        if each.arch.nunique() > 1 and each.max_params.nunique() > 1
    ]
    return float(np.max(factors)) if factors else math.nan


_EQUAL_RULE = (
    "With one slope of loss over log parameters, no architecture needs more than twice the "
    "parameters of another for equal loss, at any depth and whichever single size is left out, and "
    "losses at the largest size are a tenth below chance; contradicted if one needs more whichever "
    "size is left out, after at least 500 trials per search."
)
CLAIMS = {
    "number_per_unit": Claim(
        "A network remembers about one real number of its input per unit: the error is "
        "max(0, 1 - n/64) for n units.",
        "2.2, figure 2c",
        "The interval of the mean difference from the theory, over all settings, lies within -0.05 "
        "and 0.05, and each architecture was run both below 64 units and at 64 or more; "
        "contradicted if the interval lies entirely below, or entirely above after at least 500 "
        "trials per search.",
        number_per_unit,
    ),
    "text8_equal": Claim(
        "On text8, architectures reach equal loss with nearly equal numbers of parameters.",
        "3, figures 3a-c",
        _EQUAL_RULE,
        text8_equal,
    ),
    "rcf_equal": Claim(
        "On random continuous functions, architectures reach equal loss with nearly equal numbers "
        "of parameters.",
        "3, figures 3e-g",
        _EQUAL_RULE,
        rcf_equal,
    ),
    "per_unit_misleads": Claim(
        "Comparing architectures by units is misleading.",
        "2.2 and 3, figure 3d",
        "On text8 at depth 1, the largest ratio of units between architectures at equal loss "
        "exceeds that of parameters, whichever single sizes are left out; contradicted if it falls "
        "below, after at least 500 trials per search.",
        per_unit_misleads,
    ),
}
