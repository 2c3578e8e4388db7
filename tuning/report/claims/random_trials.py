"""Section 4 and appendix C: random hyperparameters, and reruns of the best ones."""

import numpy as np
import pandas as pd

from tuning.report import paper, statistics, tables
from tuning.report.claims import floors
from tuning.report.claims.base import ALPHA, SHALLOW, Claim, Finding, has_all, verdict
from tuning.report.claims.searches import BEST_RULE, by_trial, capped, describe, most_trainable
from tuning.report.paper import LABELS
from tuning.report.selection import untuned

#: Budget of the paper's table 1 and figure 5.
BUDGET = 200_000
#: "Nearly half": the range of the fraction.
NEARLY_HALF = (1 / 3, 2 / 3)
#: Level at which a pair of table App.2 differs; stricter than `ALPHA`, as there are many pairs.
PAIR = 0.01
#: A fraction passes for the smallest if it exceeds no other by this difference and this factor.
MARGIN, FACTOR = 0.05, 2.0


def gru_untuned(trials: pd.DataFrame) -> Finding:
    """Compare the GRU's random trials with those of other architectures, at depth 1."""
    return _untuned("gru", 1, trials)


def plus_rnn_untuned(trials: pd.DataFrame) -> Finding:
    """Compare the +RNN's random trials with those of other architectures, at depth 8."""
    return _untuned("+rnn", 8, trials)


def _untuned(arch, depth, trials):
    found = untuned(trials, depth)
    if not len(found):
        return Finding()
    shares = (capped(found) < 1).groupby(found.arch, observed=True).mean()
    learned = ", ".join(f"{LABELS[name]} {share:.1%}" for name, share in shares.items())
    result = f"learned: {learned}; {describe(found)}"
    decided = most_trainable(arch, depth, {"parens": by_trial(found)})
    return Finding(result, len(found), decided)


def irnn_diverges(trials: pd.DataFrame) -> Finding:
    """Estimate the infeasible fraction of the IRNN's trials."""
    said, shares, runs = [], [], 0
    for depth in (1, 8):
        found = untuned(trials, depth)
        found = found[found.arch == "irnn"]
        if not len(found):
            continue
        runs += len(found)
        share = statistics.share(*_infeasible(found))
        said.append(f"depth {depth} {_percent(share)}")
        if len(found) >= floors.RANDOM:
            shares.append(share)
        else:
            said[-1] += f" of {len(found)}, too few for the rule"
    supported = bool(shares) and all(share.within(*NEARLY_HALF) for share in shares)
    contradicted = any(share.outside(*NEARLY_HALF) for share in shares)
    return Finding(", ".join(said), runs, verdict(supported, contradicted))


def least_infeasible(trials: pd.DataFrame) -> Finding:
    """Compare the infeasible fraction that is claimed to be the smallest with all others."""
    said, supports, contradicts, runs = [], [], [], 0
    for depth, arch, archs in ((1, "lstm", SHALLOW), (8, "gru", paper.ARCHS)):
        found = untuned(trials, depth)
        runs += len(found)
        counts = {name: _infeasible(table) for name, table in found.groupby("arch", observed=True)}
        for name, count in counts.items():
            said.append(f"depth {depth} {LABELS[name]} {_percent(statistics.share(*count))}")
        own, others = counts.pop(arch, (0, 0)), list(counts.values())
        gaps = [statistics.share_difference(own, other) for other in others if own[1]]
        ratios = [statistics.share_ratio(own, other) for other in others if own[1]]
        pooled = tuple(np.sum(others, axis=0)) if others else (0, 0)
        fewer = statistics.share_difference(own, pooled).high < 0
        close = all(gap.high < MARGIN for gap in gaps)
        close &= all(ratio.high < FACTOR for ratio in ratios)
        supports.append(has_all(found, archs) and fewer and close)
        contradicts += [
            gap.value > 0
            and statistics.fisher(own, other) < ALPHA / (len(SHALLOW) + len(paper.ARCHS) - 2)
            for gap, other in zip(gaps, others, strict=False)
        ]
    return Finding(", ".join(said), runs, verdict(all(supports), any(contradicts)))


