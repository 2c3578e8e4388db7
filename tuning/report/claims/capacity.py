"""Section 2.1: how much a network stores in its parameters."""

import itertools
import math

import numpy as np

from tuning.report import paper, statistics
from tuning.report.claims.base import (
    SIZE,
    Claim,
    Finding,
    is_thorough,
    say,
    verdict,
    without_each_size,
)
from tuning.report.figures import capacity, relu, unrolled
from tuning.report.paper import LABELS
from tuning.report.statistics import Estimate


def linear(trials):
    found = capacity(trials)
    table = statistics.best(found, SIZE)
    table = table[table.bits > 0]
    groups = [f"{arch} {depth}" for arch, depth in zip(table.arch, table.depth, strict=True)]
    exponent = statistics.slope(np.log(table.num_params), np.log(table.bits), groups)
    if math.isnan(exponent.value):
        return Finding(runs=len(found))
    slope = statistics.slope(table.num_params, table.bits, groups)
    ours = (
        f"exponent {say(exponent)}, {say(slope)} bits for each further parameter, from "
        f"{table.num_params.min():,.0f} to {table.num_params.max():,.0f} parameters"
    )
    ends = (0.85, 1.15)
    contradicted = exponent.outside(*ends) and is_thorough(table, "capacity")
    return Finding(ours, len(found), verdict(exponent.within(*ends), contradicted))


def five_bits(trials):
    found = capacity(trials)
    table = statistics.best(found, SIZE)
    if not len(table):
        return Finding()
    largest = table.sort_values("num_params").groupby(["arch", "depth"], observed=True).tail(1)
    bits, (low, high) = statistics.mean(largest.bits_per_parameter), paper.BITS_PER_PARAMETER
    ours = f"{say(bits)} at the largest sizes, over {len(largest)} architectures and depths"
    short = bits.high < low and is_thorough(largest, "capacity")
    return Finding(ours, len(found), verdict(bits.within(low, high), bits.low > high or short))


def capacity_order(trials):
    found = capacity(trials)
    table = statistics.best(found, SIZE)
    gaps = []
    for more, less in itertools.pairwise(paper.CAPACITY_ORDER):
        gap = _paired(table[table.arch == more], table[table.arch == less])
        gaps.append((f"{LABELS[more]} - {LABELS[less]}", statistics.mean(gap)))
    known = [(name, gap) for name, gap in gaps if not math.isnan(gap.value)]
    ours = ", ".join(f"{name} {say(gap)}" for name, gap in known)
    supported = all(gap.low > 0 for _, gap in gaps)
    reversed_ = any(gap.high < 0 for _, gap in known) and is_thorough(table, "capacity")
    return Finding(ours, len(found), verdict(supported, reversed_))


def _paired(first, second):
    """Differences in bits per parameter between tables of bests, at the sizes that both have."""
    both = first.merge(second, on=["depth", "max_params"], suffixes=("_1", "_2"))
    return both.bits_per_parameter_1 - both.bits_per_parameter_2


def similar_capacity(trials):
    found = capacity(trials)
    table = statistics.best(found[found.arch != "irnn"], SIZE)
    table = table[table.bits_per_parameter > 0]

    def spread(table):
        means = table.groupby("arch", observed=True).bits_per_parameter.mean()
        return means.max() / means.min() if len(means) > 1 else math.nan

    factor = without_each_size(table, spread)
    if math.isnan(factor.value):
        return Finding(runs=len(found))
    thorough = is_thorough(table, "capacity")
    return Finding(
        f"factor {say(factor)}", len(found), verdict(factor.high <= 2, factor.low > 2 and thorough)
    )


def relu_lowers(trials):
    found = capacity(trials)
    table, only = statistics.best(found, SIZE), statistics.best(relu(found), SIZE)
    pair = ["rnn", "ugrnn"]
    drop = statistics.mean(_paired(table[table.arch.isin(pair)], only[only.arch.isin(pair)]))
    levels = only[only.arch.isin([*pair, "irnn"])].bits_per_parameter
    if math.isnan(drop.value):
        return Finding(runs=len(found))
    ours = (
        f"lower by {say(drop)} bits a parameter, to {levels.mean():.2f} on average and "
        f"{levels.max():.2f} at most"
    )
    contradicted = drop.high <= 0 and is_thorough(table, "capacity")
    return Finding(ours, len(found), verdict(drop.low > 0, contradicted))


