"""Studies that start from the best hyperparameters of smaller ones."""

import dataclasses
import itertools
import json
import os
import signal
import threading

import pytest
import sweep_studies
from processes import JAX
from sweep_studies import finish, start, wait_for
from untrained import record

from trainer import UserError
from trainer.storage.lease import Lease
from tuning.study.log import TrialLog, ranked, read
from tuning.sweep import growth, worker
from tuning.sweep.config import parse
from tuning.sweep.directory import State, Sweep
from tuning.sweep.status import report
from tuning.sweep.transfer import begin, first_trial, sources

SIZES = (3000, 5000, 9000)


def never():
    return False


def name_of(size):
    return f"parens-rnn-1-{size}-random"


@pytest.fixture
def grid(tmp_path):
    """Return a function that parses a grid and returns its studies by name."""

    def parse_grid(*entries):
        path = tmp_path / "grid.gin"
        path.write_text(f"SweepConfig.grid = {list(entries)!r}")
        return {spec.name: spec for spec in parse(str(path), "laptop")[0]}

    return parse_grid


def test_a_study_starts_from_the_next_smaller_one(grid):
    entry = {"task": "parens", "arch": ["gru", "rnn"], "depth": [1, 2], "transfer": "num_params"}
    entry |= {"num_params": [9000, 3000, 5000], "activation": ["tanh", "relu"], "seed": [0, 1]}
    specs = grid(entry)
    assert len(specs) == 48
    found = sources(specs)
    assert len(found) == 32
    for name, source in found.items():
        assert name.replace("-9000-", "-5000-" if "-9000-" in name else "") == source or (
            name.replace("-5000-", "-3000-") == source
        )


def test_a_study_starts_from_another_depth(grid):
    entry = {"task": "parens", "arch": ["gru", "+rnn"], "depth": [1, 2, 4], "num_params": 9000}
    found = sources(grid(entry | {"transfer": "depth"}))
    assert found == {
        "parens-gru-2-9000-gp": "parens-gru-1-9000-gp",
        "parens-gru-4-9000-gp": "parens-gru-2-9000-gp",
        "parens-+rnn-4-9000-gp": "parens-+rnn-2-9000-gp",
    }


def test_only_studies_of_the_same_kind_are_sources(grid):
    small = {"task": "parens", "arch": "gru", "num_params": 3000}
    large = small | {"num_params": 9000, "transfer": "num_params"}
    pair = {"parens-gru-1-9000-gp": "parens-gru-1-3000-gp"}
    assert sources(grid(small, large)) == pair  # the source needs no transfer itself
    assert sources(grid(small, large | {"lr_init": 0.01})) == {}
    assert sources(grid(small | {"lr_init": 0.01}, large | {"lr_init": 0.01})) == pair
    assert sources(grid(small, large | {"train_steps": 7000})) == pair
    assert sources(grid(small | {"algorithm": "random"}, large)) == {}
    assert sources(grid(small | {"arch": "rnn"}, large)) == {}
    with pytest.raises(UserError, match="unknown transfer 'lr_init'"):
        grid(large | {"transfer": "lr_init"})