def _infeasible(trials):
    """Number of infeasible trials, and of all."""
    return int((trials.status == "infeasible").sum()), len(trials)


def table_1(trials: pd.DataFrame) -> Finding:
    """Compare infeasible fractions to the paper's, at its budget if there are such runs."""
    there = trials[(trials.max_params == BUDGET) & (trials.train_steps >= paper.MIN_STEPS)]
    at_size = len(untuned(there)) > 0
    table = tables.infeasible(there if at_size else trials)
    runs, known = int(table.trials.sum()), table[table.trials > 0]
    if not len(known):
        return Finding()
    gaps, apart = [], []
    for row in known.itertuples():
        measured = (round(row.infeasible * row.trials), row.trials)
        published = (round(row.paper * paper.TRIALS["random"]), paper.TRIALS["random"])
        if statistics.fisher(measured, published) < ALPHA / len(known):
            apart.append(f"{row.architecture} depth {row.depth}")
        gaps.append(statistics.share_difference(measured, published))
    result = f"{len(known) - len(apart)} of {len(known)} fractions do not differ"
    result += f"; {', '.join(apart)} do" if apart else ""
    result += "" if at_size else f"; not at {BUDGET:,} parameters and {paper.MIN_STEPS:,} steps"
    close = len(known) == len(table) and all(gap.within(-0.1, 0.1) for gap in gaps)
    return Finding(result, runs, verdict(at_size and close, at_size and bool(apart)))


def pairs_of_table_app_2(trials: pd.DataFrame) -> Finding:
    """Compare the ranks of capped losses to the signs of the paper's t."""
    tests, runs = [], 0
    pairs = paper.TABLE_APP_2[paper.TABLE_APP_2.p < ALPHA]
    for depth in (1, 8):
        found = untuned(trials, depth)
        found = found[found.groupby("arch", observed=True).run.transform("size") >= floors.RANDOM]
        runs += len(found)
        losses = by_trial(found[found.status == "ok"])
        for each in pairs[pairs.depth == depth].itertuples():
            if losses.keys() >= {each.first, each.second}:
                # Welch's t takes a sample without learners for one without variance.
                smaller, p = statistics.mann_whitney(losses[each.first], losses[each.second])
                name = f"{LABELS[each.first]}/{LABELS[each.second]} depth {depth}"
                tests.append((name, np.sign(0.5 - smaller) == np.sign(each.t), p))
    if not tests:
        return Finding(runs=runs)
    same = sum(agrees and p < PAIR for _, agrees, p in tests)
    apart = {name: p for name, agrees, p in tests if not agrees and p < ALPHA}
    said = f"{same} of {len(tests)} pairs that differ in the paper differ here with the same sign"
    said += f"; opposite in {', '.join(apart)}" if apart else ""
    supported = len(tests) >= 10 and same >= 2 / 3 * len(tests) and not apart
    contradicted = any(p < ALPHA / len(pairs) for p in apart.values())
    return Finding(said, runs, verdict(supported, contradicted))


def reruns_close(trials: pd.DataFrame) -> Finding:
    """Average the log ratio of reruns' losses to the original's."""
    said, close, far, runs = [], [], [], 0
    for arch, study in tables.rerun_studies(trials).items():
        original, again = tables.original_and_reruns(trials, study)
        losses = again.eval_loss.dropna()
        runs += len(again)
        if original is None or not original > 0 or not len(losses):
            continue
        share = original / float(again.chance_loss.iloc[0])
        ratio = statistics.mean(np.log10(losses / original))
        said.append(
            f"{LABELS[arch]} {losses.mean() / original:.2f} (original {share:.2%} of chance)"
        )
        if share < floors.SOLVED and len(losses) >= floors.RERUNS:
            close.append(ratio.within(-1, 1))
            far.append(ratio.outside(-1, 1))
    result = ", ".join(said) and "mean loss over the original's: " + ", ".join(said)
    complete = len(close) == len(paper.TABLE_APP_1)
    return Finding(result, runs, verdict(complete and all(close), any(far)))


