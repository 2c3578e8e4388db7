"""Captions of figures: the trials that they show, and those that they leave out."""

import pandas as pd

from trainer.display.words import count, printable, span
from tuning.report import statistics
from tuning.report.chart import Chart
from tuning.report.drawing import over_seeds
from tuning.report.figures import Panel
from tuning.report.paper import in_order, label
from tuning.report.selection import (
    SIZE,
    WITHIN,
    by_optimizer,
    in_words,
    other_options,
    variant,
    within,
)
from tuning.report.settings import along, pooled

#: Column -> words for trials whose value differs from those of all trials shown; the first applies.
REASONS = {
    "source": "published",
    "is_rerun": "from reruns",
    "setting": "in other settings of the task ({})",
    "profile": "of the {} profile",
    "depth": "at other depths",
    "variant": "with {}",
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
#: Column -> values that no figure leaves out.
ALWAYS_DRAWN = {
    "profile": ("laptop", "paper"),
    "variant": ("",),
    "outside": WITHIN,
    "held": ("[]",),
    "narrowed": ("[]",),
    "stops": (False,),
    "origin": ("random", "search"),
}
#: Most values that a reason lists.
MOST_VALUES = 5


def caption(
    panel: Panel, chart: Chart | None, trials: pd.DataFrame, excluded: pd.DataFrame | None = None
) -> str:
    """Trials shown per source, notes, and numbers of trials of the task left out, with reasons.

    Args:
        panel: specification of the figure.
        chart: the figure, or None if there is no run to show.
        trials: the report's trials.
        excluded: runs that the report leaves out, with the column `excluded`.
    """
    trials = trials[trials.task == panel.task]
    stops = trials.groupby("study", observed=True).stopped_early.transform("any")
    trials = trials.assign(variant=variant(trials), stops=stops)
    is_used = trials.index.isin(list(chart.used) if chart else [])
    used, rest = trials[is_used], trials[~is_used]
    parts = _shown(chart, trials, used) if chart else [_absent(panel, trials)]
    reasons = _reasons(panel, rest, used) if chart else []
    if excluded is not None:
        numbers = excluded.excluded[excluded.task == panel.task].value_counts().sort_index()
        reasons += [f"{number:,} {reason}" for reason, number in numbers.items()]
    if reasons:
        parts.append(f"Not drawn: {', '.join(reasons)}.")
    if chart and (missing := in_order({*rest.arch} - {*used.arch})):
        parts.append(f"No trial of {', '.join(map(label, missing))} is drawn.")
    return printable(" ".join(parts))


def _absent(panel, trials):
    """Why there is no figure."""
    if not len(trials):
        return "No runs yet."
    selected = panel.select(trials)
    if len(selected) and (selected.status == "infeasible").all():
        return f"All of {_count(selected)} diverged."
    if len(selected) and over_seeds(selected, SIZE, "units", "objective").y.isna().all():
        return f"Of {_count(selected)}, the median seeds diverged."
    return f"None of {_count(trials)} of {panel.task} fits. {panel.needs}".strip()


def _shown(chart, trials, used):
    """Sentences on the trials of a chart, by source, on its series, and its notes."""
    parts = []
    for source, name in (("rnn-zoo", ""), ("published", "published: ")):
        if len(shown := used[used.source == source]):
            parts.append(name + _describe(shown))
    points = chart.points
    if len(points):
        parts += _lost(used[~used.arch.isin({*points.arch, *chart.without_median})])
    series = [trials.loc[labels] for labels in chart.series]
    shown = [part[part.run.isin(points.run)] for part in series]
    return parts + pooled(series) + along(shown) + chart.notes


def _sizes(trials):
    return trials.groupby("study", observed=True).size()


def _lost(trials):
    """Name the architectures that a chart summarises but has no point of."""
    for arch in in_order(trials.arch):
        has_diverged = (trials.status[trials.arch == arch] == "infeasible").all()
        why = "diverged" if has_diverged else "lack this measure"
        yield f"All trials of {label(arch)} {why}."


def _reasons(panel, trials, used):
    """Why trials are not among the used ones: "120 with muon", "40 at other budgets (2,000)".

    A trial's reason is the first column in which it differs from every used trial, or else the
    panel's `rest`. Only the columns by which the panel selects count.
    """
    steps, shown = statistics.budgets(trials), statistics.budgets(used)
    is_near = (steps > shown.min() / 1.25) & (steps < 1.25 * shown.max())
    trials, used = trials.assign(is_short=~is_near), used.assign(is_short=False)
    found = []
    for column in panel.selects_by or REASONS:
        words, values = REASONS[column], trials[column]
        drawn = [*used[column].unique(), *ALWAYS_DRAWN.get(column, ())]
        differs = ~values.isin(drawn) & values.notna()
        if differs.any():
            found.append(f"{differs.sum():,} {_filled(words, values[differs])}")
            trials = trials[~differs]
    if len(trials):
        found.append(f"{len(trials):,} {panel.rest}")
    return found


def _filled(words, values):
    if "{" not in words:
        return words
    before, rest = words.split("{", 1)
    form, after = rest.split("}", 1)
    known = sorted(values.unique().tolist())
    if values.name == "setting":
        known = [in_words(each) for each in known]
    names = [f"{value:{form[1:]}}" for value in known[:MOST_VALUES]]
    return before + ", ".join(names) + (", ..." if len(known) > MOST_VALUES else "") + after


def _count(trials):
    return count(len(trials), "trial")


def _fewer(selected, most):
    """Name the architectures whose studies all have fewer trials than others."""
    sizes = selected.groupby(["arch", "study"], observed=True).size()
    largest = sizes.groupby("arch", observed=True).max()
    fewer = [
        f"{largest[arch]:,} of {label(arch)}"
        for arch in in_order(largest.index)
        if largest[arch] < most
    ]
    return f" At most {', '.join(fewer)} per study." if fewer else ""


def _describe(selected):
    text = f"{_count(selected)}, {span(_sizes(selected))} per study"
    diverged = int((selected.status == "infeasible").sum())
    text += f", {diverged:,} of them diverged" if diverged else ""
    stopped = int(selected.stopped_early.astype(bool).sum())
    text += f", {stopped:,} stopped early" if stopped else ""
    proposed = int((selected.origin == "search").sum())
    text += f", {proposed:,} proposed by the search" if selected.origin.notna().any() else ""
    outside = int((~within(selected)).sum())
    text += f", {outside:,} outside the paper's ranges" if outside else ""
    profiles = sorted(selected.profile.dropna().unique())
    if profiles and selected.profile.isna().any():
        profiles.append("unknown")
    text += f"; profile {', '.join(profiles)}" if profiles else ""
    pairs = selected[["setting", "task"]].dropna().drop_duplicates().itertuples(index=False)
    options = sorted({other_options(*pair) for pair in pairs} - {""})
    text += f"; {'; '.join(options)}" if options else ""
    depths = sorted({int(depth) for depth in selected.depth})
    if depths != [1]:
        text += f"; depth {', '.join(map(str, depths))}"
    budgets = sorted({int(budget) for budget in selected.max_params})
    text += f"; budget {span(budgets)}{_steps(selected)}"
    return f"{text}.{_fewer(selected, _sizes(selected).max())}"


def _steps(selected):
    """Write the training steps of trials, apart for each optimizer that the paper lacks."""
    parts = []
    for optimizer, part in by_optimizer(selected).items():
        # Some of the authors' trials have no number.
        if steps := {int(number) for number in part.train_steps.dropna()}:
            parts.append(f"{span(steps)}{f' with {optimizer}' if optimizer else ''}")
    return f"; training steps {', '.join(parts)}" if parts else ""
