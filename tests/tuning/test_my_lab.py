"""A task, a cell and an optimizer of a user's, in every command and in the figures."""

import json

import pytest
from processes import QUICK, ROOT, python

import tuning

#: Options of all commands.
OWN = ("--task=my_lab.parity", "--arch=my_lab.decay")
LION = "'my_lab.lion'"
GRID = f"""
SweepConfig.grid = [{{
    'task': 'my_lab.parity',
    'arch': ['my_lab.decay', 'gru'],
    'num_trials': 2,
    'algorithm': 'random',
    'ranges': {{'optimizer': ['adam', {LION}]}},
}}]
"""
QUIET = QUICK | {"KERAS_BACKEND": "jax"}


def run(cwd, *arguments):
    done = python("-m", *arguments, cwd=cwd, **QUIET)
    assert done.code == 0, done.stderr
    return done.stdout


def test_the_module_has_at_most_sixty_lines():
    text = (ROOT / "tests" / "my_lab.py").read_text()
    assert len([line for line in text.splitlines() if line.strip()]) <= 60


@pytest.mark.slow
def test_they_train_and_are_tuned(tmp_path):
    binding = f"--gin_bindings=TrainConfig.optimizer = {LION}"
    options = "--gin_bindings=TrainConfig.optimizer_options = {'beta_2': 0.95}"
    run(tmp_path, "trainer", *OWN, binding, options, "--run_dir=run")
    record = json.loads((tmp_path / "run/record.json").read_text())
    assert (record["train_steps"], record["max_params"], record["status"]) == (30, 300, "ok")
    assert record["hparams"]["optimizer_options"] == {"beta_2": 0.95}
    run(tmp_path, "trainer", f"--gin_file={tmp_path}/run/config.gin", "--run_dir=again")
    again = json.loads((tmp_path / "again/record.json").read_text())
    assert again["eval_loss"] == record["eval_loss"]
    assert "my_lab.decay" in run(tmp_path, "trainer.show", "--run_dir=run")
    printed = run(
        *(tmp_path, "tuning", *OWN, "--num_trials=3", "--algorithm=random", "--study_dir=study"),
        *(f"--gin_bindings=StudyConfig.ranges = {{'optimizer': {LION}}}", "--workers=1"),
    )
    assert "3 trials, " in printed
    records = [json.loads(line) for line in (tmp_path / "study/trials.jsonl").open()]
    for record in records:
        assert 0.2 <= record["hparams"]["arch_options"]["rate"] <= 0.8
        assert 0.9 <= record["hparams"]["optimizer_options"]["beta_2"] <= 0.999
        assert record["hparams"]["task_options"]["num_steps"] in (4, 5, 6)
        assert {"arch_options.rate", "optimizer_options.beta_2"} <= set(record["searched"])
        assert not record["outside"]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["local", "ray"])
def test_they_are_swept_and_appear_in_the_report(engine, tmp_path):
    if engine == "ray":
        pytest.importorskip("ray")
    (tmp_path / "grid.gin").write_text(GRID)
    run(
        *(tmp_path, "tuning.sweep", "--gin_file=grid.gin", "--out=sweep", "--workers=1"),
        *("--lanes=1", f"--engine={engine}"),
    )
    found = tuning.load(tmp_path / "sweep")
    assert set(found.arch) == {"my_lab.decay", "gru"} and set(found.task) == {"my_lab.parity"}
    assert len(found) == 4 and (found.status == "ok").all()
    run(tmp_path, "tuning.report", "--runs=sweep", "--out=report")
    figures = [path.name for path in (tmp_path / "report").rglob("*.svg")]
    assert [name for name in figures if "my_lab.parity" in name], figures
    assert any(
        "my_lab.decay" in path.read_text()
        for path in (tmp_path / "report").rglob("*.svg")
        if "my_lab.parity" in path.name
    )
