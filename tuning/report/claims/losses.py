"""Sections 2.2 and 3: memory of inputs, text8, and random continuous functions."""

import functools
import math

import numpy as np
import pandas as pd

from trainer.display.words import span
from trainer.tasks.memory import least_error
from tuning.report import statistics
from tuning.report.claims.base import (
    SHALLOW,
    Claim,
    Finding,
    bests,
    blocks,
    has_all,
    is_thorough,
    ratios_within,
    say,
    searches,
    verdict,
)
from tuning.report.paper import DIMENSIONS, LABELS
from tuning.report.selection import SIZE, dimensions, searched

#: Largest deviation of the error from the theory, per dimension.
MARGIN = 0.05
#: Largest ratio of parameters at "near identical" performance.
EQUAL = 2.0


def number_per_unit(trials: pd.DataFrame) -> Finding:
    """Average the difference between the error and the theory, for each architecture."""
    found = searched(trials, "memory")
    table = statistics.best(found, SIZE)
    if not len(table):
        return Finding(runs=len(found))
    sizes = dimensions(table)
    table["excess"] = table.eval_loss - least_error(table.units, sizes)
    of = {arch: statistics.mean(rows.excess) for arch, rows in table.groupby("arch", observed=True)}
    result = (
        f"error above theory by {', '.join(f'{LABELS[a]} {say(e, 3)}' for a, e in of.items())}, in "
        f"{len(table)} settings of {table.units.min():.0f} to {table.units.max():.0f} units"
    )
    if (sizes != DIMENSIONS).any():
        result += f", vectors of {span(sizes.astype(int))} numbers"
    # The theory predicts an error if there are fewer units than numbers, and none otherwise.
    is_small = table.units < sizes
    sides = all(has_all(side) for side in (table[is_small], table[~is_small]))
    supported = sides and all(each.within(-MARGIN, MARGIN) for each in of.values())
    below = statistics.mean(table.excess[is_small]).high < -MARGIN
    above = any(each.low > MARGIN for each in of.values()) and is_thorough(table, "memory")
    above = above and bool(searches(found).converged.all())
    return Finding(result, len(found), verdict(supported, below or above))


def text8_equal(trials: pd.DataFrame) -> Finding:
    """Find the largest ratio of parameters at equal loss on text8."""
    return _equal(trials, "text8", "bits_per_character")


def rcf_equal(trials: pd.DataFrame) -> Finding:
    """Find the largest ratio of parameters at equal loss on random continuous functions."""
    return _equal(trials, "rcf", "eval_loss")


def _equal(trials, task, loss):
    found = searched(trials, task)
    table = bests(found)
    table = table[table[loss].notna()]
    said, within, beyond = [], [], []
    for depth, each in table.groupby("depth"):
        if each.arch.nunique() < 2 or each.max_params.nunique() < 2:
            continue
        nats = each[loss] / each.eval_loss  # Converts nats to the unit of `loss`.
        further = each.further * (each.chance_loss - each.eval_loss) * nats
        pairs = functools.partial(
            statistics.size_factors, each.num_params, each[loss], further, each.arch, blocks(each)
        )
        largest, *decided = ratios_within(pairs, EQUAL, SHALLOW)
        if math.isnan(largest.value):  # Loss does not fall with size: nothing can be compared.
            return Finding(runs=len(found))
        said.append(f"depth {depth} {say(largest)}")
        if has_all(each):  # A depth with fewer architectures proves nothing.
            within.append(decided[0])
        beyond.append(decided[1])
    if not said:
        return Finding(runs=len(found))
    result = f"largest ratio of parameters for equal loss: {', '.join(said)}"
    largest = table[table.max_params == table.max_params.max()]
    learned = bool(within) and (largest.eval_loss < 0.9 * largest.chance_loss).all()
    contradicted = any(beyond) and is_thorough(table, task)
    return Finding(result, len(found), verdict(all(within) and learned, contradicted))


def per_unit_misleads(trials: pd.DataFrame) -> Finding:
    """Compare the spread of architectures at equal units to that at equal parameters."""
    found = searched(trials, "text8", 1)
    table = bests(found)
    table = table[table.bits_per_character.notna()]
    spreads = {size: _spreads(table, size) for size in ("units", "num_params")}
    excess = statistics.mean(spreads["units"] - spreads["num_params"])
    if math.isnan(excess.value):
        return Finding(runs=len(found))
    units, parameters = (math.exp(each.mean()) for each in spreads.values())
    result = f"factor {units:.2f} in units, {parameters:.2f} in parameters; log ratio {say(excess)}"
    supported = excess.low > 0 and has_all(table)
    contradicted = excess.high < 0 and is_thorough(table, "text8")
    return Finding(result, len(found), verdict(supported, contradicted))


def _spreads(table, size):
    """Largest log ratio of sizes at equal loss between architectures, for each budget."""
    x, y = np.log(table[size]), table.bits_per_character
    fall = statistics.slope(x, y, table.arch.astype(str)).value
    if not fall < 0:
        return pd.Series(dtype=float)
    needed = ((y - fall * x) / -fall).groupby(table.max_params)
    return (needed.max() - needed.min())[needed.count() > 1]


_EQUAL_RULE = (
    "Only converged searches are used: half of the trials, and trials with half the steps, reach "
    "within 5 % of the fall of the loss below chance. Intervals allow for what further trials and "
    "steps may add: as much as the second half of the trials, and 2.4 times as much as the second "
    "half of the steps. Architectures have equal numbers of trials and steps. One slope of loss "
    "over log parameters is fitted at each depth that has all architectures. The interval of the "
    "ratio of parameters that two architectures need for equal loss lies below 2 for each pair, "
    "and losses at the largest size are a tenth below chance. Contradicted if one interval lies "
    "entirely above, at 5 % divided by the number of pairs, after at least 500 trials per search."
)
CLAIMS = {
    "number_per_unit": Claim(
        "A network remembers about one real number of its input per unit: the error is "
        "max(0, 1 - n/64) for n units.",
        "2.2, figure 2c",
        "For each architecture, the interval of the mean difference from the theory over its sizes "
        f"lies within -{MARGIN} and {MARGIN}, and it was run both below 64 units and at 64 or "
        "more; contradicted if the interval over all settings of fewer than 64 units lies entirely "
        "below. Contradicted too if one architecture's lies entirely above after at least 500 "
        "trials per search, and half of the trials and half of the steps reach within 5 % of the "
        "fall of the error.",
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
        "On text8 at depth 1, from converged searches at equal numbers of trials, the largest "
        "ratio between architectures of the units needed for equal loss exceeds that of "
        "parameters: the interval of the mean difference of their logarithms lies above zero; "
        "contradicted if it lies entirely below, after at least 500 trials per search.",
        per_unit_misleads,
    ),
}
