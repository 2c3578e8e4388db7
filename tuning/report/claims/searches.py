"""Section 4: which architectures a search can train on hard tasks."""

import itertools
import math

from scipy import stats

from tuning.report import paper, statistics
from tuning.report.claims.base import ALPHA, Claim, Finding, is_thorough, verdict
from tuning.report.figures import tuned
from tuning.report.paper import LABELS


def gated_easier(trials):
    said, better, worse, runs = [], [], [], 0
    for task, depth in itertools.product(("parens", "arithmetic"), (1, 2, 4, 8)):
        found = tuned(trials, task, depth)
        is_gated = found.arch.isin(paper.GATED)
        wins, p = _wins(found[is_gated], found[~is_gated])
        runs += len(found)
        if math.isnan(p):
            continue
        said.append(f"{task} depth {depth} {wins:.0%}")
        better.append(wins > 0.5 and p < ALPHA)
        worse.append(wins < 0.5 and p < ALPHA)
    ours = ", ".join(said) and "a gated trial beats an ungated one: " + ", ".join(said)
    return Finding(ours, runs, verdict(bool(better) and all(better), any(worse)))


def _wins(first, second):
    """How often a trial of the first beats one of the second, and the p of Mann and Whitney's test.

    A trial that diverged loses to every other.
    """
    losses = [each.eval_loss.fillna(math.inf) for each in (first, second)]
    if not all(map(len, losses)):
        return math.nan, math.nan
    u, p = stats.mannwhitneyu(*losses)
    return 1 - u / (len(losses[0]) * len(losses[1])), p


def gru_searched(trials):
    return most_trainable(trials, "gru", 1, lambda task: tuned(trials, task, 1))


def plus_rnn_searched(trials):
    return most_trainable(trials, "+rnn", 8, lambda task: tuned(trials, task, 8))


def most_trainable(trials, arch, depth, select, tasks=("parens", "arithmetic")):
    """Whether an architecture's trials beat those of each other, on each task that has runs."""
    wanted = set(paper.ARCHS) - ({"+rnn"} if depth == 1 else set())
    said, better, worse, runs = [], [], [], 0
    for task in tasks:
        found = select(task)
        runs += len(found)
        if set(found.arch) != wanted:
            better += [False] if len(found) or len(tasks) == 1 else []
            continue
        medians = found.groupby("arch", observed=True).eval_loss.median()
        minima = found.groupby("arch", observed=True).eval_loss.min()
        said.append(
            f"{task}: least median {LABELS[medians.idxmin()]} ({medians.min():.3g}), least loss "
            f"{LABELS[minima.idxmin()]} ({minima.min():.3g})"
        )
        own = found[found.arch == arch]
        for other in wanted - {arch}:
            wins, p = _wins(own, found[found.arch == other])
            better.append(wins > 0.5 and p < ALPHA)
            worse.append(wins < 0.5 and p < ALPHA)
    return Finding("; ".join(said), runs, verdict(bool(better) and all(better), any(worse)))


def ungated_solve(trials):
    return _solved(trials, 1, lambda solved, gated, ungated: all(solved[a] for a in ungated))


def only_gated_deep(trials):
    return _solved(
        trials,
        8,
        lambda solved, gated, ungated: (
            any(solved[a] for a in gated) and not any(solved[a] for a in ungated)
        ),
    )


def _solved(trials, depth, holds):
    """Whether what is solved at a depth is as claimed, on both tasks; 1 % of chance is solved."""
    ungated, said, held, denied, runs = ("rnn", "irnn"), [], [], [], 0
    gated = [arch for arch in paper.GATED if depth > 1 or arch != "+rnn"]
    for task in ("parens", "arithmetic"):
        found = tuned(trials, task, depth)
        runs += len(found)
        table = statistics.best(found, ["arch"]).set_index("arch")
        shares = table.eval_loss / table.chance_loss
        said += [f"{task} {LABELS[arch]} {share:.2%}" for arch, share in shares.items()]
        enough = is_thorough(table, task)
        whole = set(table.index) == {*gated, *ungated}
        solved = dict.fromkeys([*gated, *ungated], False) | (shares < 0.01).to_dict()
        as_claimed = holds(solved, gated, ungated)
        # That some were not solved is sure only after as many trials.
        held.append(whole and as_claimed and (enough or depth == 1))
        denied.append(whole and enough and not as_claimed)
    ours = ", ".join(said) and "least eval loss over chance: " + ", ".join(said)
    return Finding(ours, runs, verdict(all(held), any(denied)))


_SWEEPS = ("figure_4_parens", "figure_4_arithmetic")
_BEST_RULE = (
    "Its trials have lower eval losses than those of each other architecture, by Mann and "
    "Whitney's test at p < 0.05, a divergence being the worst; contradicted if another's are "
    "lower."
)
CLAIMS = {
    "gated_easier": Claim(
        "Gated architectures are easier to train than the RNN and the IRNN.",
        "4, figure 4: on both tasks, at all depths",
        "At each task and depth that has runs, gated trials have lower eval losses than ungated "
        "ones, by Mann and Whitney's test at p < 0.05, a divergence being the worst; contradicted"
        " if ungated ones have anywhere.",
        _SWEEPS,
        gated_easier,
    ),
    "ungated_solve": Claim(
        "The RNN and the IRNN solve the hard tasks eventually, at depth 1.",
        "4, figures 4e and 4m",
        "Both reach 1 % of the chance loss on both tasks; contradicted if one does not after as "
        "many trials as the paper's.",
        _SWEEPS,
        ungated_solve,
    ),
    "only_gated_deep": Claim(
        "At greater depth gated architectures alone solve them.",
        "4, figures 4h and 4p",
        "At depth 8 one of them, and neither the RNN nor the IRNN, reaches 1 % of the chance loss"
        " on both tasks, after as many trials as the paper's; contradicted if it is otherwise "
        "then.",
        _SWEEPS,
        only_gated_deep,
    ),
    "gru_most_trainable": Claim(
        "At depth 1 the GRU is the most trainable.",
        "4, figures 4a, e, i, m",
        _BEST_RULE,
        _SWEEPS,
        gru_searched,
    ),
    "plus_rnn_most_trainable": Claim(
        "At depth 8 the +RNN is the most trainable.",
        "4, figures 4d, h, l, p",
        _BEST_RULE,
        _SWEEPS,
        plus_rnn_searched,
    ),
}
