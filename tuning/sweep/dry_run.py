"""Estimate of the remaining work of a sweep, with the studies that a gin file would add."""

from collections.abc import Mapping

from trainer.display.progress import Display
from trainer.display.words import count, duration
from trainer.errors import UserError
from tuning.study import places
from tuning.sweep import estimate
from tuning.sweep.directory import Sweep
from tuning.sweep.growth import Union
from tuning.sweep.status import NEW, Survey, say_problems
from tuning.sweep.transfer import sources

CONFLICT = "conflict"


def show(
    sweep: Sweep | None, merged: Union, workers: int | None, lanes: int | None, display: Display
) -> None:
    """Print each study's status and the estimated cost of its remaining runs.

    Args:
        sweep: the sweep, whose directory may already hold studies; None without a directory.
        merged: its studies after it has grown.
        workers, lanes: see `python -m tuning.sweep`.
        display: prints the table.

    Raises:
        UserError: a study is in conflict with the one that the directory holds.
    """
    statuses = dict.fromkeys(merged.specs, NEW)
    left = {name: spec.num_runs for name, spec in merged.specs.items()}
    if sweep:
        sweep.specs = merged.specs
        survey = Survey(sweep)
        statuses |= survey.statuses
        for name, ended in survey.trials.items():
            left[name] = 0 if survey.states[name].is_over else max(0, left[name] - ended)
        say_problems(sweep, display)
    statuses |= dict.fromkeys(merged.conflicts, CONFLICT)
    left |= dict.fromkeys(merged.conflicts, 0)
    costs = _costs(merged, left, lanes, display)
    rows = [(name, statuses[name], *_cells(costs.get(name))) for name in merged.specs]
    display.table(("study", "status", "units", "parameters", "runs", "steps", "time"), rows)
    if costs or not merged.conflicts:
        display.say(_summary(costs, sources(merged.specs), workers))
    if merged.conflicts:
        first, *others = merged.conflicts.values()
        raise UserError(first + (f" (and {len(others)} more conflicts)" if others else ""))


def _costs(merged, left, lanes, display) -> Mapping[str, estimate.Cost]:
    """Return the cost of each study that is not over, by name."""
    specs = [merged.specs[name] for name, runs in left.items() if runs]
    if not specs:
        return {}
    if not estimate.is_worth_measuring(specs, left):
        display.say("so little work is not measured: its times are those of a typical core")
        return estimate.costs(specs, left, lanes)
    studies = count(len(specs), "study", "studies")
    with display.phase(f"measuring on this machine, for {studies}"):
        return estimate.costs(specs, left, lanes)


def _cells(cost):
    if cost is None:
        return ("-",) * 5
    return (
        str(cost.units),
        f"{cost.num_params:,}",
        f"{cost.runs:,}",
        f"{cost.steps:,.0f}",
        duration(cost.seconds),
    )


def _summary(costs, waits_for, workers):
    if not costs:
        return "no work is left"
    unit = "GPU" if places.gpus() else "core"
    workers = workers or places.default_workers()
    seconds = sum(each.seconds for each in costs.values())
    # With any number of workers, a sweep takes at least as long as its longest chain of studies
    # that wait for each other.
    times = {name: cost.seconds for name, cost in costs.items()}
    longest = max(estimate.chain(name, times, waits_for) for name in times)
    return (
        f"{count(len(costs), 'study', 'studies')}, "
        f"{count(sum(each.runs for each in costs.values()), 'run')}, "
        f"{round(sum(each.steps for each in costs.values())):.3g} steps; about "
        f"{seconds / 3600:,.2f} {unit}-hours, {duration(max(seconds / workers, longest))} on "
        f"{count(workers, unit, unit + 's')}; "
        f"{sum(each.disk for each in costs.values()) / 1e6:,.0f} MB of disk"
    )
