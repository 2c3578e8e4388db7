"""Training of given hyperparameters, and reruns of the best."""

import json

import pytest
from processes import JAX, python

from trainer import TrainConfig, UserError
from tuning.study import reruns

SMALL = (
    "-m",
    "tuning",
    "--task=capacity",
    "--arch=rnn",
    "--profile=smoke",
    "--num_params=300",
    "--workers=1",
    "--lanes=2",
    "--gin_bindings=TrainConfig.task_options = {'num_inputs': 6, 'num_samples': 60}",
)


def test_reruns_vary_the_requested_seeds():
    config = TrainConfig("parens", "gru", seed=3)
    seeds = {
        vary: [(c.seed, c.data_seed) for c in reruns.variations(config, 2, vary.split(","))]
        for vary in ("init", "data", "init,data")
    }
    assert seeds == {
        "init": [(4, 3), (5, 3)],
        "data": [(3, 4), (3, 5)],
        "init,data": [(4, 4), (5, 5)],
    }
    with pytest.raises(UserError, match=r"init, data.*'weights'"):
        reruns.variations(config, 2, ["weights"])


@pytest.mark.slow
def test_sets_are_trained_once_and_shown(tmp_path):
    sets = [{"lr_init": 0.01, "bias_scale.h": 0.5}, {"lr_init": 0.02, "optimizer": "muon"}]
    (tmp_path / "sets.json").write_text(json.dumps(sets))
    command = (*SMALL, "--hparams=sets.json", "--study_dir=given")
    done = python(*command, cwd=tmp_path, **JAX)
    assert (done.code, done.stderr) == (0, "")
    assert "muon" in done.stdout
    lines = (tmp_path / "given/given.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert sorted(record["hparams"]["lr_init"] for record in records) == [0.01, 0.02]
    assert all(record["held"] == ["task_options.num_samples"] for record in records)
    assert len(list((tmp_path / "given").glob("given_*/checkpoints/*.safetensors"))) == 2
    done = python(*command, cwd=tmp_path, **JAX)
    assert "2 of 2 trials were done before" in done.stdout
    assert (tmp_path / "given/given.jsonl").read_text().splitlines() == lines
    # Its directory is an ordinary run.
    run = next((tmp_path / "given").glob("given_*"))
    exported = python("-m", "trainer.export", f"--run_dir={run}", cwd=tmp_path)
    assert exported.code == 0, exported.stderr
    assert (run / "saved_model/saved_model.pb").exists()


@pytest.mark.slow
def test_the_best_trial_is_rerun(tmp_path):
    study = (*SMALL, "--algorithm=random", "--study_dir=study", "--num_trials=3")
    assert python(*study, cwd=tmp_path, **JAX).code == 0
    done = python(*study, "--rerun_best=3", "--vary=init", cwd=tmp_path, **JAX)
    assert (done.code, done.stderr) == (0, "")
    assert "sd/mean" in done.stdout
    lines = (tmp_path / "study/reruns.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert sorted(record["seed"] for record in records) == [1, 2, 3]
    assert {record["config"]["data_seed"] for record in records} == {0}
    assert len({record["eval_loss"] for record in records}) == 3
    # A line lost at the end would look like reruns that have not been made yet.
    (tmp_path / "study/reruns.jsonl").write_text("".join(f"{line}\n" for line in lines[:2]))
    for command in (
        ["tuning.show", "--study_dir=study"],
        ["tuning.report", "--runs=study", "--out=page"],
    ):
        shown = python("-m", *command, cwd=tmp_path, **JAX)
        assert "reruns.jsonl lacks 1 trial that had ended" in shown.stdout, shown
    again = python(*study, "--rerun_best=0", cwd=tmp_path, **JAX)
    assert again.code == 2 and "--rerun_best" in again.stderr
