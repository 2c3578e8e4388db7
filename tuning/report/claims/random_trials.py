"""Section 4 and appendix C: hyperparameters at random, and the best ones again."""

import numpy as np
from scipy import stats

from tuning.report import paper, statistics, tables
from tuning.report.claims.base import ALPHA, BEST_RULE, SHALLOW, Claim, Finding, has_all, verdict
from tuning.report.claims.searches import most_trainable
from tuning.report.paper import LABELS
from tuning.report.selection import untuned

#: Parameters of the paper's table 1 and figure 5.
BUDGET = 200_000


def gru_untuned(trials):
    """The GRU's random trials, depth 1."""
    return most_trainable("gru", 1, {"parens": untuned(trials, 1)})


def plus_rnn_untuned(trials):
    """The +RNN's random trials, depth 8."""
    return most_trainable("+rnn", 8, {"parens": untuned(trials, 8)})


def irnn_diverges(trials):
    """The IRNN's share of infeasible trials."""
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
    """The shares of infeasible trials beside the one that should be the least."""
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
    """Difference of two shares (count, total), and the p of Fisher's exact test."""
    cells = [[count, total - count] for count, total in (first, second)]
    return first[0] / first[1] - second[0] / second[1], stats.fisher_exact(cells).pvalue


def table_1(trials):
    """Our shares beside the paper's, at its size if there are such runs."""
    there = trials[trials.max_params == BUDGET]
    at_size = len(untuned(there)) > 0
    table = tables.infeasible(there if at_size else trials)
    runs, known = int(table.trials.sum()), table[table.trials > 0]
    if not len(known):
        return Finding()
    gaps, apart = [], []
    for row in known.itertuples():
        ours = (round(row.infeasible * row.trials), row.trials)
        theirs = (round(row.paper * paper.TRIALS["random"]), paper.TRIALS["random"])
        if _differ(ours, theirs)[1] < ALPHA / len(known):
            apart.append(f"{row.architecture} depth {row.depth}")
        gaps.append(statistics.share_difference(ours, theirs))
    ours = f"{len(known) - len(apart)} of {len(known)} shares do not differ"
    ours += f"; {', '.join(apart)} do" if apart else ""
    ours += "" if at_size else f"; not at {BUDGET:,} parameters"
    close = len(known) == len(table) and all(gap.within(-0.1, 0.1) for gap in gaps)
    return Finding(ours, runs, verdict(at_size and close, at_size and bool(apart)))


def pairs_of_table_app_2(trials):
    """The signs of Welch's t."""
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
    """Losses of reruns over the original's."""
    said, close, far, runs = [], [], [], 0
    for arch, study in tables.rerun_studies(trials).items():
        original, again = tables.original_and_reruns(trials, study)
        losses = again.eval_loss.dropna()
        runs += len(again)
        if original is None or not original > 0 or not len(losses):
            continue
        ratio = statistics.mean(np.log10(losses / original))
        said.append(f"{LABELS[arch]} {losses.mean() / original:.2f} times")
        close.append(len(losses) >= 10 and ratio.within(-1, 1))
        far.append(ratio.outside(-1, 1))
    ours = ", ".join(said) and "mean over the original: " + ", ".join(said)
    complete = len(close) == len(paper.TABLE_APP_1)
    return Finding(ours, runs, verdict(complete and all(close), any(far)))


def _percent(estimate):
    return f"{estimate.value:.1%} [{estimate.low:.1%}, {estimate.high:.1%}]"


CLAIMS = {
    "gru_untuned": Claim(
        "With random hyperparameters the GRU is the most easily trained, at depth 1.",
        "4, figure 5a: the smallest error, and the smallest median",
        BEST_RULE,
        gru_untuned,
    ),
    "plus_rnn_untuned": Claim(
        "With random hyperparameters the +RNN is the most easily trained, at depth 8.",
        "4, figure 5b: the smallest error, and the smallest median",
        BEST_RULE,
        plus_rnn_untuned,
    ),
    "irnn_diverges": Claim(
        "With random hyperparameters nearly half of the IRNN's trials are infeasible.",
        "4, table 1: 56.7 % at depth 1, 44.6 % at depth 8",
        "The share lies within 40 and 60 % with its whole interval, at each depth that has runs; "
        "contradicted if with none of it anywhere.",
        irnn_diverges,
    ),
    "least_infeasible": Claim(
        "The LSTM is infeasible least often at depth 1, the GRU at depth 8.",
        "4, table 1: 12.0 % and 3.2 %",
        "Its share is below each other's, all of which have runs at both depths, by Fisher's exact "
        "test at p < 0.05 over the number of tests; contradicted if any other's is below it.",
        least_infeasible,
    ),
    "table_1": Claim(
        "Shares of infeasible trials are those of table 1.",
        "4, table 1",
        f"At {BUDGET:,} parameters, the interval of each share's difference from the paper's "
        "(Newcombe's) lies within 10 points; contradicted if one differs by Fisher's exact test at "
        "p < 0.05 over the number of shares.",
        table_1,
    ),
    "table_app_2": Claim(
        "Which of two architectures has the larger mean loss is as in table App.2.",
        "appendix, table App.2",
        "Pairs whose means differ at p < 0.05 in both have the same sign in both, and are 5 or "
        "more and half of the paper's that have runs; contradicted if a sign is another.",
        pairs_of_table_app_2,
    ),
    "reruns": Claim(
        "The best hyperparameters give nearly the same loss again from other seeds.",
        "appendix C, table App.1: means of 0.7 to 7 times the original",
        "With 10 feasible reruns or more of each architecture, the mean of their log10 over the "
        "original lies within -1 and 1 with its whole interval; contradicted if with none of it "
        "for any.",
        reruns_close,
    ),
}