def test_values_are_clipped_and_the_number_of_samples_grows_with_the_budget(grid):
    small = {"task": "capacity", "arch": "rnn", "num_params": 500, "depth": 1}
    large = small | {"num_params": 2000, "ranges": {"lr_init": (0.001, 0.01)}}
    source, target = grid(small, large).values()
    options = source.config.task_options | {"num_samples": 3000, "presentation": "every"}
    found = {"task_options": options, "lr_init": 0.05, "optimizer": "sgd", "train_steps": 40_000}
    found |= {"bias_scale": {"h": -0.25}, "matrix_init": "orthogonal", "activation": "relu"}
    best = dataclasses.replace(source.config, **found)
    values = first_trial(target, source, dataclasses.asdict(best))
    assert values["task_options.num_samples"] == 12_000
    assert (values["lr_init"], values["optimizer"], values["activation"]) == (0.01, "sgd", "relu")
    assert (values["bias_scale.h"], values["train_steps"]) == (-0.25, 40_000)
    assert "momentum_logit" not in values  # SGD has none
    many = dataclasses.replace(best, task_options=options | {"num_samples": 5000})
    shrunk = target._replace(config=dataclasses.replace(target.config, num_params=600))
    assert first_trial(shrunk, source, dataclasses.asdict(many))["task_options.num_samples"] == 6000
    narrow = dataclasses.replace(target.study, ranges={"optimizer": ["adam", "rmsprop"]})
    with pytest.raises(UserError, match=r"optimizer must be one of .* got 'sgd'"):
        first_trial(target._replace(study=narrow), source, dataclasses.asdict(best))


def test_the_trials_of_another_study_are_not_transferred(tmp_path, grid):
    entry = {"task": "parens", "arch": "rnn", "num_params": [3000, 5000]}
    specs = grid(entry | {"transfer": "num_params"})
    (target, source), *_ = sources(specs).items()
    best = record("00000", dataclasses.replace(specs[source].config, input_scale={"h": 1.0}))
    (tmp_path / source).mkdir()
    for arch, words in (("rnn", f"starts from {source}/00000"), ("gru", "starts without transfer")):
        line = json.dumps(dataclasses.asdict(best) | {"arch": arch})
        (tmp_path / source / "trials.jsonl").write_text(line + "\n")
        found = begin(specs, target, source, tmp_path.joinpath)
        assert found.note.startswith(words) and (found.transferred_from is None) == (arch == "gru")


def test_long_studies_are_first_among_those_that_are_free(tmp_path):
    sweep, order = sweep_studies.make_chain(tmp_path / "sweep", SIZES), []
    other = sweep_studies.spec(0)._replace(name="parens-gru", num_steps=175)
    config = dataclasses.replace(other.config, num_params=4000)
    sweep = Sweep(sweep.path, [other._replace(config=config)], sweep.backend)
    sweep.create()
    for name, _ in worker.free_studies(sweep, never):
        order.append(name)
        sweep_studies.end(sweep, name)
    # The GRU of 4000 parameters is more work than any of the RNNs.
    assert order == ["parens-gru", *map(name_of, SIZES)]
    assert list(sweep.specs).index(name_of(9000)) < list(sweep.specs).index(name_of(3000))


def test_a_freed_study_comes_before_shorter_ones(tmp_path):
    sweep, order = sweep_studies.make_chain(tmp_path / "sweep", [3000, 90_000]), []
    short = sweep.specs[name_of(3000)]._replace(transfer=None)
    for number in range(3):  # shorter than all others
        config = dataclasses.replace(short.config, num_params=2000 - number)
        more = short._replace(name=f"short-{number}", config=config)
        Sweep(sweep.path, [more], sweep.backend).create()
    sweep.refresh()
    for name, _ in worker.free_studies(sweep, never):
        order.append(name)
        sweep_studies.end(sweep, name)
    assert order == [name_of(3000), name_of(90_000), "short-0", "short-1", "short-2"]


@pytest.mark.parametrize("status", ["failed", "done"])
def test_a_study_whose_source_is_over_is_free(tmp_path, status):
    sweep = sweep_studies.make_chain(tmp_path / "sweep", SIZES[:2])
    assert sweep.waits_for(name_of(5000)) == name_of(3000)
    sweep_studies.end(sweep, name_of(3000), status=status)
    assert sweep.waits_for(name_of(5000)) is None
    larger = sweep_studies.make_chain(sweep.path, SIZES[:1], num_trials=9)
    assert larger.waits_for(name_of(5000)) == (name_of(3000) if status == "done" else None)
    # A study that has begun does not wait for a source that grows.
    sweep.study_path(name_of(5000)).mkdir(parents=True)
    (sweep.study_path(name_of(5000)) / "study.json").write_text("{}")
    assert larger.waits_for(name_of(5000)) is None


