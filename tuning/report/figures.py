"""The paper's figures, each a function of the DataFrame of `trials.read`.

Each function returns a `Chart`, or None if there is no run to show. Panels of one depth pass that
depth to their function. `FIGURES` lists all panels by the paper's names.
"""

import dataclasses
from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

from trainer.tasks.memory import least_error
from tuning.report import statistics
from tuning.report.chart import DASHES, INK, Chart, in_order
from tuning.report.paper import DIMENSIONS, LABELS
from tuning.report.selection import (
    SIZE,
    by_optimizer,
    capacity,
    longest,
    relu,
    searched,
    tuned,
    unrolled,
    untuned,
    with_each_activation,
)

_PARAMETERS = "number of parameters"


def _layers(trials, chart, others=False):
    """Yields the trials of each source, the authors' first; they are faint if there are others.

    Trials with optimizers that the paper lacks follow in layers of their own if `others` is set.
    """
    is_overlay = trials.source.nunique() > 1
    for source in ("published", "rnn-zoo"):
        chart.is_faint = is_overlay and source == "published"
        for optimizer, layer in by_optimizer(trials[trials.source == source]).items():
            chart.variant = optimizer.capitalize()
            if len(layer) and (others or not optimizer):
                yield layer


# Figures 1, 2a and App.1: capacity ---------------------------------------------------------------


def stored_bits(trials: pd.DataFrame, depth: int | None = None) -> Chart | None:
    """1a-d: stored bits of the best trial, by number of parameters."""
    chart = Chart(_PARAMETERS, "stored bits", "log", "log")
    return _by_size(chart, capacity(trials, depth), "num_params", "bits", depth is None)


def bits_per_parameter(trials: pd.DataFrame, depth: int | None = None) -> Chart | None:
    """1e-h: stored bits per parameter of the best trial, by number of parameters."""
    chart = Chart(_PARAMETERS, "bits per parameter", "log")
    column = "bits_per_parameter"
    return _by_size(chart, capacity(trials, depth), "num_params", column, depth is None)


def _by_size(chart, trials, x, y, with_depths=False):
    """Draws a line per architecture and depth through the best trial of each size."""
    for layer in _layers(trials[trials[y].notna()], chart, others=True):
        table = _xy(statistics.best(layer, SIZE), x, y)
        for arch in in_order(table.arch):
            for depth, line in table[table.arch == arch].groupby("depth"):
                chart.line(
                    line.sort_values("x"), arch, DASHES.get(depth, ":") if with_depths else "-"
                )
    if not len(chart.points):
        return None
    if with_depths:
        for depth in sorted(set(trials.depth)):
            (key,) = chart.axes.plot([], [], DASHES.get(depth, ":"), color=INK, linewidth=1)
            chart.entry(f"depth {depth}", key)
    if y == "bits_per_parameter":
        chart.axes.set_ylim(bottom=0)
    return chart.finish()


def _xy(table, x, y):
    """Copies two columns to x and y, for a `Chart`."""
    return table.assign(x=table[x], y=table[y])


def multipliers(trials: pd.DataFrame) -> Chart | None:
    """1i: factor in parameters for architecture x (column) to match the capacity of y (row).

    The authors' trials are shown only if there are no others.
    """
    chart, layers = Chart("switching to", "from"), []
    layers += _layers(capacity(trials), chart)
    if not layers:
        return None
    factors = statistics.multipliers(statistics.best(layers[-1], SIZE))
    archs = in_order(factors.index)
    if len(archs) < 2:
        return None
    factors = factors.loc[archs, archs]
    shown = np.log(factors.to_numpy())
    most = max(0.5, np.nanmax(np.abs(shown)))
    chart.axes.imshow(shown, cmap="PuOr", vmin=-1.6 * most, vmax=1.6 * most)
    names = [LABELS[arch] for arch in factors.index]
    ticks = range(len(names))
    chart.axes.set_xticks(ticks, names)
    chart.axes.set_yticks(ticks, names)
    for row in ticks:
        for column in ticks:
            factor = factors.iloc[row, column]
            text = "" if np.isnan(factor) else f"{factor:.2f}"
            chart.axes.text(column, row, text, ha="center", va="center", size=8, color="black")
    chart.axes.tick_params(length=0)
    return chart


