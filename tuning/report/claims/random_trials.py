"""Section 4 and appendix C: random hyperparameters, and reruns of the best ones."""

import numpy as np
import pandas as pd
from scipy import stats

from tuning.report import paper, statistics, tables
from tuning.report.claims.base import ALPHA, BEST_RULE, SHALLOW, Claim, Finding, has_all, verdict
from tuning.report.claims.searches import most_trainable
from tuning.report.paper import LABELS
from tuning.report.selection import untuned

#: Budget of the paper's table 1 and figure 5.
BUDGET = 200_000


def gru_untuned(trials: pd.DataFrame) -> Finding:
    """Compares the GRU's random trials with those of other architectures, at depth 1."""
    return most_trainable("gru", 1, {"parens": untuned(trials, 1)})


def plus_rnn_untuned(trials: pd.DataFrame) -> Finding:
    """Compares the +RNN's random trials with those of other architectures, at depth 8."""
    return most_trainable("+rnn", 8, {"parens": untuned(trials, 8)})


def irnn_diverges(trials: pd.DataFrame) -> Finding:
    """Estimates the infeasible fraction of the IRNN's trials."""
    shares, runs = [], 0
    for depth in (1, 8):
        found = untuned(trials, depth)
        found = found[found.arch == "irnn"]
        runs += len(found)
        if len(found):
            share = statistics.share((found.status == "infeasible").sum(), len(found))
            shares.append((depth, share))
    result = ", ".join(f"depth {depth} {_percent(share)}" for depth, share in shares)
    supported = bool(shares) and all(share.within(0.4, 0.6) for _, share in shares)
    contradicted = any(share.outside(0.4, 0.6) for _, share in shares)
    return Finding(result, runs, verdict(supported, contradicted))


def least_infeasible(trials: pd.DataFrame) -> Finding:
    """Compares the infeasible fraction that is claimed to be the smallest with all others."""
    said, tests, complete, runs = [], [], [], 0
    for depth, arch, archs in ((1, "lstm", SHALLOW), (8, "gru", paper.ARCHS)):
        found = untuned(trials, depth)
        runs += len(found)
        counts = {
            name: ((table.status == "infeasible").sum(), len(table))
            for name, table in found.groupby("arch", observed=True)
        }
        complete.append(has_all(found, archs))
        for name, count in counts.items():
            said.append(f"depth {depth} {LABELS[name]} {_percent(statistics.share(*count))}")
            if arch in counts and name != arch:
                tests.append(_differ(counts[arch], count))
    limit = ALPHA / max(len(tests), 1)
    supported = all(complete) and all(gap < 0 and p < limit for gap, p in tests)
    contradicted = any(gap > 0 and p < limit for gap, p in tests)
    return Finding(", ".join(said), runs, verdict(supported, contradicted))


def _differ(first, second):
    """Returns the difference of two fractions (count, total), and Fisher's exact p-value."""
    cells = [[count, total - count] for count, total in (first, second)]
    return first[0] / first[1] - second[0] / second[1], stats.fisher_exact(cells).pvalue


def table_1(trials: pd.DataFrame) -> Finding:
    """Compares infeasible fractions to the paper's, at its budget if there are such runs."""
    there = trials[trials.max_params == BUDGET]
    at_size = len(untuned(there)) > 0
    table = tables.infeasible(there if at_size else trials)
    runs, known = int(table.trials.sum()), table[table.trials > 0]
    if not len(known):
        return Finding()
    gaps, apart = [], []
    for row in known.itertuples():
        measured = (round(row.infeasible * row.trials), row.trials)
        published = (round(row.paper * paper.TRIALS["random"]), paper.TRIALS["random"])
        if _differ(measured, published)[1] < ALPHA / len(known):
            apart.append(f"{row.architecture} depth {row.depth}")
        gaps.append(statistics.share_difference(measured, published))
    result = f"{len(known) - len(apart)} of {len(known)} fractions do not differ"
    result += f"; {', '.join(apart)} do" if apart else ""
    result += "" if at_size else f"; not at {BUDGET:,} parameters"
    close = len(known) == len(table) and all(gap.within(-0.1, 0.1) for gap in gaps)
    return Finding(result, runs, verdict(at_size and close, at_size and bool(apart)))