def test_a_source_that_another_process_runs_is_waited_for(tmp_path, monkeypatch):
    sweep, pauses, order = sweep_studies.make_chain(tmp_path / "sweep", SIZES[:2]), [], []
    source = sweep.study_path(name_of(3000))
    source.mkdir()
    lease = Lease(source)
    lease.acquire()
    pause = threading.Event()

    def sleep(seconds):
        pauses.append(seconds)
        pause.wait(0.01)
        if len(pauses) == 9:
            sweep_studies.end(sweep, name_of(3000))
            lease.release()

    monkeypatch.setattr(worker.time, "sleep", sleep)
    for name, _ in worker.free_studies(sweep, never):
        order.append(name)
        sweep_studies.end(sweep, name)
    assert order == [name_of(5000)] and len(pauses) == 9
    assert pauses[0] == worker.PAUSES[0] and pauses[-1] == worker.PAUSES[1]


def run_all(sweep, runner="untrained"):
    for name, _ in worker.free_studies(sweep, never):
        state = worker.run(sweep, name, sweep_studies.RUNNERS[runner], never)
        assert state.status == "done", state.failures
    return {name: read(sweep.study_path(name) / "trials.jsonl")[0] for name in sweep.specs}


def check_chain(trials, sizes=SIZES):
    """Check that each study's first trial has the best hyperparameters of the one before it."""
    for size, larger in itertools.pairwise(sizes):
        best = ranked(trials[name_of(size)].values())[0]
        first = trials[name_of(larger)]["00000"]
        assert first.origin == "transfer"
        assert first.transferred_from == f"{name_of(size)}/{best.run_id}"
        assert first.config == best.config | {"num_params": larger}
    for name in trials:
        others = [trial for run_id, trial in trials[name].items() if run_id != "00000"]
        assert {trial.origin for trial in others} == {"random"}
        assert {trial.transferred_from for trial in others} == {None}
    assert trials[name_of(sizes[0])]["00000"].origin == "random"


def test_a_chain_of_studies(tmp_path):
    sweep = sweep_studies.make_chain(tmp_path / "sweep", SIZES)
    trials = run_all(sweep)
    check_chain(trials)
    best = ranked(trials[name_of(3000)].values())[0].run_id
    state = sweep.state(name_of(5000))
    assert state.note == f"starts from {name_of(3000)}/{best}"
    assert report(sweep, name_of(5000), state).endswith(state.note)
    # A grown study keeps its first trial, though its source has a better one now.
    grown = sweep_studies.make_chain(sweep.path, SIZES, num_trials=30)
    after = run_all(grown)
    assert all(trials[name].items() <= after[name].items() for name in trials)
    assert {len(found) for found in after.values()} == {30}
    first = json.loads((sweep.study_path(name_of(9000)) / "study.json").read_text())
    assert first["transferred_from"] == trials[name_of(9000)]["00000"].transferred_from
    # A size between others starts from the best so far.
    sweep_studies.make_chain(sweep.path, [7000], num_trials=30)
    between = run_all(Sweep.open(sweep.path))[name_of(7000)]["00000"]
    best = ranked(after[name_of(5000)].values())[0].run_id
    assert between.transferred_from == f"{name_of(5000)}/{best}"


def test_a_transfer_that_comes_too_late_is_named(tmp_path):
    sweep = sweep_studies.make_chain(tmp_path / "sweep", SIZES[:2])
    chain = list(sweep.specs.values())
    late = Sweep(tmp_path / "late", [spec._replace(transfer=None) for spec in chain], "jax")
    late.create()
    run_all(late)
    merged = Sweep(late.path, chain, "jax").create()
    found = [line for line in growth.kept(str(late.path), merged) if "transfer" in line]
    assert found == [f"a transfer has no effect on 1 study that had begun: {name_of(5000)}"]
    assert not growth.kept(str(sweep.path), Sweep(sweep.path, chain, "jax").create())
    target = name_of(5000)
    beginning = begin(merged.specs, target, name_of(3000), late.study_path)
    assert beginning == (merged.specs[target].study, None, "began without transfer")


