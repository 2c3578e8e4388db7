"""The files of a sweep, and the states of its studies."""

import dataclasses

import pytest
import sweep_studies

from trainer import UserError
from tuning.sweep.directory import State, Sweep


def test_a_sweep_is_read_back(tmp_path):
    sweep = sweep_studies.make(tmp_path / "sweep", 3)
    assert Sweep.open(sweep.path).specs == sweep.specs
    Sweep(sweep.path, sweep.specs.values()).create({})  # creating it again is allowed
    state = State("failed", 4, failures=("one", "two"), deaths=1, seconds=2.5)
    sweep.write_state("study-001", state)
    assert sweep.state("study-001") == state


def test_another_sweep_is_refused(tmp_path):
    sweep = sweep_studies.make(tmp_path / "sweep", 3)
    specs = list(sweep.specs.values())
    config = dataclasses.replace(specs[1].config, train_steps=7)
    changed = [specs[0], specs[1]._replace(config=config), specs[2]]
    with pytest.raises(UserError, match=r"study-001\.config\.train_steps 3000, not 7"):
        Sweep(sweep.path, changed).create({})
    with pytest.raises(UserError, match="holds a sweep with the study study-002"):
        Sweep(sweep.path, specs[:2]).create({})
    with pytest.raises(UserError, match="not 'jax'; set KERAS_BACKEND=tensorflow"):
        Sweep(sweep.path, specs, "jax").create({})
    with pytest.raises(UserError, match="holds a sweep without the study study-003"):
        more = [*specs, specs[0]._replace(name="study-003")]
        Sweep(sweep.path, more).create({})


def test_a_directory_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(UserError, match=r"thesis\.tex but no sweep"):
        Sweep(tmp_path, []).create({})
    with pytest.raises(UserError, match="holds no sweep"):
        Sweep.open(tmp_path)
    (tmp_path / "sweep.json").write_text('{"studies": [{}]}')
    with pytest.raises(UserError, match="describes no sweep"):
        Sweep.open(tmp_path)


def test_a_damaged_state_is_replaced(tmp_path):
    """Nothing is lost: the results are in the study's files."""
    sweep = sweep_studies.make(tmp_path / "sweep", 1)
    for text in ("", "{", '{"status": "done"}', '{"failures": 3}'):
        (sweep.path / "states/study-000.json").write_text(text)
        assert sweep.state("study-000") == State()


def test_deaths_are_counted_only_without_progress():
    state = State().taken(0)
    assert (state.status, state.deaths) == ("running", 0)
    state = state.taken(0).taken(0)
    assert state.deaths == 2
    state = state.failed("an error", is_final=False)
    assert state.deaths == 0
    state = state.taken(3)  # the last owner had finished three trials
    assert (state.deaths, state.trials, state.failures) == (0, 3, ())
    for _ in range(19):
        state = state.taken(3)
    assert (state.status, state.deaths) == ("running", 19)
    state = state.taken(3)
    assert state.status == "failed" and "died 20 times" in state.failures[-1]


def test_two_processes_may_create_it_at_once(tmp_path, monkeypatch):
    """The other process writes the manifest between this one's checks."""
    sweep = sweep_studies.make(tmp_path / "sweep", 2)
    text = (sweep.path / "sweep.json").read_text()
    (sweep.path / "sweep.json").unlink()
    listed = type(sweep.path).iterdir

    def iterdir(path):
        (sweep.path / "sweep.json").write_text(text)
        return listed(path)

    monkeypatch.setattr(type(sweep.path), "iterdir", iterdir)
    Sweep(sweep.path, sweep.specs.values()).create({})
    assert (sweep.path / "sweep.json").read_text() == text
    assert not (sweep.path / "sweep.gin").exists()
    other = sweep.specs["study-000"]._replace(reruns=7)
    with pytest.raises(UserError, match=r"study-000\.reruns 0, not 7"):
        Sweep(sweep.path, [other, sweep.specs["study-001"]]).create({"sweep.gin": ""})


def test_failed_studies_can_be_retried(tmp_path):
    sweep = sweep_studies.make(tmp_path / "sweep", 2)
    sweep.write_state("study-000", State("failed", 2, failures=("a", "b"), deaths=3, seconds=4.0))
    sweep.write_state("study-001", State("done", 6))
    for name in sweep.specs:
        sweep.study_path(name).mkdir()
        sweep.retry(name)
    assert sweep.state("study-000") == State("waiting", 2, seconds=4.0)
    assert sweep.state("study-001") == State("done", 6)


def test_errors_are_retried_a_few_times():
    state = State("running").failed("one", is_final=False)
    assert (state.status, state.failures) == ("waiting", ("one",))
    state = state.failed("two", is_final=False).failed("three", is_final=False)
    assert (state.status, state.failures) == ("failed", ("one", "two", "three"))
    assert State("running").failed("fix it", is_final=True).status == "failed"
