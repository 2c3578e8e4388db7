"""Section 2.1: capacity per parameter."""

import functools
import itertools
import math

import numpy as np
import pandas as pd

from tuning.report import paper, statistics
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
from tuning.report.paper import LABELS
from tuning.report.selection import SIZE, capacity, holds, unrolled, with_each_activation
from tuning.report.statistics import Estimate

#: Threshold of the drop in bits per parameter with ReLU; figure 2a of the paper shows one to two.
RELU_DROP = 0.5
#: Largest ratio of parameters between architectures that differ little.
SIMILAR = 2.0
#: Largest ratio of b to stored bits that is "only slightly larger".
SLIGHTLY = 1.25


def linear(trials: pd.DataFrame) -> Finding:
    """Estimate the exponent of stored bits as a power of the number of parameters."""
    found = capacity(trials)
    table = bests(found)
    groups = [f"{arch} {depth}" for arch, depth in zip(table.arch, table.depth, strict=True)]
    exponent = statistics.slope(np.log(table.num_params), np.log(table.bits), groups)
    if math.isnan(exponent.value):
        return Finding(runs=len(found))
    slope = statistics.slope(table.num_params, table.bits, groups)
    result = (
        f"exponent {say(exponent)}, {say(slope)} bits per additional parameter, from "
        f"{table.num_params.min():,.0f} to {table.num_params.max():,.0f} parameters"
    )
    sizes = table.groupby(groups).max_params
    wide = table[(sizes.transform("max") / sizes.transform("min")) >= 10]
    ends = (0.85, 1.15)
    contradicted = exponent.outside(*ends) and is_thorough(table, "capacity")
    supported = exponent.within(*ends) and has_all(wide)
    return Finding(result, len(found), verdict(supported, contradicted))


def five_bits(trials: pd.DataFrame) -> Finding:
    """Average bits per parameter of the largest networks."""
    found = capacity(trials)
    table = bests(found)
    if not len(table):
        return Finding(runs=len(found))
    each = table.groupby(["arch", "depth"], observed=True)
    largest = table[table.max_params == each.max_params.transform("max")]
    levels = largest.groupby(["arch", "depth"], observed=True).bits_per_parameter.mean()
    bits, (low, high) = statistics.mean(levels), paper.BITS_PER_PARAMETER
    result = f"{say(bits)} at the largest sizes, over {len(levels)} architectures and depths"
    supported = bits.within(low, high) and has_all(largest[largest.max_params >= 10_000])
    contradicted = bits.low > high or (bits.high < low and is_thorough(largest, "capacity"))
    return Finding(result, len(found), verdict(supported, contradicted))


def similar_capacity(trials: pd.DataFrame) -> Finding:
    """Find the largest ratio of bits per parameter between two architectures."""
    found = capacity(trials)
    found = found[found.arch != "irnn"]
    table = bests(found)
    logs = np.log(table.bits_per_parameter)
    pairs = functools.partial(statistics.contrasts, logs, table.further, table.arch, blocks(table))
    archs = [arch for arch in SHALLOW if arch != "irnn"]
    largest, within, beyond = ratios_within(pairs, SIMILAR, archs)
    if math.isnan(largest.value):
        return Finding(runs=len(found))
    learned = has_all(table, archs) and table.bits_per_parameter.mean() >= 1
    contradicted = beyond and is_thorough(table, "capacity")
    return Finding(f"factor {say(largest)}", len(found), verdict(within and learned, contradicted))


def capacity_order(trials: pd.DataFrame) -> Finding:
    """Average capacity differences between neighbours in the paper's order."""
    found = capacity(trials)
    table = bests(found)
    bits = table.bits_per_parameter
    of = functools.partial(
        statistics.contrasts, bits, table.further * bits, table.arch, blocks(table)
    )
    pairs = list(itertools.pairwise(paper.CAPACITY_ORDER))
    gaps = {pair: gap for pair, gap in of().items() if pair in pairs}
    stricter = of(level=1 - 0.05 / len(pairs))
    result = ", ".join(
        f"{LABELS[more]} - {LABELS[less]} {say(gaps[more, less])}"
        for more, less in pairs
        if (more, less) in gaps
    )
    supported = len(gaps) == len(pairs) and all(gap.low > 0 for gap in gaps.values())
    reversed_ = any(stricter[pair].high < 0 for pair in gaps) and is_thorough(table, "capacity")
    return Finding(result, len(found), verdict(supported, reversed_))


