"""Section 2.1: capacity per parameter."""

import itertools
import math

import numpy as np
import pandas as pd

from tuning.report import paper, statistics
from tuning.report.claims.base import (
    SHALLOW,
    Claim,
    Finding,
    has_all,
    is_thorough,
    say,
    verdict,
    without_each_size,
)
from tuning.report.paper import LABELS
from tuning.report.selection import SIZE, capacity, relu, unrolled
from tuning.report.statistics import Estimate

#: Threshold of the drop in bits per parameter with ReLU; figure 2a of the paper shows one to two.
RELU_DROP = 0.5


def linear(trials: pd.DataFrame) -> Finding:
    """Estimates the exponent of stored bits as a power of the number of parameters."""
    found = capacity(trials)
    table = statistics.best(found, SIZE)
    table = table[table.bits > 0]
    groups = [f"{arch} {depth}" for arch, depth in zip(table.arch, table.depth, strict=True)]
    exponent = statistics.slope(np.log(table.num_params), np.log(table.bits), groups)
    if math.isnan(exponent.value):
        return Finding(runs=len(found))
    slope = statistics.slope(table.num_params, table.bits, groups)
    result = (
        f"exponent {say(exponent)}, {say(slope)} bits per additional parameter, from "
        f"{table.num_params.min():,.0f} to {table.num_params.max():,.0f} parameters"
    )
    sizes = table.groupby(groups).num_params
    wide = table[(sizes.transform("max") / sizes.transform("min")) >= 10]
    ends = (0.85, 1.15)
    contradicted = exponent.outside(*ends) and is_thorough(table, "capacity")
    supported = exponent.within(*ends) and has_all(wide)
    return Finding(result, len(found), verdict(supported, contradicted))


def five_bits(trials: pd.DataFrame) -> Finding:
    """Averages bits per parameter of the largest networks."""
    found = capacity(trials)
    table = statistics.best(found, SIZE)
    if not len(table):
        return Finding(runs=len(found))
    largest = table.sort_values("num_params").groupby(["arch", "depth"], observed=True).tail(1)
    bits, (low, high) = statistics.mean(largest.bits_per_parameter), paper.BITS_PER_PARAMETER
    result = f"{say(bits)} at the largest sizes, over {len(largest)} architectures and depths"
    supported = bits.within(low, high) and has_all(largest[largest.max_params >= 10_000])
    short = bits.high < low and is_thorough(largest, "capacity")
    return Finding(result, len(found), verdict(supported, bits.low > high or short))


def similar_capacity(trials: pd.DataFrame) -> Finding:
    """Finds the largest ratio of parameters between two architectures of equal capacity."""
    found = capacity(trials)
    table = statistics.best(found[found.arch != "irnn"], SIZE)
    factor = without_each_size(table, lambda table: statistics.multipliers(table).max().max())
    if math.isnan(factor.value):
        return Finding(runs=len(found))
    archs = [arch for arch in SHALLOW if arch != "irnn"]
    learned = has_all(table, archs) and table.bits_per_parameter.mean() >= 1
    contradicted = factor.low > 2 and is_thorough(table, "capacity")
    return Finding(
        f"factor {say(factor)}", len(found), verdict(factor.high <= 2 and learned, contradicted)
    )


def capacity_order(trials: pd.DataFrame) -> Finding:
    """Averages capacity differences between neighbours in the paper's order."""
    found = capacity(trials)
    table, gaps = statistics.best(found, SIZE), []
    for more, less in itertools.pairwise(paper.CAPACITY_ORDER):
        both = table[table.arch == more].merge(
            table[table.arch == less], on=["depth", "max_params"], suffixes=("_more", "_less")
        )
        gap = statistics.mean(both.bits_per_parameter_more - both.bits_per_parameter_less)
        gaps.append((f"{LABELS[more]} - {LABELS[less]}", gap))
    known = [(name, gap) for name, gap in gaps if not math.isnan(gap.value)]
    result = ", ".join(f"{name} {say(gap)}" for name, gap in known)
    supported = all(gap.low > 0 for _, gap in gaps)
    reversed_ = any(gap.high < 0 for _, gap in known) and is_thorough(table, "capacity")
    return Finding(result, len(found), verdict(supported, reversed_))


def relu_lowers(trials: pd.DataFrame) -> Finding:
    """Compares the best trial with tanh to the best with ReLU, in each setting."""
    found = capacity(trials)
    pair = found[found.arch.isin(["rnn", "ugrnn"])]
    table = statistics.best(pair, (*SIZE, "activation"))
    tanh, only = table[table.activation == "tanh"], table[table.activation == "relu"]
    both = tanh.merge(only, on=list(SIZE), suffixes=("_tanh", "_relu"))
    drop = statistics.mean(both.bits_per_parameter_tanh - both.bits_per_parameter_relu)
    if math.isnan(drop.value):
        return Finding(runs=len(found))
    levels = statistics.best(relu(found), SIZE).bits_per_parameter
    result = (
        f"lower by {say(drop)} bits per parameter; with ReLU {levels.mean():.2f} on average and "
        f"{levels.max():.2f} at most"
    )
    contradicted = drop.high < RELU_DROP and is_thorough(statistics.best(pair, SIZE), "capacity")
    supported = drop.low > RELU_DROP and has_all(both, ("rnn", "ugrnn"))
    return Finding(result, len(found), verdict(supported, contradicted))