def relu_effect(trials: pd.DataFrame, depth: int = 1) -> Chart | None:
    """2a: bits per parameter of all trials (solid) and of those with ReLU (dashed)."""
    chart = Chart(_PARAMETERS, "bits per parameter", "log")
    for layer in _layers(with_each_activation(trials, depth), chart):
        for found, dashes in ((layer, "-"), (relu(layer), "--")):
            table = _xy(statistics.best(found, SIZE), "num_params", "bits_per_parameter")
            for arch in in_order(table.arch):
                if dashes == "-" or arch not in ("irnn", "+rnn"):
                    line = table[table.arch == arch].sort_values("x")
                    chart.line(line, arch, dashes, label=None if dashes == "-" else "ReLU only")
    if not len(chart.points):
        return None
    chart.axes.set_ylim(bottom=0)
    return chart.finish()


def unrolling(trials: pd.DataFrame) -> Chart | None:
    """2b: bits per parameter by number of unrolled time steps."""
    chart = Chart("unrolled time steps", "bits per parameter")
    for layer in _layers(searched(trials, "capacity"), chart):
        table = statistics.best(unrolled(layer), ("arch", "num_steps"))
        table = _xy(table, "num_steps", "bits_per_parameter")
        for arch in in_order(table.arch):
            chart.line(table[table.arch == arch].sort_values("x"), arch)
    if not len(chart.points):
        return None
    chart.axes.set_ylim(bottom=0)
    return chart.finish()


def dataset_sizes(trials: pd.DataFrame) -> Chart | None:
    """App.1: number of samples that the search chose, by stored bits."""
    chart = Chart("stored bits", "samples in the data set b", "log", "log")
    for layer in _layers(capacity(trials), chart):
        table = _xy(statistics.best(layer, SIZE), "bits", "num_samples")
        table = table[(table.x > 0) & table.y.notna()]
        for arch in in_order(table.arch):
            chart.marks(table[table.arch == arch], arch)
    if not len(chart.points):
        return None
    ends = np.array([chart.points.x.min(), chart.points.x.max()])
    chart.theory(ends, ends, "b = stored bits")
    return chart.finish()


# Figure 2c: memory -------------------------------------------------------------------------------


def memory(trials: pd.DataFrame) -> Chart | None:
    """2c: squared error of the reconstructed vector by units, with the theory."""
    chart = Chart("hidden units per layer", "squared error per dimension")
    for layer in _layers(searched(trials, "memory"), chart):
        table = _xy(statistics.best(layer, SIZE), "units", "eval_loss")
        for arch in in_order(table.arch):
            chart.marks(table[table.arch == arch], arch)
    if not len(chart.points):
        return None
    units = np.linspace(0, max(1.1 * chart.points.x.max(), 1.2 * DIMENSIONS), 200)
    chart.theory(units, least_error(units, DIMENSIONS), f"max(0, 1 - n/{DIMENSIONS})")
    chart.axes.axvline(DIMENSIONS, color=INK, linewidth=1)
    return chart.finish()


# Figure 3: text8 and random continuous functions --------------------------------------------------


def text8(trials: pd.DataFrame, depth: int, x: str = "num_params") -> Chart | None:
    """3a-d: bits per character by number of parameters, or of units."""
    chart = Chart(_PARAMETERS if x == "num_params" else "hidden units", "bits per character", "log")
    return _by_size(chart, searched(trials, "text8", depth), x, "bits_per_character")


def rcf(trials: pd.DataFrame, depth: int) -> Chart | None:
    """3e-g: weighted squared error by number of parameters."""
    chart = Chart(_PARAMETERS, "squared error", "log")
    return _by_size(chart, searched(trials, "rcf", depth), "num_params", "eval_loss")


# Figure 4: losses by iteration of the search ------------------------------------------------------


def medians(trials: pd.DataFrame, task: str, depth: int) -> Chart | None:
    """4a-d and i-l: running median of eval losses; each trial is a dot."""
    chart = _iterations()
    for layer in _layers(trials, chart, others=True):
        for arch, table in _curves(longest(tuned(layer, task, depth))):
            chart.dots(table, arch)
            chart.curve(table.x, table.y.expanding().median(), arch)
    return chart.finish() if len(chart.points) else None


def minima(trials: pd.DataFrame, task: str, depth: int) -> Chart | None:
    """4e-h and m-p: running minimum of eval losses."""
    chart = _iterations()
    for layer in _layers(trials, chart, others=True):
        for arch, table in _curves(longest(tuned(layer, task, depth))):
            least = table[table.y == table.y.cummin()]
            # Extend the line to the last trial, even if that is not the best.
            end = least.iloc[[-1]].assign(x=table.x.iloc[-1])
            chart.line(pd.concat([least, end]), arch, marker=False, step=True)
    return chart.finish() if len(chart.points) else None


def _iterations():
    return Chart("iteration of the hyperparameter search", "eval loss (nats)", y_scale="log")


