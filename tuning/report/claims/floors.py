"""Floors: the minimum evidence for any rule, in one place.

The floors hold for support and for contradiction alike. They were set before the runs that the
claims are judged on; `SEEN` lists the trials that were known at that time.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from tuning.report import statistics


class Floor(NamedTuple):
    """Minimum evidence on a task.

    Attributes:
        steps: training steps per trial; those done if it was stopped early.
        trials: trials per study, infeasible ones included.
    """

    steps: int
    trials: int


#: Networks need time to learn; on the hard tasks, gated ones begin to within a thousand steps.
FLOORS = {
    "capacity": Floor(10_000, 12),
    "memory": Floor(2_000, 8),
    "text8": Floor(2_000, 12),
    "rcf": Floor(2_000, 12),
    "parens": Floor(1_000, 20),
    "arithmetic": Floor(1_000, 20),
}
#: Minimum number of feasible reruns per architecture.
RERUNS = 6
#: Minimum number of independent searches per architecture, for claims that compare searches.
SEARCHES = 4
#: Maximum of b / 2^n_in, about the number of capacity samples that share the input of a given one.
COLLISIONS = 0.001
#: Maximum gain of a converged search from doubling trials or steps, as a fraction of the amount
#: learned.
CONVERGENCE = 0.05
#: Minimum number of random trials per architecture, for claims that use any depth with runs.
RANDOM = 100
#: Losses of at least this fraction of chance are set to chance, and so are divergences.
LEARNED = 0.95
#: A task is solved below this fraction of its chance loss.
SOLVED = 0.01
#: Trials known while the rules were written: (task, algorithm, largest budget, trials per study),
#: all with seed 0. They are shown, but no verdict rests on them.
SEEN = (
    ("parens", "random", 10_000, 100),
    ("capacity", "gp", 2_000, 4),
    ("memory", "gp", 40_000, 12),
)


def evidence(trials: pd.DataFrame) -> pd.DataFrame:
    """Trials that train long enough, in studies with enough such trials.

    Studies count once they have all trials that they were planned with: repeated looks at a growing
    study find a difference by chance. Reruns are kept if they are long
    enough. Capacity trials with too many collisions are left out.
    """
    trials = trials[~trials.is_partial]
    steps = trials.task.astype(object).map({task: floor.steps for task, floor in FLOORS.items()})
    long = trials[(statistics.steps(trials) >= steps).to_numpy(bool) & ~collide(trials)]
    least = long.task.astype(object).map({task: floor.trials for task, floor in FLOORS.items()})
    sizes = long.groupby(["study", "is_rerun"], observed=True).run.transform("size")
    return long[long.is_rerun | (sizes >= least).to_numpy(bool)]


def collide(trials: pd.DataFrame) -> np.ndarray:
    """Whether too many samples of a capacity trial share their input; False if n_in is unknown."""
    share = trials.num_samples / 2.0**trials.num_inputs
    return ((trials.task == "capacity") & (share > COLLISIONS)).to_numpy(bool)


def seen(trials: pd.DataFrame) -> np.ndarray:
    """Whether a trial is in `SEEN`."""
    known = np.zeros(len(trials), bool)
    for task, algorithm, budget, count in SEEN:
        same = (trials.task == task) & (trials.algorithm == algorithm) & (trials.seed == 0)
        known |= (same & (trials.max_params <= budget) & (trials.iteration < count)).to_numpy(bool)
    return known