def relu_lowers(trials: pd.DataFrame) -> Finding:
    """Compare studies that hold s() to tanh with studies that hold it to ReLU."""
    found = with_each_activation(trials)
    found = found[holds(found, "activation") & found.arch.isin(["rnn", "ugrnn"])]
    table = searches(found, (*SIZE, "activation"), over="activation")
    # The best with tanh is a lower bound, so its search need not have converged.
    tanh_converged = table.converged[table.activation == "tanh"].all()
    table = table[table.converged | (table.activation == "tanh")]
    is_relu = table.activation == "relu"
    table["bits_per_parameter"] *= 1 + table.further.where(is_relu, 0)
    levels = table.pivot_table("bits_per_parameter", list(SIZE), "activation", observed=True)
    if not {"tanh", "relu"} <= set(levels):
        return Finding(runs=len(found))
    levels = levels.dropna().reset_index()
    drop = statistics.mean(levels.tanh - levels.relu)
    if math.isnan(drop.value):
        return Finding(runs=len(found))
    result = (
        f"lower by {say(drop)} bits per parameter; with ReLU {levels.relu.mean():.2f} on average "
        f"and {levels.relu.max():.2f} at most"
    )
    contradicted = drop.high < RELU_DROP and tanh_converged and is_thorough(table, "capacity")
    supported = drop.low > RELU_DROP and has_all(levels, ("rnn", "ugrnn"))
    return Finding(result, len(found), verdict(supported, contradicted))


def unrolling_saturates(trials: pd.DataFrame) -> Finding:
    """Measure the gain from the fewest to the most steps, and how it declines per doubling."""
    found = unrolled(trials)
    table = bests(found, ("arch", "num_steps"), over="num_steps")
    table = table.groupby(["arch", "num_steps"], observed=True, as_index=False).agg(
        {"bits_per_parameter": "mean", "trials": "min", "further": "mean"}
    )
    gains, declines, ends = [], [], set()
    for _, line in table.groupby("arch", observed=True):
        if len(line) < 3:
            continue
        steps, bits = np.log2(line.num_steps.to_numpy()), line.bits_per_parameter.to_numpy()
        further = bits * (1 + line.further.to_numpy())
        growth = (bits[1] - further[0]) / (steps[1] - steps[0])
        gains.append(bits[-1] - further[0])
        declines.append(growth - (further[-1] - bits[-2]) / (steps[-1] - steps[-2]))
        ends |= {line.num_steps.min(), line.num_steps.max()}
    archs, growth, slowing = len(gains), statistics.mean(gains), statistics.mean(declines)
    if math.isnan(growth.value):
        return Finding(runs=len(found))
    result = (
        f"{say(growth)} bits per parameter gained from {min(ends):.0f} to {max(ends):.0f} steps; "
        f"the last doubling gains {say(slowing)} less than the first"
    )
    supported = growth.low > 0 and slowing.low > 0 and archs >= 3
    contradicted = (growth.high < 0 or slowing.high < 0) and is_thorough(table, "capacity")
    return Finding(result, len(found), verdict(supported, contradicted))


def dataset_size(trials: pd.DataFrame) -> Finding:
    """Average the ratio of b to the stored bits."""
    found = capacity(trials)
    table = bests(found)
    table = table[table.num_samples.notna()]
    log_ratio = np.log(table.num_samples / table.bits)
    ratio = Estimate(*np.exp(statistics.mean(log_ratio)))
    if math.isnan(ratio.value):
        return Finding(runs=len(found))
    each = np.exp(log_ratio.groupby(table.arch, observed=True).mean())
    result = (
        f"b is {say(ratio)} times the stored bits (geometric mean), from {each.min():.2f} "
        f"({LABELS[each.idxmin()]}) to {each.max():.2f} ({LABELS[each.idxmax()]})"
    )
    contradicted = ratio.low > SLIGHTLY and is_thorough(table, "capacity")
    supported = ratio.high <= SLIGHTLY and each.max() <= SLIGHTLY and has_all(table)
    return Finding(result, len(found), verdict(supported, contradicted))


