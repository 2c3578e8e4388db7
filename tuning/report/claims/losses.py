"""Sections 2.2 and 3: memory of inputs, text8, random continuous functions."""

import math

from trainer.tasks.memory import least_error
from tuning.report import statistics
from tuning.report.claims.base import (
    SIZE,
    Claim,
    Finding,
    is_thorough,
    say,
    verdict,
    without_each_size,
)
from tuning.report.figures import searched


def number_a_unit(trials):
    found = searched(trials, "memory")
    table = statistics.best(found, SIZE)
    if not len(table):
        return Finding()
    excess = table.eval_loss - least_error(table.units)
    average = statistics.mean(excess)
    ours = (
        f"error above theory by {say(average, 3)}, by {excess.max():.3f} at most, in {len(table)} "
        f"settings of {table.units.min():.0f} to {table.units.max():.0f} units"
    )
    worse = average.low > 0.05 and is_thorough(table, "memory")
    supported = average.within(-0.05, 0.05)
    return Finding(ours, len(found), verdict(supported, average.high < -0.05 or worse))


def text8_equal(trials):
    return _equal(trials, "text8", "bits_per_character")


def rcf_equal(trials):
    return _equal(trials, "rcf", "eval_loss")


def _equal(trials, task, loss):
    found = searched(trials, task)
    table = statistics.best(found, SIZE)
    table = table[table[loss].notna()]
    factor = without_each_size(table, lambda table: _largest_factor(table, "num_params", loss))
    if math.isnan(factor.value):
        return Finding(runs=len(found))
    ours = f"factor {say(factor)} in parameters between architectures, for equal loss"
    contradicted = factor.low > 2 and is_thorough(table, task)
    return Finding(ours, len(found), verdict(factor.high <= 2, contradicted))


def per_unit_misleads(trials):
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
    supported, contradicted = units.low > parameters.high, units.high < parameters.low
    return Finding(ours, len(found), verdict(supported, contradicted))


def _largest_factor(table, size, loss):
    """The largest of `statistics.parameter_factors` over depths."""
    factors = [
        statistics.parameter_factors(each[size], each[loss], each.arch.astype(str)).max()
        for _, each in table.groupby("depth")
        if each.arch.nunique() > 1 and each.max_params.nunique() > 1
    ]
    return max(factors, default=math.nan)


_EQUAL_RULE = (
    "With one slope of loss over log parameters, no architecture needs more than twice another's "
    "parameters for the same loss, at any depth and whichever size is left out; contradicted if "
    "one always does, after 500 trials a study."
)
CLAIMS = {
    "number_a_unit": Claim(
        "A network remembers about one real number of its input a unit: the error is "
        "max(0, 1 - n/64) for n units.",
        "2.2, figure 2c",
        "The error above the theory lies within -0.05 and 0.05, on average over all settings, with "
        "its whole interval; contradicted if that lies below, or above after 500 trials a study.",
        ("figure_2c",),
        number_a_unit,
    ),
    "text8_equal": Claim(
        "On text8, architectures have equal loss at nearly equal parameters.",
        "3, figures 3a-c",
        _EQUAL_RULE,
        ("figure_3_text8",),
        text8_equal,
    ),
    "rcf_equal": Claim(
        "On random continuous functions, architectures have equal loss at nearly equal parameters.",
        "3, figures 3e-g",
        _EQUAL_RULE,
        ("figure_3_rcf",),
        rcf_equal,
    ),
    "per_unit_misleads": Claim(
        "Comparing architectures by units is misleading.",
        "2.2 and 3, figure 3d",
        "On text8 at depth 1, architectures need more different numbers of units than of "
        "parameters for the same loss, whichever sizes are left out; contradicted if fewer.",
        ("figure_3_text8",),
        per_unit_misleads,
    ),
}
