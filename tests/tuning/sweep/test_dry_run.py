"""The estimate of what is left of a sweep."""

import dataclasses
import io

import pytest
import sweep_studies
from rich.console import Console

from trainer import UserError
from trainer.display.progress import Display
from tuning.sweep import dry_run, estimate, worker
from tuning.sweep.directory import Sweep
from tuning.sweep.growth import union


@pytest.fixture
def show(monkeypatch):
    """Return a function that makes a dry run of studies and returns its lines."""
    monkeypatch.setattr(estimate, "measure", lambda specs, lanes: (1e-6, 0.0, 10.0))

    def run(path, specs):
        console = Console(file=io.StringIO(), width=160)
        if path:
            sweep = Sweep(path, specs)
            merged = sweep.union()
        else:
            sweep, merged = None, union("", {}, {spec.name: spec for spec in specs})
        try:
            dry_run.show(sweep, merged, 2, 1, Display(console))
        finally:
            run.lines = console.file.getvalue().splitlines()
        return run.lines

    return run


def rows(lines):
    """Return the cells of each study's row, by name."""
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines]
    return {row[0]: row[1:] for row in cells if row and row[0].startswith("study-")}


def test_only_the_work_that_is_left_is_estimated(show, tmp_path):
    sweep = sweep_studies.make(tmp_path / "sweep", 2)
    for name in sweep.specs:
        worker.run(sweep, name, sweep_studies.RUNNERS["instant"], lambda: False)
    specs = list(sweep.specs.values())
    assert show(sweep.path, specs)[-1] == "no work is left"
    more = specs[1]._replace(study=dataclasses.replace(specs[1].study, num_trials=9), reruns=2)
    new = specs[0]._replace(name="study-002")
    before = (sweep.path / "sweep.json").read_text()
    lines = show(sweep.path, [more, new])
    assert (sweep.path / "sweep.json").read_text() == before
    assert "┃ runs ┃" in next(line for line in lines if "study" in line and "┃" in line)
    found = rows(lines)
    assert found["study-000"] == ["done", "-", "-", "-", "-", "-"]
    assert [found["study-001"][i] for i in (0, 3)] == ["more", "5"]
    assert [found["study-002"][i] for i in (0, 3)] == ["new", "6"]
    steps = 5 * estimate.mean_steps(more) + 6 * estimate.mean_steps(new)
    assert lines[-1].startswith(f"2 studies, 11 runs, {steps:.3g} steps; about ")
    launches = 175 * 4 * 1e-6 * (steps + 11 * 3 * estimate.EVALUATION_STEPS)
    assert f"{(20 + launches) / 3600:.2f} core-hours" in lines[-1]


def test_a_conflict_is_shown_and_refused(show, tmp_path):
    sweep = sweep_studies.make(tmp_path / "sweep", 2)
    first, second = sweep.specs.values()
    other = first._replace(config=dataclasses.replace(first.config, lr_init=0.5))
    with pytest.raises(UserError, match=r"holds study-000 with config\.lr_init 0\.\d+, not 0\.5"):
        show(sweep.path, [other, second])
    found = rows(show.lines)
    assert found["study-000"][0] == "conflict" and found["study-001"][0] == "new"
    assert "1 study, 6 runs" in show.lines[-1]
    for name in sweep.specs:
        worker.run(sweep, name, sweep_studies.RUNNERS["instant"], lambda: False)
    with pytest.raises(UserError, match="holds study-000"):
        show(sweep.path, [other])
    assert not [line for line in show.lines if "no work is left" in line]


def test_it_needs_no_directory(show):
    lines = show(None, [sweep_studies.spec(number) for number in range(2)])
    assert {row[0] for row in rows(lines).values()} == {"new"}
    assert lines[-1].startswith("2 studies, 12 runs")
