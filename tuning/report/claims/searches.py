"""Section 4: trainability on hard tasks."""

import itertools
import math
from collections.abc import Callable

import pandas as pd
from scipy import stats

from tuning.report import paper, statistics
from tuning.report.claims.base import ALPHA, BEST_RULE, SHALLOW, Claim, Finding, has_all, verdict
from tuning.report.paper import LABELS
from tuning.report.selection import tuned

_TASKS = ("parens", "arithmetic")


def gated_easier(trials: pd.DataFrame) -> Finding:
    """Estimates how often a gated trial beats an ungated one, for each task and depth."""
    cells, complete, runs = [], {}, 0
    for task, depth in itertools.product(_TASKS, (1, 2, 4, 8)):
        found = tuned(trials, task, depth)
        is_gated = found.arch.isin(paper.GATED)
        wins, p = _wins(found[is_gated], found[~is_gated])
        runs += len(found)
        if depth == 1:
            complete[task] = has_all(found)
        if not math.isnan(p):
            cells.append((f"{task} depth {depth} {wins:.0%}", wins, p))
    result = ", ".join(name for name, *_ in cells)
    limit = ALPHA / max(len(cells), 1)
    better = [wins > 0.5 and p < limit for _, wins, p in cells]
    worse = [wins < 0.5 and p < limit for _, wins, p in cells]
    said = result and f"a gated trial beats an ungated one: {result}"
    return Finding(said, runs, verdict(all(complete.values()) and all(better), any(worse)))


def _wins(first, second):
    """Returns how often a trial of `first` beats one of `second`, and the Mann-Whitney p-value.

    A diverged trial loses to every feasible one.
    """
    losses = [each.eval_loss.fillna(math.inf) for each in (first, second)]
    if not all(map(len, losses)):
        return math.nan, math.nan
    u, p = stats.mannwhitneyu(*losses)
    return 1 - u / (len(losses[0]) * len(losses[1])), p


def most_trainable(arch: str, depth: int, samples: dict[str, pd.DataFrame]) -> Finding:
    """Checks whether an architecture's trials beat those of all others on every task.

    Args:
        arch: the architecture.
        depth: depth of all trials; there is no +RNN at depth 1.
        samples: trials by task.
    """
    others = [each for each in (SHALLOW if depth == 1 else paper.ARCHS) if each != arch]
    said, tests, runs = [], [], sum(map(len, samples.values()))
    complete = all(has_all(found, (arch, *others)) for found in samples.values())
    for task, found in samples.items():
        if not found.eval_loss.notna().any():
            continue
        by_arch = found.groupby("arch", observed=True).eval_loss
        medians, minima = by_arch.median(), by_arch.min()
        said.append(
            f"{task}: smallest median {LABELS[medians.idxmin()]} ({medians.min():.3g}), "
            f"smallest loss {LABELS[minima.idxmin()]} ({minima.min():.3g})"
        )
        own = found[found.arch == arch]
        tests += [_wins(own, found[found.arch == other]) for other in others]
    limit = ALPHA / max(len(tests), 1)
    better = [wins > 0.5 and p < limit for wins, p in tests]
    worse = any(wins < 0.5 and p < limit for wins, p in tests)
    return Finding("; ".join(said), runs, verdict(complete and bool(tests) and all(better), worse))


def gru_searched(trials: pd.DataFrame) -> Finding:
    """Compares the GRU's searches with those of other architectures, at depth 1."""
    return most_trainable("gru", 1, {task: tuned(trials, task, 1) for task in _TASKS})


def plus_rnn_searched(trials: pd.DataFrame) -> Finding:
    """Compares the +RNN's searches with those of other architectures, at depth 8."""
    return most_trainable("+rnn", 8, {task: tuned(trials, task, 8) for task in _TASKS})


def ungated_solve(trials: pd.DataFrame) -> Finding:
    """Checks whether the RNN and the IRNN solve both tasks at depth 1."""
    return _solved(trials, 1, lambda gated, ungated: all(ungated))


def only_gated_deep(trials: pd.DataFrame) -> Finding:
    """Checks which architectures solve both tasks at depth 8."""
    return _solved(trials, 8, lambda gated, ungated: any(gated) and not any(ungated))


def _solved(trials, depth: int, holds: Callable[[list[bool], list[bool]], bool]) -> Finding:
    """Checks a claim about which architectures solve both tasks.

    Args:
        trials: DataFrame of `trials.read`.
        depth: depth of the trials.
        holds: the claim; called with two lists that tell which gated and which ungated
            architectures solved a task.
    """
    ungated = ("rnn", "irnn")
    gated = [arch for arch in paper.GATED if depth > 1 or arch != "+rnn"]
    said, held, denied, runs = [], [], [], 0
    for task in _TASKS:
        found = tuned(trials, task, depth)
        runs += len(found)
        table = statistics.best(found, ["arch"]).set_index("arch")
        shares = table.eval_loss / table.chance_loss
        said += [f"{task} {LABELS[arch]} {share:.2%}" for arch, share in shares.items()]
        # An architecture whose trials all diverged has no share, and has not solved the task.
        solved = [[bool(shares.get(arch, 1.0) < 0.01) for arch in of] for of in (gated, ungated)]
        whole = has_all(found, (*gated, *ungated))
        enough = (
            whole and (found.groupby("study", observed=True).size() >= paper.TRIALS[task]).all()
        )
        held.append(whole and holds(*solved) and (enough or depth == 1))
        denied.append(enough and not holds(*solved))
    result = ", ".join(said) and "smallest eval loss over chance loss: " + ", ".join(said)
    return Finding(result, runs, verdict(all(held), any(denied)))


CLAIMS = {
    "gated_easier": Claim(
        "Gated architectures are easier to train than the RNN and the IRNN.",
        "4, figure 4: on both tasks, at all depths",
        "All architectures have runs at depth 1 of both tasks, and at each task and depth with "
        "runs gated trials have lower eval losses than ungated ones by the Mann-Whitney test at p "
        "< 0.05 divided by the number of tests. Trials are assumed independent, and diverged "
        "trials rank last. Contradicted if ungated losses are lower anywhere by the same test.",
        gated_easier,
    ),
    "ungated_solve": Claim(
        "The RNN and the IRNN solve the hard tasks eventually, at depth 1.",
        "4, figures 4e and 4m",
        "Both fall below 1 % of the chance loss on both tasks; contradicted if one does not, after "
        "as many trials as in the paper.",
        ungated_solve,
    ),
    "only_gated_deep": Claim(
        "At greater depth, only gated architectures solve them.",
        "4, figures 4h and 4p",
        "At depth 8 and after as many trials as in the paper, a gated architecture falls below 1 % "
        "of the chance loss on each task, and neither the RNN nor the IRNN does; contradicted "
        "otherwise, after as many trials.",
        only_gated_deep,
    ),
    "gru_most_trainable": Claim(
        "At depth 1 the GRU is the most trainable.",
        "4, figures 4a, e, i, m",
        BEST_RULE,
        gru_searched,
    ),
    "plus_rnn_most_trainable": Claim(
        "At depth 8 the +RNN is the most trainable.",
        "4, figures 4d, h, l, p",
        BEST_RULE,
        plus_rnn_searched,
    ),
}