def test_a_source_without_a_feasible_trial_is_named(tmp_path):
    options = {"ranges": {"input_scale": (1.6, 2.0)}, "first": "config"}
    sweep = sweep_studies.make_chain(tmp_path / "sweep", SIZES[:2], **options)
    trials = run_all(sweep)
    assert not ranked(trials[name_of(3000)].values())
    note = f"starts without transfer: {name_of(3000)} has no feasible trial"
    assert sweep.state(name_of(5000)).note == note
    assert note in sweep.log_path(name_of(5000)).read_text()
    first = trials[name_of(5000)]["00000"]
    assert (first.origin, first.transferred_from) == ("first", None)


def test_a_study_whose_source_is_missing_starts_without_transfer(tmp_path):
    sweep = sweep_studies.make_chain(tmp_path / "sweep", SIZES)
    path = sweep.path / "sweep.json"
    held = json.loads(path.read_text())
    held["studies"] = [each for each in held["studies"] if each["name"] == name_of(9000)]
    del held["crc32"]
    path.write_text(json.dumps(held))
    only = Sweep.open(sweep.path)
    assert only.waits_for(name_of(9000)) is None
    assert begin(only.specs, name_of(9000), None, only.study_path) == (
        only.specs[name_of(9000)].study,
        None,
        "",
    )


def test_a_failed_source_gives_its_best_so_far(tmp_path):
    sweep = sweep_studies.make_chain(tmp_path / "sweep", SIZES[:2])
    path = sweep.study_path(name_of(3000))
    path.mkdir()
    best = dataclasses.replace(
        sweep.specs[name_of(3000)].config, lr_init=0.03, input_scale={"h": 1.0}
    )
    TrialLog(path / "trials.jsonl").append(record("00000", best))
    sweep.write_state(name_of(3000), State("failed", 1, failures=("out of memory",)))
    beginning = begin(sweep.specs, name_of(5000), name_of(3000), sweep.study_path)
    assert beginning.transferred_from == f"{name_of(3000)}/00000"
    assert beginning.search.first["lr_init"] == 0.03


@pytest.mark.slow
@pytest.mark.parametrize("after", ["study.json", "trials.jsonl"])
def test_a_killed_process_leaves_the_same_first_trials(engine, after, tmp_path):
    """A process is killed with a source done and its target about to begin, or just begun."""
    sizes = (*SIZES, 17_000)
    sweep = sweep_studies.make_chain(tmp_path / "sweep", sizes)
    first = start(sweep, "local", 1, "untrained-slowly", group=True, **JAX)
    wait_for(lambda: sweep.state(name_of(3000)).is_over)
    if after == "trials.jsonl":
        wait_for((sweep.study_path(name_of(5000)) / after).exists)
    second = start(sweep, engine, 1, "untrained", **JAX)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    code, stdout, stderr = finish(second)
    assert (code, stderr) == (0, ""), stdout
    trials = {name: read(sweep.study_path(name) / "trials.jsonl")[0] for name in sweep.specs}
    assert {len(found) for found in trials.values()} == {sweep_studies.TRIALS}
    check_chain(trials, sizes)


@pytest.mark.slow
def test_two_processes_share_a_chain(engine, tmp_path):
    sweep = sweep_studies.make_chain(tmp_path / "sweep", SIZES)
    drivers = [start(sweep, each, 1, "untrained", **JAX) for each in ("local", engine)]
    assert [finish(driver)[0] for driver in drivers] == [0, 0]
    check_chain({name: read(sweep.study_path(name) / "trials.jsonl")[0] for name in sweep.specs})
