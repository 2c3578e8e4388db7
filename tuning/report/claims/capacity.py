"""Section 2.1: how much a network stores in its parameters."""

import itertools
import math

import numpy as np

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

#: Bits a parameter that ReLU must cost at least; the paper's figure 2a shows one to two.
RELU_DROP = 0.5


def linear(trials):
    """The exponent of bits over parameters."""
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
    sizes = table.groupby(groups).num_params
    wide = table[(sizes.transform("max") / sizes.transform("min")) >= 10]
    ends = (0.85, 1.15)
    contradicted = exponent.outside(*ends) and is_thorough(table, "capacity")
    supported = exponent.within(*ends) and has_all(wide)
    return Finding(ours, len(found), verdict(supported, contradicted))


def five_bits(trials):
    """Bits a parameter of the largest networks."""
    found = capacity(trials)
    table = statistics.best(found, SIZE)
    if not len(table):
        return Finding(runs=len(found))
    largest = table.sort_values("num_params").groupby(["arch", "depth"], observed=True).tail(1)
    bits, (low, high) = statistics.mean(largest.bits_per_parameter), paper.BITS_PER_PARAMETER
    ours = f"{say(bits)} at the largest sizes, over {len(largest)} architectures and depths"
    supported = bits.within(low, high) and has_all(largest[largest.max_params >= 10_000])
    short = bits.high < low and is_thorough(largest, "capacity")
    return Finding(ours, len(found), verdict(supported, bits.low > high or short))


def similar_capacity(trials):
    """The largest factor between two architectures' parameters at equal capacity."""
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


def capacity_order(trials):
    """Differences between neighbours in the paper's order."""
    found = capacity(trials)
    table, gaps = statistics.best(found, SIZE), []
    for more, less in itertools.pairwise(paper.CAPACITY_ORDER):
        both = table[table.arch == more].merge(
            table[table.arch == less], on=["depth", "max_params"], suffixes=("_more", "_less")
        )
        gap = statistics.mean(both.bits_per_parameter_more - both.bits_per_parameter_less)
        gaps.append((f"{LABELS[more]} - {LABELS[less]}", gap))
    known = [(name, gap) for name, gap in gaps if not math.isnan(gap.value)]
    ours = ", ".join(f"{name} {say(gap)}" for name, gap in known)
    supported = all(gap.low > 0 for _, gap in gaps)
    reversed_ = any(gap.high < 0 for _, gap in known) and is_thorough(table, "capacity")
    return Finding(ours, len(found), verdict(supported, reversed_))


def relu_lowers(trials):
    """The best with tanh over the best with ReLU, setting by setting."""
    found = capacity(trials)
    pair = found[found.arch.isin(["rnn", "ugrnn"])]
    table = statistics.best(pair, (*SIZE, "activation"))
    tanh, only = table[table.activation == "tanh"], table[table.activation == "relu"]
    both = tanh.merge(only, on=list(SIZE), suffixes=("_tanh", "_relu"))
    drop = statistics.mean(both.bits_per_parameter_tanh - both.bits_per_parameter_relu)
    if math.isnan(drop.value):
        return Finding(runs=len(found))
    levels = statistics.best(relu(found), SIZE).bits_per_parameter
    ours = (
        f"lower by {say(drop)} bits a parameter; with ReLU {levels.mean():.2f} on average and "
        f"{levels.max():.2f} at most"
    )
    contradicted = drop.high < RELU_DROP and is_thorough(statistics.best(pair, SIZE), "capacity")
    supported = drop.low > RELU_DROP and has_all(both, ("rnn", "ugrnn"))
    return Finding(ours, len(found), verdict(supported, contradicted))


