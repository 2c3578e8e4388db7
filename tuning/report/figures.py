"""The paper's figures, each a function of the DataFrame of `trials.read`.

Each function returns a `Chart`, or None if there is no run to show. Panels of one depth pass that
depth to their function. `FIGURES` lists all panels by the paper's names.
"""

import dataclasses
import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

from trainer.display.words import span
from trainer.tasks.memory import least_error
from tuning.report import statistics
from tuning.report.chart import Chart
from tuning.report.drawing import (
    PARAMETERS,
    UNITS,
    by_group,
    by_size,
    by_trial,
    chance,
    layers,
    note_seeds,
    over_seeds,
)
from tuning.report.paper import in_order
from tuning.report.selection import (
    SIZE,
    capacity,
    dimensions,
    longest,
    relu,
    searched,
    tuned,
    unrolled,
    untuned,
    with_each_activation,
)

# Figures 1, 2a and App.1: capacity ---------------------------------------------------------------


def stored_bits(trials: pd.DataFrame, depth: int | None = None) -> Chart | None:
    """1a-d: stored bits of the best trial, by number of parameters; 1a needs several depths."""
    return _capacity(trials, depth, Chart(PARAMETERS, "stored bits", "log", "log"), "bits")


def bits_per_parameter(trials: pd.DataFrame, depth: int | None = None) -> Chart | None:
    """1e-h: stored bits per parameter of the best trial, by number of parameters."""
    chart = Chart(PARAMETERS, "bits per parameter", "log")
    return _capacity(trials, depth, chart, "bits_per_parameter")


def _capacity(trials, depth, chart, y):
    if depth is None and capacity(trials).depth.nunique() < 2:
        return None  # It would repeat the figure of that depth.
    by_size(chart, trials, partial(capacity, depth=depth), "num_params", y)
    if y == "bits_per_parameter":
        chart.axes.set_ylim(bottom=0)
    return chart.or_none()


def multipliers(trials: pd.DataFrame) -> Chart | None:
    """1i: factor in parameters for architecture x (column) to match the capacity of y (row).

    The authors' trials are shown only if there are no others.
    """
    chart = Chart("switching to", "from")
    found = list(layers(trials, chart, capacity, others=False))
    if not found:
        return None
    chart.series = [found[-1].index]
    factors = statistics.multipliers(_bests_of_seeds(found[-1]))
    archs = in_order(factors.index)
    if len(archs) < 2:
        return None
    factors = factors.loc[archs, archs]
    shown = np.log(factors.to_numpy())
    most = max(0.5, np.nanmax(np.abs(shown)))
    chart.axes.imshow(shown, cmap="PuOr", vmin=-1.6 * most, vmax=1.6 * most)
    ticks = range(len(archs))
    chart.categories(archs, with_y=True)
    for row in ticks:
        for column in ticks:
            factor = factors.iloc[row, column]
            text = "" if np.isnan(factor) else f"{factor:.2f}"
            # The cells are light in both themes of the page.
            chart.axes.text(column, row, text, ha="center", va="center", size=8, color="black")
    chart.axes.tick_params(length=0)
    return chart


def _bests_of_seeds(trials):
    return statistics.best(trials.assign(seed=trials.seed.fillna(-1)), (*SIZE, "seed"))


def relu_effect(trials: pd.DataFrame, depth: int = 1) -> Chart | None:
    """2a: bits per parameter of all trials (solid) and of those with ReLU (dashed)."""
    chart = Chart(PARAMETERS, "bits per parameter", "log")
    for layer in layers(trials, chart, partial(with_each_activation, depth=depth), others=False):
        relus = relu(layer)
        relus = relus[~relus.arch.isin(("irnn", "+rnn"))]
        if len(relus):
            each = span(relus.groupby([*SIZE, "seed"], observed=True, dropna=False).size())
            of = "single trials" if each == "1" else f"the best of {each} trials"
            chart.note(f"Points of ReLU only are {of}.")
        for found, dashes in ((layer, "-"), (relus, "--")):
            table = note_seeds(chart, over_seeds(found, SIZE, "num_params", "bits_per_parameter"))
            for arch in in_order(table.arch):
                line = table[table.arch == arch].sort_values("x")
                chart.line(line, arch, dashes)
        if len(relus):
            chart.key("tanh or ReLU", "-")
            chart.key("ReLU only", "--")
    chart.axes.set_ylim(bottom=0)
    return chart.or_none()


def unrolling(trials: pd.DataFrame) -> Chart | None:
    """2b: bits per parameter by number of unrolled time steps."""
    chart = Chart("unrolled time steps", "bits per parameter")
    by = ("arch", "num_steps")
    by_group(chart, trials, unrolled, by, "num_steps", "bits_per_parameter", others=False)
    chart.axes.set_ylim(bottom=0)
    chart.whole_numbers()
    return chart.or_none()


