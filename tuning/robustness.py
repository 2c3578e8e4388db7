"""Spread of the same hyperparameters over seeds (appendix C)."""

import statistics
from collections.abc import Sequence


def robustness(original: float | None, losses: Sequence[float | None]) -> dict[str, float | None]:
    """Summarise reruns of the best hyperparameters as a row of Table App.1.

    Args:
        original: the best trial's eval loss.
        losses: eval losses of its reruns, None if diverged; at least one entry.

    Returns:
        dict of original, infeasible (a fraction), min, mean, max, sd (of the sample) and sd/mean;
        None where there are too few feasible reruns.
    """
    known = [loss for loss in losses if loss is not None]
    mean = statistics.mean(known) if known else None
    sd = statistics.stdev(known) if len(known) > 1 else None
    return {
        "original": original,
        "infeasible": 1 - len(known) / len(losses),
        "min": min(known, default=None),
        "mean": mean,
        "max": max(known, default=None),
        "sd": sd,
        "sd/mean": sd / mean if sd is not None and mean else None,
    }