def unrolling_saturates(trials):
    """Growth from the fewest to the most steps, and how much the last doubling gives less."""
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
    archs, growth, slowing = len(growth), statistics.mean(growth), statistics.mean(slowing)
    if math.isnan(growth.value):
        return Finding(runs=len(found))
    ours = (
        f"{say(growth)} bits a parameter more from {min(ends):.0f} to {max(ends):.0f} steps; the "
        f"last doubling gives {say(slowing)} less than the first"
    )
    supported = growth.low > 0 and slowing.low > 0 and archs >= 3
    contradicted = (growth.high < 0 or slowing.high < 0) and is_thorough(table, "capacity")
    return Finding(ours, len(found), verdict(supported, contradicted))


def dataset_size(trials):
    """b over the stored bits."""
    found = capacity(trials)
    table = statistics.best(found, SIZE)
    table = table[(table.bits > 0) & table.num_samples.notna()]
    ratio = Estimate(*np.exp(statistics.mean(np.log(table.num_samples / table.bits))))
    if math.isnan(ratio.value):
        return Finding(runs=len(found))
    ours = f"b is {say(ratio)} times the stored bits (geometric mean)"
    contradicted = ratio.low > 1.25 and is_thorough(table, "capacity")
    supported = ratio.within(1, 1.25) and has_all(table)
    return Finding(ours, len(found), verdict(supported, contradicted))


CLAIMS = {
    "linear": Claim(
        "Stored bits grow linearly with the number of parameters, across orders of magnitude.",
        "2.1.2, figure 1a: roughly linear",
        "The exponent of stored bits over parameters, one intercept an architecture and depth, "
        "lies within 0.85 and 1.15 with its whole interval, each architecture's sizes spanning a "
        "factor of 10; contradicted if with none of it after 1000 trials a search.",
        linear,
    ),
    "five_bits": Claim(
        "Networks store about five bits a parameter.",
        "2.1.2, figure 1e: between 3 and 6, about 5 for larger networks",
        "The mean over architectures and depths, each at its largest size, of 10,000 parameters or "
        "more, lies within 3 and 6 with its whole interval; contradicted if that lies above, or "
        "below after 1000 trials a search.",
        five_bits,
    ),
    "similar_capacity": Claim(
        "Architectures differ little in capacity, the IRNN aside.",
        "2.1.2, figure 1i: only small variations",
        "None needs more than twice another's parameters for equal capacity, over the sizes that "
        "both have and whichever is left out, at a bit a parameter or more; contradicted if one "
        "always does, after 1000 trials a search.",
        similar_capacity,
    ),
    "capacity_order": Claim(
        "Gating reduces capacity slightly: RNN > UGRNN > GRU > LSTM > +RNN in bits a parameter.",
        "2.1.2, figure 1e",
        "Each neighbouring pair differs in this direction, on average over the sizes and depths "
        "that both have, with its whole interval; contradicted if any differs in the other after "
        "1000 trials a search.",
        capacity_order,
    ),
    "relu": Claim(
        "ReLU reduces capacity, in the RNN and the UGRNN as in the IRNN.",
        f"2.1.2, figure 2a: to about {paper.RELU_BITS_PER_PARAMETER} bits a parameter",
        f"The best with tanh exceeds the best with ReLU by {RELU_DROP} bits a parameter, on "
        "average over the sizes of both architectures, with its whole interval; contradicted if "
        "with none of it after 1000 trials a search.",
        relu_lowers,
    ),
    "unrolling": Claim(
        "Capacity grows with the time steps unrolled, and saturates.",
        "2.1.2, figure 2b: diminishing gains",
        "Bits a parameter grow from the fewest to the most steps, and the last doubling gives less "
        "than the first, both on average over 3 architectures or more with the whole interval; "
        "contradicted if either is the other way round after 1000 trials a search.",
        unrolling_saturates,
    ),
    "dataset_size": Claim(
        "The best size b of the data set is slightly above the bits that are stored of it.",
        "appendix A, figure App.1",
        "b over the stored bits, by geometric mean over all architectures, lies within 1 and 1.25 "
        "with its whole interval; contradicted if all of it is above after 1000 trials a search.",
        dataset_size,
    ),
}