def dataset_sizes(trials: pd.DataFrame) -> Chart | None:
    """App.1: number of samples that the search chose, by stored bits."""
    chart = Chart("stored bits", "samples in the data set b", "log", "log")
    for layer in layers(trials, chart, capacity):
        table = _bests_of_seeds(layer)
        table = table.assign(x=table.bits, y=table.num_samples)
        table = table[(table.x > 0) & table.y.notna()]
        for arch in in_order(table.arch):
            chart.marks(table[table.arch == arch], arch)
    if not len(chart.points):
        return None
    ends = np.array([chart.points.x.min(), chart.points.x.max()])
    chart.theory(ends, ends, "b = stored bits")
    return chart


# Figure 2c: memory -------------------------------------------------------------------------------


def memory(trials: pd.DataFrame) -> Chart | None:
    """2c: squared error of the reconstructed vector by units, with the theory and chance."""
    chart, sizes = Chart(UNITS, "squared error per dimension"), set()
    for layer in layers(trials, chart, partial(searched, task="memory")):
        sizes |= set(dimensions(layer).astype(int))
        table = note_seeds(chart, over_seeds(layer, SIZE, "units", "eval_loss"))
        for arch in in_order(table.arch):
            chart.marks(table[table.arch == arch], arch)
    if not len(chart.points):
        return None
    for size in sorted(sizes):
        units = np.linspace(0, max(1.1 * chart.points.x.max(), 1.2 * size), 200)
        chart.theory(units, least_error(units, size), f"max(0, 1 - n/{size})")
        chart.axes.axvline(size, color=chart.ink, linewidth=1)
    chance(chart, trials.chance_loss)
    return chart


# Figure 3: text8 and random continuous functions --------------------------------------------------


def text8(trials: pd.DataFrame, depth: int, x: str = "num_params") -> Chart | None:
    """3a-d: bits per character by number of parameters, or of units."""
    chart = Chart(PARAMETERS if x == "num_params" else UNITS, "bits per character", "log")
    select, level = partial(searched, task="text8", depth=depth), trials.chance_loss / math.log(2)
    by_size(chart, trials, select, x, "bits_per_character")
    chance(chart, level)
    return chart.or_none()


def rcf(trials: pd.DataFrame, depth: int) -> Chart | None:
    """3e-g: weighted squared error by number of parameters."""
    chart = Chart(PARAMETERS, "squared error", "log")
    select = partial(searched, task="rcf", depth=depth)
    by_size(chart, trials, select, "num_params", "eval_loss")
    chance(chart, trials.chance_loss)
    return chart.or_none()


# Figure 4: losses by iteration of the search ------------------------------------------------------


def medians(trials: pd.DataFrame, task: str, depth: int) -> Chart | None:
    """4a-d and i-l: running median of eval losses; each trial is a dot."""
    return _iterations(trials, task, depth, "median")


def minima(trials: pd.DataFrame, task: str, depth: int) -> Chart | None:
    """4e-h and m-p: running minimum of eval losses."""
    return _iterations(trials, task, depth, "min")


def _iterations(trials, task, depth, statistic):
    chart = Chart("iteration of the hyperparameter search", "eval loss (nats)", y_scale="log")
    for layer in layers(trials, chart, lambda each: longest(tuned(each, task, depth))):
        by_trial(chart, layer, "eval_loss", statistic)
    chance(chart, trials.chance_loss)
    return chart.or_none()


# Figure 5: random hyperparameters -----------------------------------------------------------------


def boxes(trials: pd.DataFrame, depth: int) -> Chart | None:
    """5a-b: box plots of eval losses with random hyperparameters, and the share that diverged."""
    chart = Chart("", "eval loss (nats)")
    generator = np.random.default_rng(0)
    select = partial(untuned, depth=depth)
    found = [(x, chart.is_faint) for x in layers(trials, chart, select, others=False)]
    names = in_order(arch for layer, _ in found for arch in layer.arch)
    for layer, chart.is_faint in found:
        for arch in in_order(layer.arch):
            table, position = layer[layer.arch == arch], names.index(arch)
            diverged = (table.status == "infeasible").mean()
            if not chart.is_faint:
                chart.above(position, f"{diverged:.0%}")
            table = table[table.eval_loss.notna()]
            spread = generator.uniform(-0.28, 0.28, len(table))
            chart.dots(table.assign(x=position + spread, y=table.eval_loss), arch)
            chart.box(table.eval_loss, position, arch)
    if not len(chart.points):
        return None
    chance(chart, trials.chance_loss)
    if chart.points.y.max() > 20 * chart.points.y.min() > 0:
        chart.axes.set_yscale("log")
    chart.above(-0.55, "diverged:", "right")
    chart.note(
        "Boxes: quartiles of the trials that did not diverge; whiskers: up to 1.5 interquartile "
        "ranges."
    )
    if trials.source.nunique() > 1:
        chart.note("Faint boxes: published trials, whose diverged ones are not counted.")
    chart.categories(names)
    return chart


