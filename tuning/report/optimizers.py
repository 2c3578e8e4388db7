"""Whether an optimizer closes the gap between RNNs and gated cells, as a table and a figure.

The studies are those of gin_configs/optimizers.gin, each of one cell and one optimizer with the
same number of random trials. A study is used once all of its trials are finished.
"""

import functools
import json

import numpy as np
import pandas as pd
from matplotlib import rc_context

from rnn_zoo.architectures import ARCHITECTURES
from trainer.optimizers import OPTIMIZERS
from tuning.report import page
from tuning.report.chart import Chart
from tuning.report.claims.base import ALPHA
from tuning.report.claims.floors import LEARNED
from tuning.report.paper import label
from tuning.report.selection import finished, holds, in_studies, limits_of, task_in_words
from tuning.report.statistics import Estimate, fisher, share, share_difference
from tuning.sweep import config

#: Largest difference of the shares that learn that is taken as a closed gap.
CLOSE = 0.2
CAPTION = (
    f"A trial learned if its loss is below {LEARNED} of chance. RNNs trained with each optimizer "
    "are compared to gated cells trained with the optimizer that suits them best, that of their "
    "least loss on valid. The gap in shares is the share of the gated cells' trials that learned "
    "minus that of the RNNs', with Newcombe's 95 % interval. It is closed if the interval lies "
    f"below {CLOSE}, the dashed line of the figure. Otherwise it remains if the gated cells' share "
    "is larger by Fisher's exact test, at p < 0.05 divided by the number of optimizers, or else is "
    "undecided. The gap in "
    "losses is that of the best trials on valid, as loss / chance. It has no interval, since a few "
    "trials do not tell how far their best varies. Intervals of shares are Wilson's."
)
SIZE = (6.0, 3.4)
_KEYS = ["task", "arch", "activation", "optimizer"]
_KEYS += ["depth", "max_params", "max_steps", "seed", "algorithm", "setting", "limits"]
#: Hyperparameters that its studies hold.
_HELD = {"activation", "optimizer"}


@functools.cache
def studies() -> pd.DataFrame:
    """The studies of the gin file.

    Their columns are those by which trials are found, `num_trials`, and `words`, the task with its
    options.
    """
    rows = []
    for values in config.points("gin_configs/optimizers.gin", "laptop"):
        facts = ARCHITECTURES[values["arch"]]
        made = {"activation": facts.activation, "depth": facts.min_depth}
        sizes = {"max_params": values["num_params"], "max_steps": values["train_steps"]}
        setting = json.dumps(values.get("task_options", {}), sort_keys=True)
        own = {"setting": setting, "limits": limits_of(values), "words": task_in_words(values)}
        rows.append(made | values | sizes | own)
    return pd.DataFrame(rows)[[*_KEYS, "num_trials", "words"]]


