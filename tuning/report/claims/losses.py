"""Sections 2.2 and 3: memory of inputs, text8, random continuous functions."""

import math

import numpy as np

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


def number_a_unit(trials):
    """The error above the theory."""
    found = searched(trials, "memory")
    table = statistics.best(found, SIZE)
    if not len(table):
        return Finding(runs=len(found))
    excess = table.eval_loss - least_error(table.units, DIMENSIONS)
    average = statistics.mean(excess)
    ours = (
        f"error above theory by {say(average, 3)}, by {excess.max():.3f} at most, in {len(table)} "
        f"settings of {table.units.min():.0f} to {table.units.max():.0f} units"
    )
    worse = average.low > 0.05 and is_thorough(table, "memory")
    # Where there is error, and where there should be none.
    sides = all(
        has_all(side)
        for side in (table[table.units < DIMENSIONS], table[table.units >= DIMENSIONS])
    )
    supported = average.within(-0.05, 0.05) and sides
    return Finding(ours, len(found), verdict(supported, average.high < -0.05 or worse))


def text8_equal(trials):
    """The largest factor in parameters at equal loss, text8."""
    return _equal(trials, "text8", "bits_per_character")


def rcf_equal(trials):
    """The largest factor in parameters at equal loss, random continuous functions."""
    return _equal(trials, "rcf", "eval_loss")


def _equal(trials, task, loss):
    found = searched(trials, task)
    table = statistics.best(found, SIZE)
    table = table[table[loss].notna()]
    factor = without_each_size(table, lambda table: _largest_factor(table, "num_params", loss))
    if math.isnan(factor.value):
        return Finding(runs=len(found))
    ours = f"factor {say(factor)} in parameters between architectures, for equal loss"
    largest = table[table.max_params == table.max_params.max()]
    learned = has_all(table) and (largest.eval_loss < 0.9 * largest.chance_loss).all()
    contradicted = factor.low > 2 and is_thorough(table, task)
    return Finding(ours, len(found), verdict(factor.high <= 2 and learned, contradicted))


def per_unit_misleads(trials):
    """The largest factor in units beside that in parameters."""
    found = searched(trials, "text8", 1)
    table = statistics.best(found, SIZE)
    table = table[table.bits_per_character.notna()]
    by = {
        size: without_each_size(
            table, lambda table, x=size: _largest_factor(table, x, "bits_per_character")
        )
        for size in ("units", "num_params")
    }
    units, parameters = by["units"], by["num_params"]
    if math.isnan(units.value) or math.isnan(parameters.value):
        return Finding(runs=len(found))
    ours = f"factor {say(units)} in units, {say(parameters)} in parameters"
    supported = units.low > parameters.high and has_all(table)
    contradicted = units.high < parameters.low and is_thorough(table, "text8")
    return Finding(ours, len(found), verdict(supported, contradicted))


def _largest_factor(table, size, loss):
    """The largest of `statistics.parameter_factors` over depths, NaN if it is so at any."""
    factors = [
        statistics.parameter_factors(each[size], each[loss], each.arch.astype(str)).max(
            skipna=False
        )
        for _, each in table.groupby("depth")
        if each.arch.nunique() > 1 and each.max_params.nunique() > 1
    ]
    return float(np.max(factors)) if factors else math.nan


_EQUAL_RULE = (
    "With one slope of loss over log parameters, no architecture needs more than twice another's "
    "parameters for the same loss, at any depth and whichever size is left out, with losses a "
    "tenth below chance at the largest size; contradicted if one always does, after 500 trials a "
    "search."
)
CLAIMS = {
    "number_a_unit": Claim(
        "A network remembers about one real number of its input a unit: the error is "
        "max(0, 1 - n/64) for n units.",
        "2.2, figure 2c",
        "The error above the theory lies within -0.05 and 0.05, on average over all settings, with "
        "its whole interval, each architecture having fewer and more than 64 units; contradicted "
        "if that lies below, or above after 500 trials a search.",
        number_a_unit,
    ),
    "text8_equal": Claim(
        "On text8, architectures have equal loss at nearly equal parameters.",
        "3, figures 3a-c",
        _EQUAL_RULE,
        text8_equal,
    ),
    "rcf_equal": Claim(
        "On random continuous functions, architectures have equal loss at nearly equal parameters.",
        "3, figures 3e-g",
        _EQUAL_RULE,
        rcf_equal,
    ),
    "per_unit_misleads": Claim(
        "Comparing architectures by units is misleading.",
        "2.2 and 3, figure 3d",
        "On text8 at depth 1, architectures need more different numbers of units than of "
        "parameters for the same loss, whichever sizes are left out; contradicted if fewer, after"
        " 500 trials a search.",
        per_unit_misleads,
    ),
}
