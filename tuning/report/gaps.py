"""Missing runs of figures and tables, and the commands that make them."""

import functools
import os
import pathlib
import shlex
from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

from rnn_zoo.architectures import ARCHITECTURES
from tuning import studies
from tuning.report.figures import FIGURES
from tuning.report.paper import LABELS
from tuning.report.tables import TABLES
from tuning.sweep import config

#: Architecture, depth, budget.
Cell = tuple[str, int, int]


class Gap(NamedTuple):
    """Settings of a figure or table that lack runs; smoke runs are ignored.

    Attributes:
        what: the figure or table, such as "figure 4c" or "table App.1".
        cells: the settings.
        command: command line that makes the runs.
    """

    what: str
    cells: list[Cell]
    command: str

    def __str__(self) -> str:
        return f"{self.what}: {describe(self.cells)}"


def find(table: pd.DataFrame, runs: str | os.PathLike) -> list[Gap]:
    """Find all gaps, in the paper's order.

    Args:
        table: DataFrame of `trials.read`.
        runs: directory of runs, for the commands.
    """
    table, found = table[table.profile != "smoke"], []
    for kind, wanted in (("figure", FIGURES), ("table", TABLES)):
        for name, each in wanted.items():
            have = _cells(each.select(table))
            found += _gaps(f"{kind} {name}", each.sweep, each.depths, have, runs)
    return found


def commands(gaps: Iterable[Gap]) -> dict[str, list[Gap]]:
    """Group gaps by the command that fills them."""
    by_command: dict[str, list[Gap]] = {}
    for gap in gaps:
        by_command.setdefault(gap.command, []).append(gap)
    return by_command


def describe(cells: Iterable[Cell]) -> str:
    """Describe cells: "RNN, GRU at depth 2 with 1,000 parameters; LSTM at depth 4 with ...".

    Architectures that lack the same depth and budgets share an entry.
    """
    lacking: dict[tuple[str, int], list[int]] = {}
    for arch, depth, budget in cells:
        lacking.setdefault((arch, depth), []).append(budget)
    together: dict[tuple[int, tuple[int, ...]], list[str]] = {}
    for (arch, depth), budgets in lacking.items():
        together.setdefault((depth, tuple(budgets)), []).append(LABELS[arch])
    return "; ".join(
        f"{', '.join(archs)} at depth {depth} with {' '.join(f'{n:,}' for n in budgets)} parameters"
        for (depth, budgets), archs in sorted(together.items())
    )


def _cells(table):
    return set(zip(table.arch, table.depth, table.max_params, strict=True))


def _gaps(what, sweep, depths, have, runs):
    """Find gaps; all laptop sizes or all paper sizes complete an architecture and depth."""
    missing = {"laptop": [], "paper": []}
    for cell in dict.fromkeys(cell[:2] for cell in _grid(sweep, "paper") if cell[1] in depths):
        of = {profile: [c for c in _grid(sweep, profile) if c[:2] == cell] for profile in missing}
        lacking = {profile: [c for c in cells if c not in have] for profile, cells in of.items()}
        profile = "laptop" if of["laptop"] else "paper"
        if lacking[profile] and lacking["paper"]:
            missing[profile] += lacking[profile]
    return [
        Gap(what, cells, _command(sweep, profile, runs))
        for profile, cells in missing.items()
        if cells
    ]


def _command(sweep, profile, runs):
    """Return the sweep's command, in another directory if another profile has the usual one."""
    if pathlib.Path(runs, "sweep.json").exists():  # a sweep of its own, beside which to make others
        runs = os.path.normpath(os.path.join(runs, os.pardir))
    held = studies.of_sweep(pathlib.Path(runs, sweep), []).get("profile") or "laptop"
    out = shlex.quote(f"{runs}/{sweep if held == profile else f'{sweep}_{profile}'}")
    command = f"python -m tuning.sweep --gin_file=gin_configs/paper/{sweep}.gin --out={out}"
    return command if profile == "laptop" else f"{command} --profile={profile}"


@functools.cache
def _grid(sweep: str, profile: str) -> list[Cell]:
    """Cells of a sweep, in its order."""
    cells: dict[Cell, None] = {}
    for values in config.points(f"gin_configs/paper/{sweep}.gin", profile):
        arch, depth = values["arch"], values.get("depth", 1)
        if depth >= ARCHITECTURES[arch].min_depth:
            cells[arch, depth, values["num_params"]] = None
    return list(cells)
