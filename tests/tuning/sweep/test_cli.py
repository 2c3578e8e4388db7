"""`python -m tuning.sweep` from the command line, with real training."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from processes import JAX, environment, python
from small_sweep import ARGUMENTS, ENTRIES, OWN, STUDIES, gin

from tuning.study.log import read


def results(home):
    """Read hyperparameters, objective and curve of every trial and rerun."""
    found = {}
    for path in sorted((home / "sweep/studies").glob("*/*.jsonl")):
        records, bad = read(path)
        assert not bad and path.read_bytes().count(b"\n") == len(records)
        for run_id, record in records.items():
            place = (path.parent.name, path.name, run_id)
            found[place] = (record.hparams, record.objective, record.eval_loss, record.curve)
    return found


def test_a_sweep_writes_its_files(swept):
    ended = {name: [0, 0] for name in STUDIES}
    for study, file, _ in results(swept):
        ended[study][file == "reruns.jsonl"] += 1
    assert {name: tuple(counts) for name, counts in ended.items()} == STUDIES
    assert "4 studies: 4 done; 14 of 14 runs" in (swept / "printed").read_text()
    reruns, _ = read(swept / "sweep/studies/parens-rnn-1-3000-random/reruns.jsonl")
    assert len({record.seed for record in reruns.values()}) == 2
    for name in STUDIES:
        state = json.loads((swept / f"sweep/states/{name}.json").read_text())
        records, _ = read(swept / f"sweep/studies/{name}/trials.jsonl")
        objectives = [r.objective for r in records.values() if r.objective is not None]
        assert state["status"] == "done" and state["best"] == min(objectives)
        assert state["infeasible"] == len(records) - len(objectives)
        proposed = sum(record.origin == "search" for record in records.values())
        assert state["proposed"] == proposed
        assert "one process of 1 lane" in (swept / f"sweep/logs/{name}.txt").read_text()


@pytest.mark.slow
def test_a_study_of_a_sweep_equals_a_study_alone(swept, tmp_path):
    """It has the same trials as `python -m tuning` with the same settings."""
    arguments = ("-m", "tuning", "--task=capacity", "--arch=irnn", "--num_params=300")
    arguments += ("--profile=smoke", "--num_trials=4", "--train_steps=60", "--algorithm=random")
    arguments += ("--gin_bindings=StudyConfig.batch = 8", "--lanes=1", "--workers=2")
    arguments += ("--gin_bindings=TrainConfig.task_options = {'num_inputs': 22}",)
    name = "sweep/studies/capacity-irnn-1-300-random"
    done = python(*arguments, f"--study_dir={name}", cwd=tmp_path, **JAX)
    assert done.code == 0, done.stderr
    ours = {place: value for place, value in results(swept).items() if place[0] in name}
    assert results(tmp_path) == ours


@pytest.mark.slow
def test_a_killed_sweep_has_the_same_trials(swept, engine, tmp_path):
    (tmp_path / "grid.gin").write_text(gin([*ENTRIES, OWN]))
    command = [sys.executable, *ARGUMENTS, f"--engine={engine}", "--workers=2"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment(**JAX), stdout=subprocess.PIPE, text=True
    )
    kills = 0
    while process.poll() is None and kills < 2:
        time.sleep(0.2)
        for path in (tmp_path / "sweep").glob("studies/*/lease.json"):
            begun = path.with_name("study.json").exists()
            if begun and kills < 2:
                time.sleep(0.5 * kills)
                try:
                    os.kill(json.loads(path.read_text())["pid"], signal.SIGKILL)
                    kills += 1
                except (OSError, ValueError):
                    continue
    stdout = process.communicate(timeout=240)[0]
    assert process.returncode == 0, stdout
    assert kills == 2
    assert results(tmp_path) == results(swept)


def test_a_finished_sweep_is_a_no_op(swept, tmp_path):
    sweep = shutil.copytree(swept / "sweep", tmp_path / "sweep")
    # Every process imports a user's cell, and a backend with it.
    held = json.loads((sweep / "sweep.json").read_text())
    held["studies"] = [each for each in held["studies"] if "own_cells" not in each["name"]]
    del held["crc32"]
    (sweep / "sweep.json").write_text(json.dumps(held))
    (tmp_path / "grid.gin").write_text(gin(ENTRIES))
    before = {p: p.stat().st_mtime_ns for p in sweep.rglob("*") if p.is_file()}
    done = python(*ARGUMENTS, cwd=tmp_path, **JAX)
    assert done.code == 0 and "3 done" in done.stdout
    after = {p: p.stat().st_mtime_ns for p in sweep.rglob("*") if p.is_file()}
    assert after == before
    shown = python("-m", "tuning.sweep", "--status", "sweep", cwd=tmp_path)
    assert (shown.code, shown.stderr) == (0, "")
    assert "capacity-irnn-1-300-gp" in shown.stdout and "3/3" in shown.stdout


@pytest.mark.slow
def test_a_sweep_grows_from_its_kept_records(swept, tmp_path):
    """Only the files that results/ keeps are there; the first trials stay as they are."""
    kept = [*swept.glob("sweep/sweep.*"), *swept.glob("sweep/studies/*/study.json")]
    kept += [*swept.glob("sweep/studies/*/trials.jsonl"), swept / "grid.gin"]
    for path in kept:
        copy = tmp_path / path.relative_to(swept)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    before = results(tmp_path)
    done = python(*ARGUMENTS, "--num_trials=6", cwd=tmp_path, **JAX)
    assert (done.code, done.stderr) == (0, ""), done.stdout
    after = results(tmp_path)
    assert before.items() <= after.items()
    assert len(after) == 4 * 6 + 2 and "4 done; 26 of 26 runs" in done.stdout
    other = python(*ARGUMENTS, "--train_steps=50", cwd=tmp_path, **JAX)
    assert other.code == 2 and "with config.train_steps 60, not 50" in other.stderr


@pytest.mark.slow
def test_a_failed_study_sets_the_exit_code(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if '--multiprocessing-fork' in sys.orig_argv:\n"
        "    import trainer.trial\n"
        "    draw = trainer.trial.Trial.draw_weights\n"
        "    def draw_weights(self):\n"
        "        return 1 / (self.config.arch != 'rnn') and draw(self)\n"
        "    trainer.trial.Trial.draw_weights = draw_weights\n"
    )
    (tmp_path / "grid.gin").write_text(
        "SweepConfig.grid = [{'task': 'capacity', 'arch': ['irnn', 'rnn'], 'num_params': 300,"
        " 'num_trials': 2, 'algorithm': 'random'}]"
    )
    path = os.pathsep.join([str(tmp_path), environment()["PYTHONPATH"]])
    done = python(*ARGUMENTS, cwd=tmp_path, **JAX, PYTHONPATH=path)
    assert (done.code, done.stderr) == (1, "")
    assert "1 study failed" in done.stdout and "ZeroDivisionError" in done.stdout
    states = {p.stem: json.loads(p.read_text()) for p in (tmp_path / "sweep/states").iterdir()}
    assert states["capacity-irnn-1-300-random"]["status"] == "done"
    assert len(states["capacity-rnn-1-300-random"]["failures"]) == 3


@pytest.mark.slow
def test_a_dry_run_prints_the_cost(tmp_path):
    (tmp_path / "grid.gin").write_text(
        "SweepConfig.grid = [{'task': 'capacity', 'arch': ['irnn', 'rnn'], 'num_params': 300,"
        " 'num_trials': 4, 'reruns': 2, 'ranges': {'train_steps': 5}}]"
    )
    done = python(*ARGUMENTS, "--dry_run", cwd=tmp_path, **JAX)
    assert (done.code, done.stderr) == (0, "")
    assert not (tmp_path / "sweep").exists()
    last = done.stdout.strip().splitlines()[-1]
    # 30 of the RNN and 22 of the IRNN, half of whose random trials end at once.
    assert "2 studies, 12 runs, 52 steps" in last
    assert "core-hours" in last and "on 1 core; 0 MB of disk" in last


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((), "--gin_file is missing"),
        (("--gin_file=gin_configs/paper/figure_5.gin",), "--out is missing"),
        (
            ("--gin_file=gin_configs/paper/figure_5.gin", "--engine=dask"),
            "choose one of local, ray",
        ),
        (("--gin_file=nothing.gin", "--out=x"), "cannot read gin file nothing.gin"),
        (
            ("--gin_file=gin_configs/paper/figure_5.gin", "--workers=0"),
            "--workers must be a whole number at least 1, got 0",
        ),
        (
            ("--gin_file=gin_configs/paper/figure_3_text8.gin", "--out=x", "--text8_path=none"),
            "none cannot be read",
        ),
        (
            ("--gin_file=gin_configs/paper/figure_5.gin", "--engine=ray", "--gpus_per_study=nan"),
            "--gpus_per_study must be at least 0, got nan",
        ),
        (("--status", "nowhere"), "nowhere holds no sweep"),
        (
            ("--status", "nowhere", "--retry_failed"),
            "--retry_failed has no effect with --status",
        ),
        (
            ("--gin_file=gin_configs/paper/figure_5.gin", "--out=x", "--ray_address=auto"),
            "--ray_address has no effect without --engine=ray",
        ),
        (
            (
                "--gin_file=gin_configs/paper/figure_5.gin",
                "--out=x",
                "--engine=ray",
                "--ray_address=auto",
                "--workers=4",
            ),
            "--workers=4 has no effect with --ray_address",
        ),
    ],
)
def test_mistakes_are_one_line(cold, arguments, message, tmp_path):
    done = cold.run("tuning.sweep", *arguments, cwd=tmp_path)
    assert done.code == 2 and done.stderr.count("\n") == 1
    assert message in done.stderr
    assert not list(tmp_path.iterdir())
