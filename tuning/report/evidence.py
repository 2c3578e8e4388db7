"""Existing trials of planned studies, and simulations of their remaining trials."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from tuning import trials
from tuning.report import designs, simulation, statistics, truths
from tuning.report.claims import floors
from tuning.report.designs import Point

#: Minimum number of trials of a study from which to draw more; below, these are simulated.
DRAWN = 8
#: Tasks whose rules compare the best trials of searches; other rules compare shares of trials.
OF_BESTS = ("capacity", "memory", "text8", "rcf")


class Evidence:
    """Existing trials, grouped by study. Trials below the floors are no evidence."""

    def __init__(self, found: pd.DataFrame):
        self._found = found
        searched = found[~found.is_rerun & found.iteration.notna()]
        steps = [floors.FLOORS[task].steps for task in searched.task]
        searched = searched[(statistics.steps(searched) >= steps) & ~floors.collide(searched)]
        keys = [key_of(row) for row in searched.itertuples()]
        self._rows = {key: rows for key, rows in searched.groupby(pd.Series(keys, searched.index))}

    def count(self, point: Point) -> int:
        """Return the number of trials of a study."""
        return len(self._rows.get(designs.key(point), ()))

    def places(self, point: Point) -> list[str]:
        """Return the directories that hold trials of a study."""
        rows = self._rows.get(designs.key(point))
        return [] if rows is None else sorted(map(str, rows.study.unique()))

    def completed(self, studies: Sequence[Point], generator: np.random.Generator) -> pd.DataFrame:
        """Return the existing trials, and simulated ones up to the size of each study.

        New studies are simulated as if the paper were right. The best trial of a begun search is
        known, so its remaining trials are simulated around a limit that fits this best. Where rules
        compare shares of trials, the remaining ones are drawn from the existing ones by a Bayesian
        bootstrap: with random weights, so that they are as uncertain as the shares.
        """
        names = {place for point in studies for place in self.places(point)}
        is_left = self._found.is_partial & ~self._found.study.isin(names)
        frames, new = [self._found.assign(is_partial=is_left)], []
        for point in studies:
            rows = self._rows.get(designs.key(point))
            if rows is None:
                new.append(point)
            elif len(rows) < point["num_trials"]:
                frames.append(_continuing(rows, _remaining(point, rows, generator)))
        if new:
            frames.append(simulation.simulate(new, truths.LAPTOP, generator))
        return trials.together(frames)


def _remaining(point, rows, generator):
    """Return the remaining trials of a begun study."""
    count = len(rows)
    if point["task"] not in OF_BESTS and count >= DRAWN:
        weights = generator.dirichlet(np.ones(count))
        return rows.iloc[generator.choice(count, point["num_trials"] - count, p=weights)]
    drawn = simulation.simulate([point], truths.LAPTOP, generator)
    drawn = drawn[~drawn.is_rerun]
    more = drawn.iloc[count:]
    if point["task"] not in OF_BESTS:
        return more
    known, all_ = statistics.learned(rows).max(), statistics.learned(drawn)
    # A simulated search that has found little by then does not tell the limit.
    then = max(all_[:count].max(), all_.max() / 2)
    return _scaled(more, known / then) if known > 0 and then > 0 else more


def _scaled(rows, factor):
    """Return trials that have learned `factor` times as much."""
    if (rows.task == "capacity").all():
        names = ["bits", "bits_per_parameter", "objective"]
        return rows.assign(**{name: factor * rows[name] for name in names})
    changed = {}
    for name in ("objective", "valid_loss", "train_loss", "eval_loss"):
        changed[name] = (rows.chance_loss - factor * (rows.chance_loss - rows[name])).clip(lower=0)
    nats = rows.eval_loss / rows.bits_per_character
    return rows.assign(**changed, bits_per_character=changed["eval_loss"] / nats)


def _continuing(rows, more):
    """Return trials renumbered as the next ones of a study."""
    study, last = rows.study.iloc[0], int(rows.iteration.max())
    iterations = np.arange(last + 1, last + 1 + len(more))
    run_ids = [f"{i:05d}-planned" for i in iterations]
    names = {"study": study, "run_id": run_ids, "run": [f"{study}/{i}" for i in run_ids]}
    return more.assign(iteration=iterations.astype(float), is_partial=False, **names)


def key_of(row: Any) -> tuple:
    """Return the `designs.key` of the study of a row of `trials.read`."""
    held = json.loads(row.held)
    point = {
        "task": row.task,
        "arch": row.arch,
        "depth": row.depth,
        "num_params": row.max_params,
        "algorithm": row.algorithm,
        "seed": row.seed,
        "train_steps": row.max_steps,
    }
    point |= {name: getattr(row, name) for name in ("activation", "optimizer") if name in held}
    if row.task == "capacity":
        options = {"num_steps": int(row.num_steps), "num_inputs": int(row.num_inputs)}
        point["task_options"] = options
    return designs.key(point)