def unrolling_saturates(trials):
    found = unrolled(trials)
    table = statistics.best(found, ("arch", "num_steps"))
    growth, slowing, ends = [], [], set()
    for _, line in table.groupby("arch", observed=True):
        if len(line) < 3:
            continue
        steps, bits = np.log2(line.num_steps.to_numpy()), line.bits_per_parameter.to_numpy()
        rate = np.diff(bits) / np.diff(steps)
        growth.append(bits[-1] - bits[0])
        slowing.append(rate[0] - rate[-1])
        ends |= {line.num_steps.min(), line.num_steps.max()}
    growth, slowing = statistics.mean(growth), statistics.mean(slowing)
    if math.isnan(growth.value):
        return Finding(runs=len(found))
    ours = (
        f"{say(growth)} bits a parameter more from {min(ends):.0f} to {max(ends):.0f} steps; the "
        f"last doubling gives {say(slowing)} less than the first"
    )
    supported = growth.low > 0 and slowing.low > 0
    contradicted = (growth.high < 0 or slowing.high < 0) and is_thorough(table, "capacity")
    return Finding(ours, len(found), verdict(supported, contradicted))


def dataset_size(trials):
    found = capacity(trials)
    table = statistics.best(found, SIZE)
    table = table[(table.bits > 0) & table.num_samples.notna()]
    ratio = Estimate(*np.exp(statistics.mean(np.log(table.num_samples / table.bits))))
    if math.isnan(ratio.value):
        return Finding(runs=len(found))
    ours = f"b is {say(ratio)} times the stored bits (geometric mean)"
    contradicted = ratio.low > 1.25 and is_thorough(table, "capacity")
    return Finding(ours, len(found), verdict(ratio.within(1, 1.25), contradicted))


CLAIMS = {
    "linear": Claim(
        "Stored bits grow linearly with the number of parameters, across orders of magnitude.",
        "2.1.2, figure 1a: roughly linear",
        "The exponent of stored bits over parameters, one intercept an architecture and depth, "
        "lies within 0.85 and 1.15 with its whole interval; contradicted if with none of it after "
        "1000 trials a study.",
        ("figure_1",),
        linear,
    ),
    "five_bits": Claim(
        "Networks store about five bits a parameter.",
        "2.1.2, figure 1e: between 3 and 6, about 5 for larger networks",
        "The mean over architectures and depths, each at its largest size, lies within 3 and 6 "
        "with its whole interval; contradicted if that lies above, or below after 1000 trials a "
        "study.",
        ("figure_1",),
        five_bits,
    ),
    "similar_capacity": Claim(
        "Architectures differ little in capacity, the IRNN aside.",
        "2.1.2, figure 1i: only small variations",
        "The most over the least bits a parameter of an architecture's mean is at most 2 whichever "
        "size is left out; contradicted if always more, after 1000 trials a study.",
        ("figure_1",),
        similar_capacity,
    ),
    "capacity_order": Claim(
        "Gating reduces capacity slightly: RNN > UGRNN > GRU > LSTM > +RNN in bits a parameter.",
        "2.1.2, figure 1e",
        "Each neighbouring pair differs in this direction, on average over the sizes and depths "
        "that both have, with its whole interval; contradicted if any differs in the other after "
        "1000 trials a study.",
        ("figure_1",),
        capacity_order,
    ),
    "relu": Claim(
        "ReLU reduces capacity, in the RNN and the UGRNN as in the IRNN.",
        f"2.1.2, figure 2a: to about {paper.RELU_BITS_PER_PARAMETER} bits a parameter",
        "The best of all trials of the RNN and the UGRNN exceeds the best with ReLU, on average "
        "over sizes, with its whole interval; contradicted if it does not exceed it after 1000 "
        "trials a study.",
        ("figure_1",),
        relu_lowers,
    ),
    "unrolling": Claim(
        "Capacity grows with the time steps unrolled, and saturates.",
        "2.1.2, figure 2b: diminishing gains",
        "Bits a parameter grow from the fewest to the most steps, and the last doubling gives less "
        "than the first, both on average over architectures with the whole interval; contradicted "
        "if either is the other way round after 1000 trials a study.",
        ("figure_2b",),
        unrolling_saturates,
    ),
    "dataset_size": Claim(
        "The best size b of the data set is slightly above the bits that are stored of it.",
        "appendix A, figure App.1",
        "b over the stored bits, by geometric mean, lies within 1 and 1.25 with its whole "
        "interval; contradicted if all of it is above after 1000 trials a study.",
        ("figure_1",),
        dataset_size,
    ),
}
