"""Section 4 and appendix C: hyperparameters at random, and the best ones again."""

import numpy as np
from scipy import stats

from tuning.report import paper, statistics, tables
from tuning.report.claims.base import ALPHA, Claim, Finding, verdict
from tuning.report.claims.searches import most_trainable
from tuning.report.figures import untuned
from tuning.report.paper import LABELS


def gru_untuned(trials):
    return most_trainable(trials, "gru", 1, lambda task: untuned(trials, 1), ("parens",))


def plus_rnn_untuned(trials):
    return most_trainable(trials, "+rnn", 8, lambda task: untuned(trials, 8), ("parens",))


def irnn_diverges(trials):
    shares, runs = [], 0
    for depth in (1, 8):
        found = untuned(trials, depth)
        found = found[found.arch == "irnn"]
        runs += len(found)
        if len(found):
            share = statistics.share((found.status == "infeasible").sum(), len(found))
            shares.append((depth, share))
    ours = ", ".join(f"depth {depth} {_percent(share)}" for depth, share in shares)
    supported = bool(shares) and all(share.within(0.4, 0.6) for _, share in shares)
    contradicted = any(share.outside(0.4, 0.6) for _, share in shares)
    return Finding(ours, runs, verdict(supported, contradicted))


def least_infeasible(trials):
    said, less, more, runs = [], [], [], 0
    for depth, arch in ((1, "lstm"), (8, "gru")):
        found = untuned(trials, depth)
        runs += len(found)
        counts = {
            name: ((table.status == "infeasible").sum(), len(table))
            for name, table in found.groupby("arch", observed=True)
        }
        if arch not in counts or len(counts) < 2:
            continue
        said += [
            f"depth {depth} {LABELS[n]} {_percent(statistics.share(*c))}" for n, c in counts.items()
        ]
        for other in counts.keys() - {arch}:
            difference, p = _differ(counts[arch], counts[other])
            less.append(difference < 0 and p < ALPHA)
            more.append(difference > 0 and p < ALPHA)
    return Finding(", ".join(said), runs, verdict(bool(less) and all(less), any(more)))


def _differ(first, second):
    """Difference of two shares (count, total), and the p of Fisher's exact test."""
    cells = [[count, total - count] for count, total in (first, second)]
    return first[0] / first[1] - second[0] / second[1], stats.fisher_exact(cells).pvalue


def table_1(trials):
    budget, table = 200_000, tables.infeasible(trials)
    runs, known = int(table.trials.sum()), table[table.trials > 0]
    if not len(known):
        return Finding()
    at_size = set(untuned(trials).max_params) == {budget}
    apart = []
    for row in known.itertuples():
        ours = (round(row.infeasible * row.trials), row.trials)
        theirs = (round(row.paper * paper.TRIALS["random"]), paper.TRIALS["random"])
        if _differ(ours, theirs)[1] < ALPHA / len(known):
            apart.append(f"{row.architecture} depth {row.depth}")
    ours = f"{len(known) - len(apart)} of {len(known)} shares do not differ"
    ours += f"; {', '.join(apart)} do" if apart else ""
    ours += "" if at_size else f"; not at {budget:,} parameters"
    enough = at_size and len(known) == len(table) and known.trials.min() >= 100
    return Finding(ours, runs, verdict(enough and not apart, at_size and bool(apart)))


def pairs_of_table_app_2(trials):
    table = tables.welch(trials)
    runs = sum(len(untuned(trials, depth)) for depth in (1, 8))
    known = table[table.t.notna()]
    ours, theirs = known.p < ALPHA, known["paper: p"] < ALPHA
    both = known[ours & theirs]
    agree = np.sign(both.t) == np.sign(both["paper: t"])
    if not len(known):
        return Finding(runs=runs)
    apart = ", ".join(f"{r.pair} depth {r.depth}" for r in both[~agree].itertuples())
    said = f"{agree.sum()} of {len(both)} pairs that differ in both have the same sign"
    said += f"; not {apart}" if apart else ""
    enough = len(both) >= max(5, 0.5 * theirs.sum())
    return Finding(said, runs, verdict(enough and agree.all(), not agree.all()))