#: Part of the rules that compare bests as values.
_CONVERGED = (
    "Only converged searches are used: half of the trials, and trials with half the steps, reach "
    "within 5 % of the stored bits. Differences allow for what further trials and steps may add: "
    "as much as the second half of the trials, and 2.4 times as much as the second half of the "
    "steps. Architectures have equal numbers of trials and steps, and at most 0.1 % of samples may "
    "share their input. "
)
_THOROUGH = (
    f"after at least {paper.TRIALS['capacity']} trials per search, with {paper.MIN_STEPS:,} steps."
)
CLAIMS = {
    "linear": Claim(
        "Stored bits grow linearly with the number of parameters, over orders of magnitude.",
        "2.1.2, figure 1a: roughly linear",
        f"{_CONVERGED}The interval of the exponent of stored bits over parameters, with one "
        "intercept per architecture and depth, lies within 0.85 and 1.15, and the sizes of each "
        "architecture span a factor of 10; contradicted if the interval lies entirely outside, "
        f"{_THOROUGH}",
        linear,
    ),
    "five_bits": Claim(
        "Networks store about five bits per parameter.",
        "2.1.2, figure 1e: between 3 and 6, about 5 for larger networks",
        f"{_CONVERGED}The interval of the mean over architectures and depths, each at its largest "
        "size, lies within 3 and 6, and each architecture has a size of at least 10,000 "
        "parameters; contradicted if the interval lies entirely above, or entirely below "
        f"{_THOROUGH}",
        five_bits,
    ),
    "similar_capacity": Claim(
        "Architectures other than the IRNN differ little in capacity.",
        "2.1.2, figure 1i: only small variations",
        f"{_CONVERGED}Networks store one bit per parameter or more, and for each pair of "
        "architectures the interval of the ratio of bits per parameter, in an additive model of "
        "architecture and size, lies below 2; contradicted if one lies entirely above, at 5 % "
        f"divided by the number of pairs, {_THOROUGH}",
        similar_capacity,
    ),
    "capacity_order": Claim(
        "Gating reduces capacity slightly: RNN > UGRNN > GRU > LSTM > +RNN in bits per parameter.",
        "2.1.2, figure 1e",
        f"{_CONVERGED}For each neighbouring pair, the interval of the difference, in an additive "
        "model of architecture and size, lies in this direction; contradicted if one lies in the "
        f"other direction, at 5 % divided by the number of pairs, {_THOROUGH}",
        capacity_order,
    ),
    "relu": Claim(
        "ReLU reduces capacity, in the RNN and the UGRNN as well as in the IRNN.",
        f"2.1.2, figure 2a: to about {paper.RELU_BITS_PER_PARAMETER} bits per parameter",
        "Studies hold s(), with equal numbers of trials and steps for tanh and ReLU. Searches with "
        "ReLU have converged: half of the trials, and trials with half the steps, reach within 5 % "
        "of the stored bits. Their bits are raised by what further trials and steps may add: as "
        "much as the second half of the trials, and 2.4 times as much as the second half of the "
        "steps. The interval of the mean difference between tanh and ReLU, over the sizes of both "
        f"architectures, lies above {RELU_DROP} bits per parameter. Contradicted if it lies "
        f"entirely below and the searches with tanh have converged too, {_THOROUGH}",
        relu_lowers,
    ),
    "unrolling": Claim(
        "Capacity grows with the number of unrolled time steps, and saturates.",
        "2.1.2, figure 2b: diminishing gains",
        f"{_CONVERGED}Over at least 3 architectures, the intervals of two means lie above zero: "
        "the gain in bits per parameter from the fewest to the most steps, and the difference "
        "between the gains of the first and the last doubling; contradicted if either lies "
        f"entirely below zero, {_THOROUGH}",
        unrolling_saturates,
    ),
    "dataset_size": Claim(
        "The best size b of the data set is slightly above the number of stored bits.",
        "appendix A, figure App.1",
        f"{_CONVERGED}The interval of the geometric mean of b over the stored bits lies below "
        f"{SLIGHTLY}, and each architecture's mean does too (b is never below the stored bits); "
        f"contradicted if the interval lies entirely above, {_THOROUGH}",
        dataset_size,
    ),
}
