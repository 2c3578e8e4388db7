"""Settings in which runs differ, apart from architecture, depth, size and seed.

They are those that no search chose: held hyperparameters, the batch size, the precision, and the
like of studies, and all of runs; see the column `fixed` of `trials.read`.
"""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

import pandas as pd

from trainer.config import OPTIONS
from tuning.report.paper import in_order, label
from tuning.report.selection import SIZE

#: Most groups of an architecture that a figure tells apart.
MOST_GROUPS = 6
#: Most settings that a key names, unless more are needed to tell the groups apart.
MOST_NAMES = 3
#: Most values of a setting that a caption lists.
MOST_VALUES = 5

#: Most letters of a value.
MOST_LETTERS = 40

Settings = dict[str, Any]


class Groups(NamedTuple):
    """Trials split by the settings in which they differ.

    Attributes:
        names: the settings that are equal within each group.
        unnamed: those of them that the words of the groups leave out.
        parts: words and trials of each group.
    """

    names: list[str]
    unnamed: list[str]
    parts: list[tuple[str, pd.DataFrame]]


def differing(trials: pd.DataFrame, by: Iterable[str] = SIZE) -> dict[str, list]:
    """Find the settings that differ between trials of one architecture, depth and size.

    Trials of searches and single runs are compared among themselves, as all settings of a run are
    set. If there are both, the setting `search` differs.

    Args:
        trials: the trials.
        by: columns whose values are equal for trials that are compared.

    Returns:
        Name -> values, in order; None is the value of trials that lack the setting.
    """
    found: dict[str, dict[str, Any]] = {}
    for cell in _cells(trials, by):
        kinds = [s for s in cell if "search" in s], [s for s in cell if "search" not in s]
        for names, several in (({"search"}, cell), *((_names(kind), kind) for kind in kinds)):
            for name in sorted(names):
                values = {repr(each.get(name)): each.get(name) for each in several}
                if len(values) > 1:
                    found.setdefault(name, {}).update(values)
    return {name: sorted(values.values(), key=_order) for name, values in sorted(found.items())}


def groups(trials: pd.DataFrame) -> Groups:
    """Split trials by the settings that `differing` finds, those with the fewest values first.

    A setting that would make more than `MOST_GROUPS` groups of an architecture splits none.
    """
    values = differing(trials)
    keys = _keys(trials, [])
    telling: list[str] = []
    others: list[str] = []
    for name in sorted(values, key=lambda name: len(values[name])):
        split = _keys(trials, [*telling, *others, name])
        if split.groupby(trials.arch, observed=True).nunique().max() <= MOST_GROUPS:
            (telling if split.nunique() > keys.nunique() else others).append(name)
            keys = split
    number = max(0, MOST_NAMES - len(telling))
    parts = _parts(trials, keys, [*telling, *others[:number]])
    return Groups(telling + others, others[number:], parts)


def _parts(trials, keys, shown):
    """Words and trials of each group, in the order of the values shown."""
    found = []
    for _, part in trials.groupby(keys):
        settings = json.loads(part.fixed.iloc[0])
        order = [_order(settings.get(name)) for name in shown]
        words = [_words(name, settings) for name in shown]
        found.append((order, ", ".join(filter(None, words)), part))
    return [(words, part) for _, words, part in sorted(found, key=lambda each: each[:2])]


def _keys(trials, names):
    """A text per trial that is equal for equal values of these settings."""
    texts = trials.fixed.astype("category")
    of_text = {
        text: json.dumps([json.loads(text).get(name) for name in names])
        for text in texts.cat.categories
    }
    return texts.astype(object).map(of_text)


def pooled(series: Iterable[pd.DataFrame]) -> list[str]:
    """Name the settings that differ between trials that a figure draws as one, in a sentence.

    If only some architectures pool settings, they are named.

    Args:
        series: the trials of each series of marks, such as a group of `groups`.
    """
    found: dict[str, dict[str, Any]] = {}
    archs, pooling = set(), set()
    for part in series:
        for arch, of_arch in part.groupby("arch", observed=True):
            archs.add(arch)
            for name, values in differing(of_arch).items():
                pooling.add(arch)
                found.setdefault(name, {}).update((repr(value), value) for value in values)
    if not found:
        return []
    ordered = {name: sorted(each.values(), key=_order) for name, each in sorted(found.items())}
    listed = [f"{_short(name)} {_listed(name, each)}".strip() for name, each in ordered.items()]
    *first, last = listed
    where = "" if pooling == archs else f", of {', '.join(map(label, in_order(pooling)))} alone"
    return [f"Pools {', '.join(first)}{' and ' if first else ''}{last}{where}."]


def along(series: Iterable[pd.DataFrame]) -> list[str]:
    """Name the settings that differ between sizes or depths of an architecture, in a sentence.

    Args:
        series: the points of each series of marks. Settings that it pools are left out.
    """
    names = set()
    for points in series:
        names |= differing(points, ("arch",)).keys() - differing(points).keys()
    return [f"Points of one architecture differ in {in_words(sorted(names))}."] if names else []


def in_words(names: Iterable[str]) -> str:
    """List names of settings as a key does."""
    return ", ".join("kind of search" if name == "search" else _short(name) for name in names)


def _listed(name, values):
    words = [_value(name, value) for value in values[:MOST_VALUES]]
    return ", ".join(words) + (" and others" if len(values) > MOST_VALUES else "")


def _cells(trials, by):
    """The different settings of each group of trials, by default architecture, depth and size."""
    columns = [*by, "fixed"]
    found: dict[tuple, list[Settings]] = {}
    for *cell, text in trials[columns].drop_duplicates().itertuples(index=False, name=None):
        found.setdefault(tuple(cell), []).append(json.loads(text))
    return found.values()


def _names(several):
    return {name for settings in several for name in settings} - {"search"}


def _order(value):
    """Sort numbers before texts, and missing values first."""
    is_number = isinstance(value, (int, float))
    return (value is not None, not is_number, value if is_number else 0, str(value))


def _short(name):
    if name == "search":
        return ""
    field, _, option = name.partition(".")
    return option if field in OPTIONS else name


def _words(name, settings):
    """A setting in a key; "" if a group lacks it."""
    value = settings.get(name)
    if name != "search" and value is None:
        return ""
    # Each trial of a search has a number of steps of its own.
    most = "up to " if name == "train_steps" and settings.get("search") else ""
    return f"{_short(name)} {most}{_value(name, value)}".strip()


def _value(name, value):
    if name == "search":
        return f"{value} search" if value else "single runs"
    if value is None:
        return "not set"
    if isinstance(value, float):
        return f"{value:.4g}"
    if type(value) is int:
        return f"{value:,}"
    text = str(value)
    return text if len(text) <= MOST_LETTERS else f"{text[: MOST_LETTERS - 1]}…"