# All figures --------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Panel:
    """Specification of a figure.

    Attributes:
        title: one line.
        task: the task of its runs.
        sweep: name of the file in gin_configs/paper that defines the runs, without its suffix;
            empty for figures outside the paper.
        depths: depths shown.
        select: maps all trials to those of the figure.
        draw: maps all trials to a `Chart`, or None if there is no run to show.
        needs: sentence on the runs that it needs, if its title does not say so.
        rest: words for trials that it leaves out for no reason that `captions` knows.
        selects_by: columns of `captions.REASONS` by which it selects; all if empty.
    """

    title: str
    task: str
    sweep: str
    depths: tuple[int, ...]
    select: Callable[..., pd.DataFrame]
    draw: Callable[..., Chart | None]
    needs: str = ""
    rest: str = "of studies without a counterpart"
    selects_by: tuple[str, ...] = ()


def _panels():
    capacities = (
        ("abcd", stored_bits, "Stored bits"),
        ("efgh", bits_per_parameter, "Bits per parameter"),
    )
    every = (1, 2, 4)
    for letters, draw, title in capacities:
        needs = f"Needs several depths; 1{letters[1]} to 1{letters[-1]} show one each."
        name = f"{title}, all depths"
        yield f"1{letters[0]}", Panel(name, "capacity", "figure_1", every, capacity, draw, needs)
        for letter, depth in zip(letters[1:], every, strict=True):
            yield f"1{letter}", _panel(title, "capacity", "figure_1", depth, capacity, draw)
    title, needs = "Relative parameters for equal capacity", "Needs two architectures."
    yield "1i", Panel(title, "capacity", "figure_1", every, capacity, multipliers, needs)
    title, select = "Bits per parameter with ReLU", with_each_activation
    yield "2a", _panel(title, "capacity", "figure_2a", 1, select, relu_effect)
    title, needs = "Bits per parameter by unrolled time steps", "Needs several at one size."
    yield "2b", Panel(title, "capacity", "figure_2b", (1,), unrolled, unrolling, needs)
    of_memory = partial(searched, task="memory")
    yield "2c", Panel("Memory throughput", "memory", "figure_2c", every, of_memory, memory)
    for letters, task, draw in (("abc", "text8", text8), ("efg", "rcf", rcf)):
        title, select = _TITLES[task], partial(searched, task=task)
        for letter, depth in zip(letters, every, strict=True):
            yield f"3{letter}", _panel(title, task, f"figure_3_{task}", depth, select, draw)
        if task == "text8":
            title, draw = f"{title} by units", partial(text8, x="units")
            yield "3d", _panel(title, task, "figure_3_text8", 1, select, draw)
    letters, needs = iter("abcdefghijklmnop"), "Needs searches other than random search."
    for task in ("parens", "arithmetic"):
        select = partial(tuned, task=task)
        for draw, what in ((medians, "median"), (minima, "minimum")):
            for depth in (1, 2, 4, 8):
                title = f"{_TITLES[task]}, {what} of eval losses"
                sweep, of_task = f"figure_4_{task}", partial(draw, task=task)
                words = {"needs": needs, "rest": "of shorter studies"}
                panel = _panel(title, task, sweep, depth, select, of_task, **words)
                yield f"4{next(letters)}", panel
    for letter, depth in (("a", 1), ("b", 8)):
        title = "Parentheses, random hyperparameters"
        yield f"5{letter}", _panel(title, "parens", "figure_5", depth, untuned, boxes)
    title = "Size of the data set by stored bits"
    yield "App.1", Panel(title, "capacity", "figure_1", every, capacity, dataset_sizes)


_TITLES = {
    "text8": "text8",
    "rcf": "Random continuous functions",
    "parens": "Parentheses",
    "arithmetic": "Arithmetic",
}


def _panel(title, task, sweep, depth, select, draw, **words):
    """Make a panel of one depth, which is passed to both functions."""
    select, draw = partial(select, depth=depth), partial(draw, depth=depth)
    return Panel(f"{title}, depth {depth}", task, sweep, (depth,), select, draw, **words)


#: The paper's figures by name.
FIGURES = dict(_panels())
