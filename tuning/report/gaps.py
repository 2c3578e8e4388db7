"""What is missing from figures and tables, and the commands that would fill it."""

import functools
import itertools
import pathlib
from typing import NamedTuple

from rnn_zoo.architectures import ARCHITECTURES
from tuning.report import trials
from tuning.report.figures import FIGURES, untuned
from tuning.report.paper import LABELS
from tuning.report.tables import TABLES
from tuning.sweep import config


class Gap(NamedTuple):
    """Architectures and depths that a figure or table has no runs of.

    Attributes:
        what: "figure 4c", "table App.1".
        cells: list of (architecture, depth).
        command: that makes runs of them.
    """

    what: str
    cells: list
    command: str

    def __str__(self):
        return f"{self.what}: {describe(self.cells)}"


def find(table, runs):
    """Every gap, in the paper's order.

    Args:
        table: DataFrame of `trials.read`.
        runs: the directory of runs, for the commands.
    """
    found = []
    for name, panel in FIGURES.items():
        have = _cells(panel.select(table))
        found += _gaps(f"figure {name}", panel.sweep, panel.depths, have, runs)
    again = table[table.is_rerun & (table.task == "parens")]
    for name, each in TABLES.items():
        random = name != "App.1"
        have = _cells(untuned(table) if random else again)
        found += _gaps(f"table {name}", each.sweep, (1, 8) if random else (1,), have, runs)
    return found


def commands(gaps):
    """Each command once, with the names of what it would fill."""
    by_command = {}
    for gap in gaps:
        by_command.setdefault(gap.command, []).append(gap.what)
    return by_command


def describe(cells):
    """Cells as text: "RNN, GRU at depth 2; LSTM at depth 4"."""
    parts = []
    for depth, group in itertools.groupby(sorted(cells, key=lambda c: c[1]), lambda c: c[1]):
        names = ", ".join(LABELS[arch] for arch, _ in group)
        parts.append(f"{names} at depth {depth}")
    return "; ".join(parts)


def _cells(table):
    return set(zip(table.arch, table.depth, strict=True))


def _gaps(what, sweep, depths, have, runs):
    """A gap a profile: what the laptop's grid has is not left to the paper's."""
    missing = [cell for cell in _grid(sweep, "paper") if cell[1] in depths and cell not in have]
    found = []
    for profile in ("laptop", "paper"):
        cells = [cell for cell in missing if cell in _grid(sweep, profile)]
        missing = [cell for cell in missing if cell not in cells]
        if cells:
            found.append(Gap(what, cells, _command(sweep, profile, runs)))
    return found


def _command(sweep, profile, runs):
    """The sweep's command; into a directory of its own where another profile has the usual one."""
    held = trials.manifest(pathlib.Path(runs, sweep)).get("profile", "laptop")
    name = sweep if held == profile else f"{sweep}_{profile}"
    command = f"python -m tuning.sweep --gin_file=gin_configs/paper/{sweep}.gin --out={runs}/{name}"
    return command if profile == "laptop" else f"{command} --profile={profile}"


@functools.cache
def _grid(sweep, profile):
    """Architectures and depths of a sweep, in its order."""
    cells = {}
    for values in config.points(f"gin_configs/paper/{sweep}.gin", profile):
        cell = values["arch"], values.get("depth", 1)
        if cell[1] >= ARCHITECTURES[cell[0]].min_depth:
            cells[cell] = None
    return list(cells)
