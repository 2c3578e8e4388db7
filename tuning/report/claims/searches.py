"""Section 4: trainability on hard tasks, by search."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pandas as pd

from tuning.report import paper, statistics
from tuning.report.claims import floors
from tuning.report.claims.base import (
    ALPHA,
    SHALLOW,
    Claim,
    Finding,
    has_all,
    is_thorough,
    verdict,
)
from tuning.report.paper import LABELS
from tuning.report.selection import found_by_search, tuned, unrestricted, whole

_TASKS = ("parens", "arithmetic")
_UNGATED = ("rnn", "irnn")
#: Architecture -> scores of independent samples; lower is better.
Scores = dict[str, np.ndarray]


def capped(trials: pd.DataFrame) -> pd.Series:
    """Eval losses over chance; divergences and losses from 0.95 of chance on are 1."""
    share = trials.eval_loss / trials.chance_loss
    return share.where(share < floors.LEARNED, 1.0)


def by_search(trials: pd.DataFrame) -> Scores:
    """Mean capped loss of each search, at equal numbers of trials; searches are independent.

    Only trials found by the search are used, of studies over all of appendix A's ranges that stop
    no trial early.
    """
    own = unrestricted(whole(found_by_search(trials)))
    equal = statistics.equal_trials(own, ("depth", "max_params"))
    means = capped(equal).groupby([equal.arch, equal.study], observed=True).mean()
    return {arch: scores.to_numpy() for arch, scores in means.groupby(level=0, observed=True)}


def by_trial(trials: pd.DataFrame) -> Scores:
    """Capped loss of each trial, for trials that are independent."""
    losses = capped(trials).groupby(trials.arch, observed=True)
    return {arch: each.to_numpy() for arch, each in losses}


def all_better(tests: list[tuple[float, float]]) -> bool:
    """Whether all tests are won; as all must be, none needs a stricter level.

    Args:
        tests: (how often the claim's architecture is better, p) of each.
    """
    return bool(tests) and all(share > 0.5 and p < ALPHA for share, p in tests)


def any_worse(tests: list[tuple[float, float]], number: int) -> bool:
    """Whether a test is lost; as one is enough, the level is divided by their number.

    Args:
        tests: as for `all_better`.
        number: of all tests that the claim names, also those without trials yet.
    """
    return any(share < 0.5 and p < ALPHA / number for share, p in tests)


def gated_easier(trials: pd.DataFrame) -> Finding:
    """Compare searches of gated architectures with those of the RNN and of the IRNN."""
    said, complete, runs = [], True, 0
    single: list[tuple[float, float]] = []
    pooled: list[tuple[float, float]] = []
    settings = list(itertools.product(_TASKS, (1, 2, 4, 8)))
    for task, depth in settings:
        found = tuned(trials, task, depth)
        scores = {
            arch: each for arch, each in by_search(found).items() if len(each) >= floors.SEARCHES
        }
        runs += len(found)
        gated = {arch: scores[arch] for arch in paper.GATED if arch in scores}
        complete &= depth > 1 or scores.keys() >= set(SHALLOW)
        for other in [arch for arch in _UNGATED if arch in scores and gated]:
            each = {
                arch: statistics.mann_whitney(own, scores[other]) for arch, own in gated.items()
            }
            least = min(each, key=each.__getitem__)
            said.append(
                f"{task} depth {depth} {each[least][0]:.0%} of the {LABELS[other]}'s "
                f"({LABELS[least]})"
            )
            single += each.values()
            pooled.append(
                statistics.mann_whitney(np.concatenate(list(gated.values())), scores[other])
            )
    result = ", ".join(said) and f"searches of the worst gated one beat {', '.join(said)}"
    worse = any_worse(pooled, len(settings) * len(_UNGATED))
    return Finding(result, runs, verdict(complete and all_better(single), worse))


def most_trainable(arch: str, depth: int, scores: dict[str, Scores], least: int = 1) -> str:
    """Check whether an architecture beats every other one on every task.

    Args:
        arch: the architecture.
        depth: depth of all trials; there is no +RNN at depth 1.
        scores: independent samples by task.
        least: smallest number of samples of an architecture.
    """
    others = [each for each in (SHALLOW if depth == 1 else paper.ARCHS) if each != arch]
    tests, complete = [], True
    for each in scores.values():
        known = {name: found for name, found in each.items() if len(found) >= least}
        complete &= known.keys() >= {arch, *others}
        if arch in known:
            tests += [
                statistics.mann_whitney(known[arch], known[other])
                for other in others
                if other in known
            ]
    return verdict(complete and all_better(tests), any_worse(tests, len(others) * len(scores)))


def describe(trials: pd.DataFrame) -> str:
    """Name the architectures with the smallest median and smallest loss."""
    by_arch = trials.eval_loss.fillna(math.inf).groupby(trials.arch, observed=True)
    medians, minima = by_arch.median(), by_arch.min()
    return (
        f"smallest median {LABELS[medians.idxmin()]} ({medians.min():.3g}), "
        f"smallest loss {LABELS[minima.idxmin()]} ({minima.min():.3g})"
    )


def _searched(arch, depth, trials):
    samples = {task: tuned(trials, task, depth) for task in _TASKS}
    said = [f"{task}: {describe(found)}" for task, found in samples.items() if len(found)]
    scores = {task: by_search(found) for task, found in samples.items()}
    decided = most_trainable(arch, depth, scores, floors.SEARCHES)
    return Finding("; ".join(said), sum(map(len, samples.values())), decided)


def gru_searched(trials: pd.DataFrame) -> Finding:
    """Compare the GRU's searches with those of other architectures, at depth 1."""
    return _searched("gru", 1, trials)


def plus_rnn_searched(trials: pd.DataFrame) -> Finding:
    """Compare the +RNN's searches with those of other architectures, at depth 8."""
    return _searched("+rnn", 8, trials)


def ungated_solve(trials: pd.DataFrame) -> Finding:
    """Check whether the RNN and the IRNN solve both tasks at depth 1."""

    def judge(gated, ungated, thorough):
        return all(ungated), thorough and not all(ungated)

    return _solved(trials, 1, _UNGATED, judge)


def only_gated_deep(trials: pd.DataFrame) -> Finding:
    """Check which architectures solve both tasks at depth 8."""

    def judge(gated, ungated, thorough):
        return thorough and any(gated), any(ungated) or (thorough and not any(gated))

    return _solved(trials, 8, paper.ARCHS, judge)


def _solved(
    trials,
    depth: int,
    needed,
    judge: Callable[[list[bool], list[bool], bool], tuple[bool, bool]],
):
    """Check a claim about which architectures solve both tasks.

    Args:
        trials: DataFrame of `trials.read`.
        depth: depth of the trials.
        needed: architectures that must have runs.
        judge: maps (whether each gated architecture solved a task, the same for the ungated ones,
            whether each architecture has a search as long as the paper's) to (whether the task
            supports the claim, whether it contradicts the claim).
    """
    said, held, denied, runs = [], [], [], 0
    for task in _TASKS:
        found = tuned(trials, task, depth)
        runs += len(found)
        table = statistics.best(found, ["arch"]).set_index("arch")
        shares = table.eval_loss / table.chance_loss
        said += [f"{task} {LABELS[arch]} {share:.2%}" for arch, share in shares.items()]
        thorough = has_all(table.reset_index(), needed) and is_thorough(table, task)
        # An architecture whose trials all diverged has no share, and has not solved the task.
        gated, ungated = (
            [bool(shares.get(arch, 1.0) < floors.SOLVED) for arch in of]
            for of in (paper.GATED, _UNGATED)
        )
        supports, contradicts = judge(gated, ungated, bool(thorough))
        held.append(supports and has_all(found, needed))
        denied.append(contradicts)
    result = ", ".join(said) and "smallest eval loss over chance loss: " + ", ".join(said)
    return Finding(result, runs, verdict(all(held), any(denied)))


_SEARCHES = (
    f"Each architecture has at least {floors.SEARCHES} searches from different seeds, over all of "
    "appendix A's ranges, with equal numbers of trials and steps. A search is scored by its mean "
    "eval loss; divergences and losses of at least 0.95 of chance are set to chance. First trials "
    "with given hyperparameters are left out, and so are searches that stop trials early or use "
    "transferred ones. "
)
BEST_RULE = (
    "{samples}On each task, the named one is better than every other by the Mann-Whitney test, "
    "each at p < 0.05. Contradicted if another is better than the named one, at p < 0.05 divided "
    "by the number of all such tests."
)
CLAIMS = {
    "gated_easier": Claim(
        "Gated architectures are easier to train than the RNN and the IRNN.",
        "4, figure 4: on both tasks, at all depths",
        f"{_SEARCHES}At depth 1 of both tasks, and at each other depth with such searches, those "
        "of each gated architecture are better than the RNN's and than the IRNN's, by the "
        "Mann-Whitney test at p < 0.05. Contradicted if the RNN's or the IRNN's are better "
        "anywhere than those of all gated architectures together, at p < 0.05 divided by the "
        "number of all such tests.",
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
        "of the chance loss on each task, and neither the RNN nor the IRNN does. Contradicted as "
        "soon as the RNN or the IRNN does, or if no gated one does after as many trials.",
        only_gated_deep,
    ),
    "gru_most_trainable": Claim(
        "At depth 1 the GRU is the most trainable.",
        "4, figures 4a, e, i, m",
        BEST_RULE.format(samples=_SEARCHES),
        gru_searched,
    ),
    "plus_rnn_most_trainable": Claim(
        "At depth 8 the +RNN is the most trainable.",
        "4, figures 4d, h, l, p",
        BEST_RULE.format(samples=_SEARCHES),
        plus_rnn_searched,
    ),
}