def _curves(trials):
    """Yields (architecture, its feasible trials in order of iteration, counted from 1)."""
    feasible = trials[trials.eval_loss.notna()]
    for arch in in_order(feasible.arch):
        table = feasible[feasible.arch == arch].sort_values("iteration")
        yield arch, table.assign(x=table.iteration + 1, y=table.eval_loss)


# Figure 5: random hyperparameters -----------------------------------------------------------------


def boxes(trials: pd.DataFrame, depth: int) -> Chart | None:
    """5a-b: box plots of eval losses with random hyperparameters."""
    chart = Chart("", "eval loss (nats)")
    generator = np.random.default_rng(0)
    layers = [(untuned(layer, depth), chart.is_faint) for layer in _layers(trials, chart)]
    names = in_order(arch for found, _ in layers for arch in found.arch)
    for found, chart.is_faint in layers:
        for arch in in_order(found.arch):
            table = found[(found.arch == arch) & found.eval_loss.notna()]
            position = names.index(arch)
            spread = generator.uniform(-0.28, 0.28, len(table))
            chart.dots(table.assign(x=position + spread, y=table.eval_loss), arch)
            chart.box(table.eval_loss, position, arch)
    if not len(chart.points):
        return None
    chart.axes.set_xticks(range(len(names)), [LABELS[arch] for arch in names])
    return chart


# All figures --------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Panel:
    """Specification of a figure.

    Attributes:
        title: one line.
        sweep: name of the file in gin_configs/paper that defines the runs, without its suffix.
        depths: depths shown.
        select: maps all trials to those of the figure.
        draw: maps all trials to a `Chart`, or None if there is no run to show.
    """

    title: str
    sweep: str
    depths: tuple[int, ...]
    select: Callable[..., pd.DataFrame]
    draw: Callable[..., Chart | None]


def _panels():
    capacities = (
        ("abcd", stored_bits, "Stored bits"),
        ("efgh", bits_per_parameter, "Bits per parameter"),
    )
    all_depths = (1, 2, 4)
    for letters, draw, title in capacities:
        for letter, depth in zip(letters, (None, *all_depths), strict=True):
            yield f"1{letter}", _panel(title, "figure_1", depth or all_depths, capacity, draw)
    title = "Relative parameters for equal capacity"
    yield "1i", _panel(title, "figure_1", all_depths, capacity, multipliers)
    title, select = "Bits per parameter with ReLU", with_each_activation
    yield "2a", _panel(title, "figure_2a", 1, select, relu_effect)
    title = "Bits per parameter by unrolled time steps"
    yield "2b", Panel(title, "figure_2b", (1,), unrolled, unrolling)
    of_memory = partial(searched, task="memory")
    yield "2c", Panel("Memory throughput", "figure_2c", all_depths, of_memory, memory)
    for letters, task, draw in (("abc", "text8", text8), ("efg", "rcf", rcf)):
        title, select = _TITLES[task], partial(searched, task=task)
        for letter, depth in zip(letters, all_depths, strict=True):
            yield f"3{letter}", _panel(title, f"figure_3_{task}", depth, select, draw)
        if task == "text8":
            by_units = partial(text8, x="units")
            yield "3d", _panel(f"{title} by units", "figure_3_text8", 1, select, by_units)
    letters = iter("abcdefghijklmnop")
    for task in ("parens", "arithmetic"):
        select = partial(tuned, task=task)
        for draw, what in ((medians, "median"), (minima, "minimum")):
            for depth in (1, 2, 4, 8):
                title = f"{_TITLES[task]}, {what} of eval losses"
                draw_task = partial(draw, task=task)
                panel = _panel(title, f"figure_4_{task}", depth, select, draw_task)
                yield f"4{next(letters)}", panel
    for letter, depth in (("a", 1), ("b", 8)):
        title = "Parentheses, random hyperparameters"
        yield f"5{letter}", _panel(title, "figure_5", depth, untuned, boxes)
    title = "Size of the data set by stored bits"
    yield "App.1", _panel(title, "figure_1", all_depths, capacity, dataset_sizes)


_TITLES = {
    "text8": "text8",
    "rcf": "Random continuous functions",
    "parens": "Parentheses",
    "arithmetic": "Arithmetic",
}


def _panel(title, sweep, depths, select, draw):
    """Makes a panel of several depths, or of one, which is then passed to both functions."""
    if isinstance(depths, tuple):
        return Panel(title, sweep, depths, select, draw)
    title, depth = f"{title}, depth {depths}", {"depth": depths}
    return Panel(title, sweep, (depths,), partial(select, **depth), partial(draw, **depth))


#: The paper's figures by name.
FIGURES = dict(_panels())