def unrolling_saturates(trials: pd.DataFrame) -> Finding:
    """Measures the gain from the fewest to the most steps, and how it declines per doubling."""
    found = unrolled(trials)
    table = statistics.best(found, ("arch", "num_steps"))
    gains, declines, ends = [], [], set()
    for _, line in table.groupby("arch", observed=True):
        if len(line) < 3:
            continue
        steps, bits = np.log2(line.num_steps.to_numpy()), line.bits_per_parameter.to_numpy()
        rate = np.diff(bits) / np.diff(steps)
        gains.append(bits[-1] - bits[0])
        declines.append(rate[0] - rate[-1])
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
    """Averages the ratio of b to the stored bits."""
    found = capacity(trials)
    table = statistics.best(found, SIZE)
    table = table[(table.bits > 0) & table.num_samples.notna()]
    ratio = Estimate(*np.exp(statistics.mean(np.log(table.num_samples / table.bits))))
    if math.isnan(ratio.value):
        return Finding(runs=len(found))
    result = f"b is {say(ratio)} times the stored bits (geometric mean)"
    contradicted = ratio.low > 1.25 and is_thorough(table, "capacity")
    supported = ratio.within(1, 1.25) and has_all(table)
    return Finding(result, len(found), verdict(supported, contradicted))


CLAIMS = {
    "linear": Claim(
        "Stored bits grow linearly with the number of parameters, over orders of magnitude.",
        "2.1.2, figure 1a: roughly linear",
        "The interval of the exponent of stored bits over parameters, with one intercept per "
        "architecture and depth, lies within 0.85 and 1.15, and the sizes of each architecture "
        "span a factor of 10; contradicted if the interval lies entirely outside, after at least "
        "1000 trials per search.",
        linear,
    ),
    "five_bits": Claim(
        "Networks store about five bits per parameter.",
        "2.1.2, figure 1e: between 3 and 6, about 5 for larger networks",
        "The interval of the mean over architectures and depths, each at its largest size, lies "
        "within 3 and 6, and each architecture has a size of at least 10,000 parameters; "
        "contradicted if the interval lies entirely above, or entirely below after at least 1000 "
        "trials per search.",
        five_bits,
    ),
    "similar_capacity": Claim(
        "Architectures other than the IRNN differ little in capacity.",
        "2.1.2, figure 1i: only small variations",
        "Networks store one bit per parameter or more, and no architecture needs more than twice "
        "the parameters of another for equal capacity, over the sizes that both have and whichever "
        "single size is left out; contradicted if one needs more whichever size is left out, after "
        "at least 1000 trials per search.",
        similar_capacity,
    ),
    "capacity_order": Claim(
        "Gating reduces capacity slightly: RNN > UGRNN > GRU > LSTM > +RNN in bits per parameter.",
        "2.1.2, figure 1e",
        "For each neighbouring pair, the interval of the mean difference, over the sizes and "
        "depths that both have, lies in this direction; contradicted if one lies in the other "
        "direction, after at least 1000 trials per search.",
        capacity_order,
    ),
    "relu": Claim(
        "ReLU reduces capacity, in the RNN and the UGRNN as well as in the IRNN.",
        f"2.1.2, figure 2a: to about {paper.RELU_BITS_PER_PARAMETER} bits per parameter",
        "The interval of the mean difference between the best trial with tanh and the best with "
        f"ReLU, over the sizes of both architectures, lies above {RELU_DROP} bits per parameter; "
        "contradicted if it lies entirely below, after at least 1000 trials per search.",
        relu_lowers,
    ),
    "unrolling": Claim(
        "Capacity grows with the number of unrolled time steps, and saturates.",
        "2.1.2, figure 2b: diminishing gains",
        "Over at least 3 architectures, the intervals of two means lie above zero: the gain in "
        "bits per parameter from the fewest to the most steps, and the difference between the "
        "gains of the first and the last doubling; contradicted if either lies entirely below "
        "zero, after at least 1000 trials per search.",
        unrolling_saturates,
    ),
    "dataset_size": Claim(
        "The best size b of the data set is slightly above the number of stored bits.",
        "appendix A, figure App.1",
        "The interval of the geometric mean of b over the stored bits, over all architectures, "
        "lies within 1 and 1.25; contradicted if it lies entirely above, after at least 1000 "
        "trials per search.",
        dataset_size,
    ),
}
