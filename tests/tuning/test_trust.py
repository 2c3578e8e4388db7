"""Directories are data: no command runs code that a run, a study or a sweep names or holds."""

import dataclasses
import itertools
import json

import pytest
from absl import flags
from slow import slow_rows_except

from trainer import __main__ as training
from trainer.cli import train_flags
from trainer.config import TrainConfig
from trainer.storage.records import RunRecord
from tuning.config import StudyConfig

#: Leaves a trace when it is imported.
EVIL = "import pathlib\npathlib.Path({trace!r}).write_text('it ran')\n"
#: Field of the configuration -> the name that is not registered.
NAMES = {"task": "evil_cells.task", "arch": "evil_cells.leaky", "optimizer": "evil_cells.lion"}


def values(field):
    """Fields of a configuration, one of which names something of the module evil_cells."""
    config = TrainConfig("parens", "gru", num_params=1000, train_steps=9)
    return dataclasses.asdict(config) | {field: NAMES[field]}


def record(config):
    size = {"units": 9, "max_params": config["num_params"], "num_params": 990}
    size |= {"input_dim": 3, "output_dim": 10}
    return dataclasses.asdict(
        RunRecord(
            run_id="00000",
            **{name: config[name] for name in ("task", "arch", "depth", "seed", "train_steps")},
            **size,
            **{"hparams": config, "config": config, "data": {}, "backend": "jax", "versions": {}},
            **{"chance_loss": 1.0, "status": "ok", "curve": [1.0, 0.5]},
            steps_done=config["train_steps"],
            **dict.fromkeys(("train_loss", "valid_loss", "eval_loss", "objective"), 0.5),
            metrics={split: {"loss": 0.5} for split in ("train", "valid", "eval")},
        )
    )


@pytest.fixture(params=NAMES)
def home(request, tmp_path):
    """A working directory with `run`, `study` and `sweep`, and a module of the name they give."""
    config = values(request.param)
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    (tmp_path / "run/checkpoints/step-0000000009.safetensors").write_bytes(b"")
    (tmp_path / "run/record.json").write_text(json.dumps(record(config)))
    # What a run's own gin file would import, and bind.
    gin = "import evil_cells\nTrainConfig.task = 'parens'\nTrainConfig.arch = 'gru'\n"
    (tmp_path / "run/config.gin").write_text(gin)
    study = dataclasses.asdict(StudyConfig(num_trials=1))
    own = {name: study.pop(name) for name in ("num_trials", "keep", "batch")}
    held = {"config": config, "study": study, "backend": "jax", "data": {}, **own}
    spec = {"name": "one", "config": config, "study": dataclasses.asdict(StudyConfig())}
    spec |= {"reruns": 0, "num_steps": 3, "transfer": None, "priority": 0}
    sweep = {"backend": "jax", "profile": "smoke", "studies": [spec]}
    for place in ("study", "sweep/studies/one"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "study.json").write_text(json.dumps(held))
        (tmp_path / place / "trials.jsonl").write_text(json.dumps(record(config)) + "\n")
    (tmp_path / "sweep/sweep.json").write_text(json.dumps(sweep))
    grid = "[{'task': 'memory', 'arch': 'gru', 'num_trials': 1}]"
    (tmp_path / "grid.gin").write_text(f"SweepConfig.grid = {grid}\n")
    text = EVIL.format(trace=str(tmp_path / "trace"))
    for place in (".", "run", "study", "sweep"):
        (tmp_path / place / "evil_cells.py").write_text(text)
    return tmp_path


#: Commands that read the directories, and the file that they name.
REFUSED = {
    ("trainer.show", "--run_dir=run"): "run/record.json",
    ("trainer.export", "--run_dir=run"): "run/record.json",
    ("trainer.quantize", "--run_dir=run"): "run/record.json",
    ("trainer", "--run_dir=run", "--resume"): "run/record.json",
    ("trainer", "--init_from=run", "--run_dir=new"): "run/record.json",
    ("tuning", "--init_from=run", "--study_dir=new"): "run/record.json",
    ("tuning", "--study_dir=study", "--resume"): "study/study.json",
    ("tuning.presets", "--runs=study", "--out=presets"): "study/trials.jsonl",
    ("tuning.sweep", "--gin_file=grid.gin", "--out=sweep"): "sweep/sweep.json",
    ("tuning.sweep", "--gin_file=grid.gin", "--out=sweep", "--dry_run"): "sweep/sweep.json",
}
ROWS = list(itertools.product(NAMES, REFUSED))
#: Commands that show what the directories name without it.
SHOWN = {
    ("trainer.show", "--run_dir=run", "--num=0"): "task ",
    ("trainer.show", "--run_dir=run", "--run_dir=run"): "the runs have equal settings",
    ("tuning.show", "--study_dir=study"): "1 trial",
    ("tuning.show", "--study_dir=sweep"): "one",
    ("tuning.sweep", "--status", "sweep"): "one",
}


@pytest.mark.parametrize(
    ("home", "command"),
    slow_rows_except([(n, c) for n, c in ROWS if n == "arch" or c[0] == "trainer.show"], ROWS),
    indirect=["home"],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_a_name_in_a_directory_is_not_imported(cold, home, command):
    done = cold.run(*command, cwd=home, KERAS_BACKEND="jax")
    assert not (home / "trace").exists()
    assert (done.code, done.stderr.count("\n")) == (2, 1), done
    assert f"{REFUSED[command]}: unknown " in done.stderr
    assert "'evil_cells." in done.stderr and "--import=evil_cells" in done.stderr


def test_a_module_in_a_directory_is_not_imported_if_it_is_named_either(cold, home):
    for cwd, run_dir, module in (
        (home / "run", ".", "evil_cells"),
        (home, "run", "run.evil_cells"),
    ):
        command = ("trainer.show", f"--run_dir={run_dir}", f"--import={module}")
        done = cold.run(*command, cwd=cwd, KERAS_BACKEND="jax")
        assert not (home / "trace").exists()
        assert (done.code, done.stderr.count("\n")) == (2, 1), done
        assert f"the module '{module.partition('.')[0]}' is not imported" in done.stderr or (
            "there is no module 'evil_cells'" in done.stderr
        )


def test_the_gin_file_of_a_run_is_not_executed(tmp_path, monkeypatch):
    """A resumed run has the configuration of its record."""
    config = dataclasses.asdict(TrainConfig("parens", "gru", num_params=9000, lr_init=0.02))
    (tmp_path / "run").mkdir()
    (tmp_path / "run/record.json").write_text(json.dumps(record(config)))
    (tmp_path / "run/config.gin").write_text("import evil_cells\nTrainConfig.lr_init = 0.5\n")
    (tmp_path / "evil_cells.py").write_text("raise SystemExit('it ran')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    values = flags.FlagValues()
    train_flags.define(values)
    flags.DEFINE_string("run_dir", "run", "", flag_values=values)
    flags.DEFINE_boolean("resume", True, "", flag_values=values)
    values(["trainer"])
    monkeypatch.setattr(training, "FLAGS", values)
    _, parsed = training._settings()
    assert dataclasses.asdict(parsed.config) == config


def test_a_name_in_a_directory_is_shown(cold, home):
    for command, words in SHOWN.items():
        done = cold.run(*command, cwd=home, KERAS_BACKEND="jax")
        assert not (home / "trace").exists()
        assert (done.code, done.stderr) == (0, ""), (command, done)
        assert words in done.stdout