def _percent(estimate):
    return f"{estimate.value:.1%} [{estimate.low:.1%}, {estimate.high:.1%}]"


_TRIALS = (
    "All architectures have trials with random hyperparameters from all of appendix A's ranges, "
    "with the same number of steps, and none is stopped early. Divergences and losses of at least "
    "0.95 of chance are set to chance. "
)
CLAIMS = {
    "gru_untuned": Claim(
        "With random hyperparameters, the GRU is the most trainable at depth 1.",
        "4, figure 5a: the smallest error, and the smallest median",
        BEST_RULE.format(samples=_TRIALS),
        gru_untuned,
    ),
    "plus_rnn_untuned": Claim(
        "With random hyperparameters, the +RNN is the most trainable at depth 8.",
        "4, figure 5b: the smallest error, and the smallest median",
        BEST_RULE.format(samples=_TRIALS),
        plus_rnn_untuned,
    ),
    "irnn_diverges": Claim(
        "With random hyperparameters, nearly half of the IRNN's trials are infeasible.",
        "4, table 1: 56.7 % at depth 1, 44.6 % at depth 8",
        f"At each depth with at least {floors.RANDOM} trials, the interval of the infeasible "
        "fraction lies within a third and two thirds; contradicted if it lies entirely outside at "
        "any such depth.",
        irnn_diverges,
    ),
    "least_infeasible": Claim(
        "The LSTM has the fewest infeasible trials at depth 1, the GRU at depth 8.",
        "4, table 1: 12.0 % and 3.2 %",
        "All architectures have runs at both depths. The named one's infeasible fraction is "
        "smaller than that of all others together. It exceeds no other's by "
        f"{100 * MARGIN:.0f} percentage points or by a factor of {FACTOR:.0f}, even at the upper "
        "end of either interval. Contradicted if another has a smaller one by Fisher's exact test, "
        "at p < 0.05 divided by the number of tests.",
        least_infeasible,
    ),
    "table_1": Claim(
        "The fractions of infeasible trials are those of table 1.",
        "4, table 1",
        f"At {BUDGET:,} parameters, in trials of {paper.MIN_STEPS:,} steps or more, Newcombe's "
        "interval of each fraction's difference from the paper's lies within 10 percentage points. "
        "Contradicted if one differs by Fisher's exact test, at p < 0.05 divided by the number of "
        "fractions.",
        table_1,
    ),
    "table_app_2": Claim(
        "Losses of architectures are ordered as in table App.2.",
        "appendix, table App.2",
        "Losses are of feasible trials, and those of at least 0.95 of chance are set to chance. Of "
        "the pairs that differ in the paper, at least 10 have runs: "
        f"{floors.RANDOM} trials of each architecture. Two thirds of these pairs differ in the "
        f"paper's direction by the Mann-Whitney test at p < {PAIR}, and none in the other at p < "
        "0.05. Contradicted if one differs in the other direction, at p < 0.05 divided by the "
        "number of all pairs that differ in the paper.",
        pairs_of_table_app_2,
    ),
    "reruns": Claim(
        "The best hyperparameters reach nearly the same loss from other seeds.",
        "appendix C, table App.1: means of 0.7 to 7 times the original",
        "Each architecture's original is below 1 % of the chance loss, it has at least "
        f"{floors.RERUNS} feasible reruns, and the interval of their mean log10 loss ratio to the "
        "original lies within -1 and 1; contradicted if it lies entirely outside for any such "
        "architecture.",
        reruns_close,
    ),
}