def select(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials of the sweep, with the additional columns `num_trials` and `words`."""
    found = in_studies(trials[holds(trials, "optimizer")], studies(), _KEYS)
    return found[found.held.map(lambda text: set(json.loads(text)) <= _HELD).astype(bool)]


def complete(found: pd.DataFrame) -> pd.DataFrame:
    """The trials of the finished studies among those of `select`, with columns of this table.

    They are `is_gated`, `cell`, the cell in words, and `ratio`, loss / chance; a trial that
    diverged has learned nothing, so its ratio is 1.
    """
    found = finished(found)
    gated = {arch: bool(ARCHITECTURES[arch].forget_gates) for arch in found.arch.unique()}
    return found.assign(
        is_gated=found.arch.astype(object).map(gated).astype(bool),
        cell=[_cell(*each) for each in zip(found.arch, found.activation, strict=True)],
        ratio=(found.eval_loss / found.chance_loss).fillna(1.0),
        objective=found.objective.fillna(np.inf),
    )


def _cell(arch, activation):
    is_usual = activation == ARCHITECTURES[arch].activation
    return label(arch) if is_usual else f"{label(arch)} with {activation}"


def table(found: pd.DataFrame) -> pd.DataFrame:
    """A row per task and optimizer: shares that learned, best losses, and the gap.

    Args:
        found: trials of `complete`.
    """
    rows = []
    for task in studies().words.unique():
        of_task = found[found.words == task]
        gated = {name: part for name, part in _parts(of_task[of_task.is_gated])}
        if not gated:
            continue
        reference = gated[min(gated, key=lambda name: gated[name].objective.min())]
        ungated = list(_parts(of_task[~of_task.is_gated]))
        for optimizer, rnns in ungated:
            row = {"task": task, "optimizer": optimizer}
            row["trials per cell"] = int(rnns.groupby("study", observed=True).size().min())
            row |= _summary("RNNs", rnns) | _summary("gated cells", gated.get(optimizer))
            best = _best(reference)
            row["reference"] = f"{best.cell} with {best.optimizer}"
            difference = gap(rnns, reference)
            row |= _columns("gap in shares", difference)
            row["gap in losses"] = float(_best(rnns).ratio - best.ratio)
            p = fisher(_learned(reference), _learned(rnns)) * len(ungated)
            row["the gap"] = verdict(difference, p, float(best.ratio))
            rows.append(row)
    return pd.DataFrame(rows)


def _parts(trials):
    """Yield (optimizer, its trials), in the order of `OPTIMIZERS`."""
    names = trials.optimizer.astype(object)
    for name in OPTIMIZERS:
        if (names == name).any():
            yield name, trials[(names == name).to_numpy(bool)]


def _summary(name, trials):
    if trials is None:
        return {}
    best = _best(trials)
    of_best = {f"{name}: best": best.cell, f"{name}: loss": float(best.ratio)}
    return _columns(f"{name}: learned", share(*_learned(trials))) | of_best


def _learned(trials):
    return int((trials.ratio < LEARNED).sum()), len(trials)


def _columns(name, estimate):
    return {name: estimate.value, f"{name}, low": estimate.low, f"{name}, high": estimate.high}


def _best(trials):
    return trials.loc[trials.objective.idxmin()]


def gap(rnns: pd.DataFrame, gated: pd.DataFrame) -> Estimate:
    """The share of gated cells' trials that learned minus that of RNNs', with an interval."""
    return share_difference(_learned(gated), _learned(rnns))


def verdict(difference: Estimate, p: float, reference: float, close: float = CLOSE) -> str:
    """Whether a gap is closed, remains or is undecided.

    Args:
        difference: by how much gated cells are better.
        p: of the test for equality, times the number of gaps that are compared.
        reference: loss / chance of the best gated cell.
        close: largest difference that is taken as a closed gap.
    """
    if reference >= LEARNED:
        return "none: no gated cell learned"
    if difference.high < close:
        return "closed"
    return "remains" if difference.value > 0 and p < ALPHA else "undecided"


def draw(rows: pd.DataFrame) -> Chart | None:
    """Draw the gap in shares by optimizer, a colour per task; return None without rows."""
    if not len(rows):
        return None
    chart = Chart("optimizer", "gap in the share of trials that learn")
    names = [name for name in OPTIMIZERS if name in set(rows.optimizer)]
    tasks = list(rows.task.unique())
    with rc_context(chart.style):
        chart.figure.set_size_inches(SIZE)
        cycle = chart.style["axes.prop_cycle"].by_key()
        chart.axes.axhline(0, color=chart.ink, linewidth=0.7)
        chart.axes.axhline(CLOSE, color=chart.ink, linewidth=0.7, linestyle="--")
        for number, task in enumerate(tasks):
            part = rows[rows.task == task]
            x = [
                names.index(name) + 0.2 * (number - (len(tasks) - 1) / 2) for name in part.optimizer
            ]
            colour = cycle["color"][number % len(cycle["color"])]
            marker = cycle["marker"][number % len(cycle["marker"])]
            low, high = part["gap in shares, low"], part["gap in shares, high"]
            chart.axes.vlines(x, low, high, color=colour, linewidth=0.8)
            of_gaps = {"color": colour, "linestyle": "none"}
            (marks,) = chart.axes.plot(x, part["gap in shares"], marker, **of_gaps)
            chart.entry(task, marks)
        chart.axes.set_xticks(range(len(names)), names)
    return chart


def files(found: pd.DataFrame) -> dict[str, str | bytes]:
    """Return the content of the table's and the figure's files by their path in the report.

    Args:
        found: trials of `select`.
    """
    rows = table(complete(found))
    chart = draw(rows)
    if chart is None:
        return {}
    return as_files("optimizers", rows, CAPTION, chart)


def as_files(name: str, rows: pd.DataFrame, caption: str, chart: Chart) -> dict[str, str | bytes]:
    """Return a table and a figure as the files of the report, by their path."""
    table = rows.to_markdown(index=False, floatfmt=".3g")
    texts = {
        f"tables/{name}.csv": rows.to_csv(index=False),
        f"tables/{name}.md": f"{table}\n\n{caption}\n",
    }
    return texts | {f"figures/{name}.{kind}": chart.picture(kind, name) for kind in page.KINDS}
