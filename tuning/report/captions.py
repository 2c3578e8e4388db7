"""Captions of figures: the trials that they show, and those that they leave out."""

import json

import pandas as pd

from trainer.display.words import count
from tuning.report import statistics
from tuning.report.chart import Chart
from tuning.report.figures import Panel
from tuning.report.paper import in_order, label
from tuning.report.selection import variant

#: Column -> words for trials whose value differs from those of all trials shown; the first applies.
REASONS = {
    "source": "published",
    "is_rerun": "reruns",
    "depth": "at other depths",
    "variant": "with {}",
    "profile": "of the {} profile",
    "setting": "in other settings of the task ({})",
    "outside": "with hyperparameters outside the paper's ranges",
    "num_steps": "with other numbers of time steps",
    "max_params": "at other budgets ({:,})",
    "algorithm": "of {} search",
    "held": "with held hyperparameters",
    "narrowed": "with narrowed ranges",
    "stops": "of studies that stop trials early",
    "origin": "with given hyperparameters",
    "is_short": "with other numbers of training steps",
}
#: Most values that a reason lists.
MOST_VALUES = 5


def caption(panel: Panel, chart: Chart | None, trials: pd.DataFrame) -> str:
    """Trials shown per source, notes, and numbers of trials of the task left out, with reasons."""
    trials = trials[trials.task == panel.task]
    if chart is None:
        if not len(trials):
            return "No runs yet."
        selected = panel.select(trials)
        if len(selected) and (selected.status == "infeasible").all():
            return f"All of {_count(selected)} diverged."
        return f"None of {_count(trials)} of {panel.task} fits. {panel.needs}".strip()
    is_used = trials.index.isin(list(chart.used))
    stops = trials.groupby("study", observed=True).stopped_early.transform("any")
    trials = trials.assign(variant=variant(trials), stops=stops)
    used = trials[is_used]
    parts = []
    for source, name in (("rnn-zoo", ""), ("published", "published: ")):
        if len(shown := used[used.source == source]):
            parts.append(name + _describe(shown))
    if len(chart.points):
        parts += _lost(used[~used.arch.isin(chart.points.arch.unique())])
    parts += chart.notes
    if reasons := _reasons(trials[~is_used], used, panel.rest):
        parts.append(f"Not drawn: {', '.join(reasons)}.")
    return " ".join(parts)


def _lost(trials):
    """Names the architectures that a chart summarises but has no point of."""
    for arch in in_order(trials.arch):
        has_diverged = (trials.status[trials.arch == arch] == "infeasible").all()
        why = "diverged" if has_diverged else "lack this measure"
        yield f"All trials of {label(arch)} {why}."


def _reasons(trials, used, rest):
    """Why trials are not among the used ones: "120 with muon", "40 at other budgets (2,000)".

    A trial's reason is the first column in which it differs from every used trial, or else `rest`.
    """
    steps, shown = statistics.budgets(trials), statistics.budgets(used)
    is_near = (steps > shown.min() / 1.25) & (steps < 1.25 * shown.max())
    trials, used = trials.assign(is_short=~is_near), used.assign(is_short=False)
    found = []
    for column, words in REASONS.items():
        values = trials[column]
        differs = ~values.isin(used[column].unique()) & values.notna()
        if differs.any():
            found.append(f"{differs.sum():,} {_filled(words, values[differs])}")
            trials = trials[~differs]
    if len(trials):
        found.append(f"{len(trials):,} {rest}")
    return found


def _filled(words, values):
    if "{" not in words:
        return words
    before, rest = words.split("{", 1)
    form, after = rest.split("}", 1)
    known = sorted(values.unique().tolist())
    known = [_options(each) if str(each).startswith("{") else each for each in known]
    names = [f"{value:{form[1:]}}" for value in known[:MOST_VALUES]]
    return before + ", ".join(names) + (", ..." if len(known) > MOST_VALUES else "") + after


def _options(setting):
    """Writes task options briefly; the hash of a text is cut."""
    options = json.loads(setting).items()
    return " ".join(f"{name}={str(value)[:12]}" for name, value in options) or "without options"


def _count(trials):
    return count(len(trials), "trial")


def _describe(selected):
    sizes = selected.groupby("study", observed=True).size()
    low, high = sizes.min(), sizes.max()
    each = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    text = f"{_count(selected)}, {each} per study"
    diverged = int((selected.status == "infeasible").sum())
    text += f", {diverged:,} of them diverged" if diverged else ""
    proposed = int((selected.origin == "search").sum())
    text += f", {proposed:,} proposed by the search" if selected.origin.notna().any() else ""
    outside = int((selected.outside != "[]").sum())
    text += f", {outside:,} outside the paper's ranges" if outside else ""
    profiles = [str(name) for name in selected.profile.dropna().unique()]
    text += f"; profile {', '.join(profiles)}" if profiles else ""
    budgets = sorted({int(budget) for budget in selected.max_params})
    many = f"{budgets[0]:,} to {budgets[-1]:,}" if len(budgets) > 1 else f"{budgets[0]:,}"
    return f"{text}; budget {many}."