def pairs_of_table_app_2(trials: pd.DataFrame) -> Finding:
    """Compares the signs of Welch's t to the paper's."""
    table = tables.welch(trials)
    runs = sum(len(untuned(trials, depth)) for depth in (1, 8))
    known = table[table.t.notna()]
    measured, published = known.p < ALPHA, known["paper: p"] < ALPHA
    both = known[measured & published]
    agree = np.sign(both.t) == np.sign(both["paper: t"])
    if not len(known):
        return Finding(runs=runs)
    apart = ", ".join(f"{r.pair} depth {r.depth}" for r in both[~agree].itertuples())
    said = f"{agree.sum()} of {len(both)} pairs that differ in both have the same sign"
    said += f"; opposite in {apart}" if apart else ""
    enough = len(both) >= max(5, 0.5 * published.sum())
    return Finding(said, runs, verdict(enough and agree.all(), not agree.all()))


def reruns_close(trials: pd.DataFrame) -> Finding:
    """Averages the log ratio of reruns' losses to the original's."""
    said, close, far, runs = [], [], [], 0
    for arch, study in tables.rerun_studies(trials).items():
        original, again = tables.original_and_reruns(trials, study)
        losses = again.eval_loss.dropna()
        runs += len(again)
        if original is None or not original > 0 or not len(losses):
            continue
        ratio = statistics.mean(np.log10(losses / original))
        said.append(f"{LABELS[arch]} {losses.mean() / original:.2f}")
        close.append(len(losses) >= 10 and ratio.within(-1, 1))
        far.append(ratio.outside(-1, 1))
    result = ", ".join(said) and "mean loss over the original's: " + ", ".join(said)
    complete = len(close) == len(paper.TABLE_APP_1)
    return Finding(result, runs, verdict(complete and all(close), any(far)))


def _percent(estimate):
    return f"{estimate.value:.1%} [{estimate.low:.1%}, {estimate.high:.1%}]"


CLAIMS = {
    "gru_untuned": Claim(
        "With random hyperparameters, the GRU is the most trainable at depth 1.",
        "4, figure 5a: the smallest error, and the smallest median",
        BEST_RULE,
        gru_untuned,
    ),
    "plus_rnn_untuned": Claim(
        "With random hyperparameters, the +RNN is the most trainable at depth 8.",
        "4, figure 5b: the smallest error, and the smallest median",
        BEST_RULE,
        plus_rnn_untuned,
    ),
    "irnn_diverges": Claim(
        "With random hyperparameters, nearly half of the IRNN's trials are infeasible.",
        "4, table 1: 56.7 % at depth 1, 44.6 % at depth 8",
        "At each depth with runs, the interval of the infeasible fraction lies within 40 and 60 %; "
        "contradicted if it lies entirely outside at any depth.",
        irnn_diverges,
    ),
    "least_infeasible": Claim(
        "The LSTM has the fewest infeasible trials at depth 1, the GRU at depth 8.",
        "4, table 1: 12.0 % and 3.2 %",
        "All architectures have runs at both depths, and the named one has a smaller infeasible "
        "fraction than every other by Fisher's exact test at p < 0.05 divided by the number of "
        "tests; contradicted if another has a smaller one by the same test.",
        least_infeasible,
    ),
    "table_1": Claim(
        "The fractions of infeasible trials are those of table 1.",
        "4, table 1",
        f"At {BUDGET:,} parameters, Newcombe's interval of each fraction's difference from the "
        "paper's lies within 10 percentage points; contradicted if one differs by Fisher's exact "
        "test at p < 0.05 divided by the number of fractions.",
        table_1,
    ),
    "table_app_2": Claim(
        "Mean losses of architectures are ordered as in table App.2.",
        "appendix, table App.2",
        "All pairs whose means differ at p < 0.05 here and in the paper have the same sign of t. "
        "They are at least 5, and at least half of the pairs with runs that differ in the paper. "
        "Contradicted if one has the opposite sign.",
        pairs_of_table_app_2,
    ),
    "reruns": Claim(
        "The best hyperparameters reach nearly the same loss from other seeds.",
        "appendix C, table App.1: means of 0.7 to 7 times the original",
        "Each architecture has at least 10 feasible reruns, and the interval of their mean log10 "
        "loss ratio to the original lies within -1 and 1; contradicted if it lies entirely outside "
        "for any architecture.",
        reruns_close,
    ),
}
