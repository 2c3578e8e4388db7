"""A user-defined cell, `tests/own_cells.py`, in the trainer, in lanes and in the tuner."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from on_backend import tensorflow_only
from processes import QUICK, python
from registrations import restored

import trainer
from trainer import TrainConfig, UserError, names
from trainer.lanes import train_lanes
from trainer.trial import Trial
from tuning.config import StudyConfig
from tuning.search import space
from tuning.study.executors import InProcess
from tuning.study.study import Study

#: Parens of 12 time steps, which trains for a second.
BASE = {
    "task": "parens",
    "task_options": {"num_steps": 12},
    "num_params": 3000,
    "train_steps": 20,
    "batch_size": 8,
    "eval_samples": 64,
}


@pytest.fixture(autouse=True)
def _restored():
    with restored():
        names.load(["own_cells"])
        yield


@pytest.mark.slow
def test_the_trainer_trains_it(tmp_path):
    config = TrainConfig(arch="own_cells.leaky", **BASE)
    record = trainer.train(config, tmp_path)
    assert (record.status, record.arch, record.steps_done) == ("ok", "own_cells.leaky", 20)
    measured = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert measured[-1]["train_loss"] < measured[0]["train_loss"]
    again = trainer.train(config, tmp_path, resume=True)
    assert again.eval_loss == record.eval_loss


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arch", "one", "two"),
    [
        ("own_cells.echo", {"gate_bias": 2.0}, {"gate_bias": -1.0}),
        ("own_cells.decay", {"arch_options": {"rate": 0.5}}, {"arch_options": {"rate": 0.95}}),
    ],
)
def test_a_lane_equals_its_trial_alone(arch, one, two):
    """The lanes differ in attributes that the equations read through methods and `super()`."""
    first = TrainConfig(arch=arch, activation="tanh", **one, **BASE)
    second = dataclasses.replace(first, activation="relu", lr_init=0.003, **two)
    trials = [Trial(first, "first"), Trial(second, "second")]
    found = {record.run_id: weights for _, record, weights in train_lanes(trials, lanes=2)}
    for trial in trials:
        expected = map(keras.ops.convert_to_numpy, keras.tree.flatten(end_alone(trial)))
        for array, other in zip(keras.tree.flatten(found[trial.run_id]), expected, strict=True):
            np.testing.assert_allclose(array, other, rtol=1e-4, atol=1e-5)


def end_alone(trial):
    """Return the final weights of a trial trained in a program of its own."""
    program = trial.program()
    hparams, data = trial.hparams(program), trial.task.device_data
    start = program.start(trial.draw_weights())
    return program.run(start, hparams, data, trial.config.train_steps)["weights"]


def test_the_search_space_has_its_gates():
    names = [each.name for each in space.space(TrainConfig(arch="own_cells.leaky", **BASE))]
    assert {"input_scale.c", "recurrent_scale.g", "bias_scale.g", "gate_bias.g"} <= set(names)


def test_the_search_space_has_its_options():
    found = {each.name: each for each in space.space(TrainConfig(arch="own_cells.decay", **BASE))}
    rate = found["arch_options.rate"]
    assert (rate.distribution, rate.low, rate.high, rate.source) == (
        *("uniform", 0.5, 0.99),
        "the cell",
    )
    start = TrainConfig(arch="own_cells.decay", arch_options={"rate": 0.75}, **BASE)
    assert space.values_of(start, found.values())["arch_options.rate"] == 0.75
    assert space.configure(start, {"arch_options.rate": 0.6}).arch_options == {"rate": 0.6}


def test_options_that_the_cell_lacks_or_rejects_are_refused():
    with pytest.raises(UserError, match=r"own_cells\.decay has no option 'pace'; it has rate"):
        TrainConfig(arch="own_cells.decay", arch_options={"pace": 0.5}, **BASE)
    with pytest.raises(UserError, match="rate must be between 0 and 1, got 2"):
        Trial(TrainConfig(arch="own_cells.decay", arch_options={"rate": 2}, **BASE))


@pytest.mark.parametrize("rate", [2, (0.5, 1.5), [0.5, -1.0]], ids=str)
def test_an_invalid_option_is_refused_before_a_study_is_written(tmp_path, rate):
    config = TrainConfig(arch="own_cells.decay", **BASE)
    search = Study(tmp_path / "study", config, StudyConfig(ranges={"rate": rate}))
    with pytest.raises(UserError, match="rate must be between 0 and 1"):
        search.run(InProcess())
    assert not (tmp_path / "study").exists()


@pytest.mark.slow
def test_a_study_searches_it(tmp_path):
    config = TrainConfig(arch="own_cells.leaky", **BASE)
    search = Study(tmp_path, config, StudyConfig(num_trials=2, algorithm="random"))
    best, is_complete = search.run(InProcess(lanes=2))
    assert is_complete and len(search.log.records) == 2
    assert best.arch == "own_cells.leaky" and set(best.hparams["bias_scale"]) == {"c", "g"}


def test_an_unknown_cell_is_one_line_before_a_backend_starts(cold, tmp_path):
    arguments = ("tuning", "--task=parens", "--arch=no_such.cell")
    done = cold.run(*arguments, cwd=tmp_path, KERAS_BACKEND="none")
    assert done.code == 2 and done.stderr.count("\n") == 1
    assert "'no_such.cell'" in done.stderr and "no module 'no_such'" in done.stderr


@pytest.mark.slow
def test_workers_and_commands_find_it_by_name(swept, warm_jax, tmp_path):
    """Workers of a sweep have trained it; another command builds it from its run."""
    (run, *_) = swept.glob("sweep/studies/parens-own_cells.leaky-*/trial_*/checkpoints")
    assert json.loads((run.parent / "record.json").read_text())["arch"] == "own_cells.leaky"
    command = ("trainer.show", f"--run_dir={run.parent}")
    done = warm_jax.run(*command, "--import=own_cells", cwd=tmp_path)
    assert (done.code, done.stderr) == (0, "") and "own_cells.leaky" in done.stdout
    done = warm_jax.run(*command, "--num=0", cwd=tmp_path)
    assert (done.code, done.stderr) == (0, "") and "own_cells.leaky" in done.stdout
    done = warm_jax.run(*command, cwd=tmp_path)
    assert done.code == 2 and "own_cells.leaky" in done.stdout
    assert done.stderr.count("\n") == 1 and "commands take --import=own_cells" in done.stderr
    assert f"{run.parent}/record.json: " in done.stderr


@pytest.mark.slow
@tensorflow_only
def test_a_study_of_it_ends_with_a_saved_model(tmp_path):
    done = python(
        *("-m", "tuning", "--task=parens", "--arch=own_cells.leaky", "--profile=smoke"),
        *("--num_trials=2", "--workers=1", "--algorithm=random", "--study_dir=study"),
        "--gin_bindings=TrainConfig.task_options = {'num_steps': 12}",
        cwd=tmp_path,
        **QUICK,
    )
    assert (done.code, done.stderr) == (0, "")
    (run,) = [path.parents[1] for path in tmp_path.glob("study/trial_*/saved_model/saved_model.pb")]
    command = ("-m", "trainer.show", f"--run_dir={run}", "--import=own_cells")
    done = python(*command, cwd=tmp_path, **QUICK)
    assert (done.code, done.stderr) == (0, "") and "own_cells.leaky" in done.stdout