def reruns_close(trials):
    again = trials[trials.is_rerun & (trials.task == "parens")]
    table = tables.reruns(trials)
    table = table[table.reruns > 0]
    said, close, far = [], [], []
    for row in table.itertuples():
        losses = again[again.arch == {v: k for k, v in LABELS.items()}[row.architecture]].eval_loss
        ratio = statistics.mean(np.log10(losses.dropna() / row.original))
        said.append(f"{row.architecture} {row.mean / row.original:.2f} times")
        close.append(ratio.within(-1, 1))
        far.append(ratio.outside(-1, 1))
    ours = ", ".join(said) and "mean over the original: " + ", ".join(said)
    enough = set(paper.TABLE_APP_1.index) == set(again.arch) and table.reruns.min() >= 10
    return Finding(ours, len(again), verdict(enough and all(close), any(far)))


def _percent(estimate):
    return f"{estimate.value:.1%} [{estimate.low:.1%}, {estimate.high:.1%}]"


_SWEEP = ("figure_5",)
_BEST_RULE = (
    "Its trials have lower eval losses than those of each other architecture, by Mann and "
    "Whitney's test at p < 0.05, a divergence being the worst; contradicted if another's are "
    "lower."
)
CLAIMS = {
    "gru_untuned": Claim(
        "With random hyperparameters the GRU is the most easily trained, at depth 1.",
        "4, figure 5a: the smallest error, and the smallest median",
        _BEST_RULE,
        _SWEEP,
        gru_untuned,
    ),
    "plus_rnn_untuned": Claim(
        "With random hyperparameters the +RNN is the most easily trained, at depth 8.",
        "4, figure 5b: the smallest error, and the smallest median",
        _BEST_RULE,
        _SWEEP,
        plus_rnn_untuned,
    ),
    "irnn_diverges": Claim(
        "With random hyperparameters nearly half of the IRNN's trials are infeasible.",
        "4, table 1: 56.7 % at depth 1, 44.6 % at depth 8",
        "The share lies within 40 and 60 % with its whole interval, at each depth that has runs; "
        "contradicted if with none of it anywhere.",
        _SWEEP,
        irnn_diverges,
    ),
    "least_infeasible": Claim(
        "The LSTM is infeasible least often at depth 1, the GRU at depth 8.",
        "4, table 1: 12.0 % and 3.2 %",
        "Its share is below each other's by Fisher's exact test at p < 0.05, at each depth that "
        "has runs; contradicted if any other's is below it.",
        _SWEEP,
        least_infeasible,
    ),
    "table_1": Claim(
        "Shares of infeasible trials are those of table 1.",
        "4, table 1",
        "At 200,000 parameters, with 100 trials or more of each, no share differs from the "
        "paper's by Fisher's exact test, p < 0.05 over the number of shares; contradicted if one "
        "does at that size.",
        _SWEEP,
        table_1,
    ),
    "table_app_2": Claim(
        "Which of two architectures has the larger mean loss is as in table App.2.",
        "appendix, table App.2",
        "Pairs whose means differ at p < 0.05 in both have the same sign in both, and are 5 or "
        "more and half of the paper's that have runs; contradicted if a sign is another.",
        _SWEEP,
        pairs_of_table_app_2,
    ),
    "reruns": Claim(
        "The best hyperparameters give nearly the same loss again from other seeds.",
        "appendix C, table App.1: means of 0.7 to 7 times the original",
        "With 10 reruns or more of each architecture, the mean of their log10 over the original "
        "lies within -1 and 1 with its whole interval; contradicted if with none of it for any.",
        ("table_app_1",),
        reruns_close,
    ),
}
