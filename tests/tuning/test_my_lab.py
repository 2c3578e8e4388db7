"""A task, a cell and an optimizer of a user's, in every command and in the figures."""

import json
import re

import pytest
from processes import KILL_AT, QUICK, ROOT, python

import tuning

#: Option of commands that read a directory.
LAB = "--import=my_lab"
#: Options of commands that begin anew.
OWN = ("--task=my_lab.parity", "--arch=my_lab.decay")
LION = "'my_lab.lion'"
#: Options of the task, the cell and the optimizer, in this order.
VALUES = [{"num_steps": 6}, {"rate": 0.3}, {"beta_2": 0.95}]
SET = (
    *OWN,
    f"--gin_bindings=TrainConfig.optimizer = {LION}",
    f"--gin_bindings=TrainConfig.task_options = {VALUES[0]}",
    f"--gin_bindings=TrainConfig.arch_options = {VALUES[1]}",
    f"--gin_bindings=TrainConfig.optimizer_options = {VALUES[2]}",
)
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
#: A training that is killed at its second checkpoint.
KILLED = (
    KILL_AT.format(name="step-", count=2, before=False)
    + """
import sys
import trainer.__main__, trainer.loop
trainer.loop.CHECKPOINT_SECONDS = trainer.loop.CHUNK_SECONDS = 0.0
sys.argv = ["trainer", *sys.argv[1:]]
trainer.__main__.run()
"""
)
#: A process that uses a preset of the directory `presets`.
PRESETS = """
import sys
import my_lab
import rnn_zoo
(name,) = rnn_zoo.list_presets("my_lab.parity", "my_lab.decay", directory="presets")
import trainer, trainer.__main__
print(trainer.evaluate(rnn_zoo.load(name))["loss"])
sys.argv = ["trainer", f"--preset={name}", "--run_dir=from_preset"]
trainer.__main__.run()
"""


def run(cwd, *arguments, **changes):
    done = python("-m", *arguments, cwd=cwd, **QUIET | changes)
    assert done.code == 0, done.stderr
    return done.stdout


def record_of(path):
    return json.loads((path / "record.json").read_text())


def test_the_module_has_at_most_sixty_lines():
    text = (ROOT / "tests" / "my_lab.py").read_text()
    assert len([line for line in text.splitlines() if line.strip()]) <= 60


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A directory with `run`, a training of theirs."""
    home = tmp_path_factory.mktemp("lab")
    run(home, "trainer", *SET, "--run_dir=run")
    return home


@pytest.mark.slow
def test_they_train_and_a_run_is_replayed(home):
    record = record_of(home / "run")
    assert (record["train_steps"], record["max_params"], record["status"]) == (30, 300, "ok")
    hparams = record["hparams"]
    assert [hparams[f"{name}_options"] for name in ("task", "arch", "optimizer")] == VALUES
    run(home, "trainer", f"--gin_file={home}/run/config.gin", "--run_dir=again")
    assert record_of(home / "again")["eval_loss"] == record["eval_loss"]


@pytest.mark.slow
def test_a_killed_run_of_theirs_is_resumed(home):
    killed = python("-c", KILLED, *SET, "--run_dir=killed", cwd=home, **QUIET)
    assert killed.code == -9, killed.stderr
    assert "from step" in run(home, "trainer", "--resume", "--run_dir=killed", LAB)
    assert record_of(home / "killed")["eval_loss"] == record_of(home / "run")["eval_loss"]


@pytest.mark.slow
def test_a_run_of_theirs_is_shown_quantized_and_exported(home):
    assert "my_lab.decay" in run(home, "trainer.show", "--run_dir=run", LAB)
    run(home, "trainer", *OWN, "--run_dir=usual")
    printed = run(home, "trainer.show", "--run_dir=run", "--run_dir=usual")
    for name in ("arch_options.rate", "optimizer_options.beta_2", "task_options.num_steps"):
        assert name in printed
    run(home, "trainer.quantize", "--run_dir=run", "--bits=8", LAB)
    assert len((home / "run/quantized/losses.csv").read_text().splitlines()) >= 3
    pytest.importorskip("tensorflow")
    run(home, "trainer.export", "--run_dir=run", LAB, KERAS_BACKEND="tensorflow")
    assert (home / "run/saved_model/saved_model.pb").exists()


@pytest.mark.slow
def test_a_run_and_a_search_begin_at_a_run_of_theirs(home):
    run(home, "trainer", "--init_from=run", "--run_dir=from_run", LAB)
    begun = record_of(home / "from_run")
    assert begun["config"]["init_from"] == str(home / "run")
    assert begun["config"]["arch_options"] == {"rate": 0.3}
    search = (
        "tuning",
        LAB,
        "--init_from=run",
        "--num_trials=2",
        "--algorithm=random",
        "--workers=1",
    )
    refused = python("-m", *search, "--study_dir=tuned", cwd=home, **QUIET)
    way_out = refused.stderr.strip().partition("to search that too, set ")[2]
    assert way_out.endswith("'my_lab.lion']}")
    run(home, *search, "--study_dir=tuned", f"--gin_bindings={way_out}")
    first, _ = (json.loads(line) for line in sorted((home / "tuned/trials.jsonl").open()))
    assert first["hparams"]["optimizer"] == "my_lab.lion" and first["origin"] == "first"


@pytest.mark.slow
def test_they_are_tuned_and_make_presets(tmp_path):
    printed = run(
        *(tmp_path, "tuning", *OWN, "--num_trials=3", "--algorithm=random", "--study_dir=study"),
        *(f"--gin_bindings=StudyConfig.ranges = {{'optimizer': {LION}}}", "--workers=1"),
    )
    assert "3 trials, " in printed
    assert re.search(r"rate 0\.\d+, beta_2 0\.9\d*, num_steps \d", printed)
    records = [json.loads(line) for line in (tmp_path / "study/trials.jsonl").open()]
    for record in records:
        assert 0.2 <= record["hparams"]["arch_options"]["rate"] <= 0.8
        assert 0.9 <= record["hparams"]["optimizer_options"]["beta_2"] <= 0.999
        assert record["hparams"]["task_options"]["num_steps"] in (4, 5, 6)
        assert {"arch_options.rate", "optimizer_options.beta_2"} <= set(record["searched"])
        assert record["outside"] == ["optimizer"]
    run(tmp_path, "tuning.presets", "--runs=study", "--out=presets", "--train=*", LAB)
    best = min(records, key=lambda record: record["objective"])
    made = python("-c", PRESETS, cwd=tmp_path, **QUIET)
    assert made.code == 0, made.stderr
    assert float(made.stdout.splitlines()[0]) == pytest.approx(best["eval_loss"], rel=1e-5)
    used = record_of(tmp_path / "from_preset")["config"]["preset"]
    assert used == f"{tmp_path}/presets/my_lab.parity/my_lab.decay-300"


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
