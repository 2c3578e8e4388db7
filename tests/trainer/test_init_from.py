"""A run's configuration and weights as the start of another run."""

import dataclasses
import shutil

import keras
import numpy as np
import pytest
from absl import flags
from safetensors import safe_open

import trainer
import trainer.__main__ as trainer_main
from trainer import TrainConfig, UserError, initial_weights, names
from trainer.callbacks import Callbacks
from trainer.cli import gin_files, train_flags
from trainer.display.progress import Display
from trainer.loop import _Run
from trainer.storage import checkpoints
from trainer.storage.records import RunDirectory
from trainer.tasks import TASKS
from trainer.trial import Trial
from tuning.search.space import space

CONFIG = TrainConfig(
    task="memory",
    arch="gru",
    task_options={"delay": 2, "dimensions": 3},
    num_params=300,
    train_steps=4,
    batch_size=4,
    eval_samples=16,
    lr_init=0.02,
    lr_decay_rate=0.5,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return made(tmp_path_factory.mktemp("runs") / "run", CONFIG)


def made(path, config):
    """The directory of a finished run, which did not really train."""
    directory = RunDirectory(path)
    trial = Trial(config)
    record = trial.record()
    record.status, record.steps_done = "ok", 4
    directory.create(record, {"config.gin": config.as_gin()})
    weights = keras.tree.map_structure(lambda array: array + 1, trial.draw_weights())
    state = trial.program().start(weights) | {"step": np.int32(4)}
    checkpoints.write(directory.checkpoints, state)
    return directory.path


def test_a_run_is_not_resumed_with_other_code(run, monkeypatch):
    monkeypatch.setattr(names, "edited", lambda code, fields: "edited after that run: mine (1, 2)")
    with pytest.raises(UserError, match=r"cannot go on with other code, edited .*--init_from="):
        trainer.train(CONFIG, run, resume=True, display=Display(), callbacks=[])


def test_an_option_at_its_default_may_be_set_or_not(tmp_path):
    config = dataclasses.replace(CONFIG, task_options={"delay": 2}, num_params=900)
    default = TASKS["memory"].default_options()["dimensions"]
    path = made(tmp_path / "run", config)
    for value in (default, default + 1):
        wanted = dataclasses.replace(config, task_options={"delay": 2, "dimensions": value})
        run = _Run(wanted, RunDirectory(path), Display(), Callbacks([]))
        if value == default:
            run.restore(RunDirectory(path).read_record())
            continue
        with pytest.raises(UserError, match=f"dimensions {default}, not {value}"):
            run.restore(RunDirectory(path).read_record())


def flag_values(*arguments):
    values = flags.FlagValues()
    train_flags.define(values)
    values(["program", *map(str, arguments)])
    return values


def parsed(*arguments):
    return train_flags.parse(flag_values(*arguments)).config


def test_its_gin_file_alone_gives_its_configuration(run):
    assert parsed(f"--gin_file={run}/config.gin") == CONFIG
    other = parsed(f"--gin_file={run}/config.gin", "--seed=3", "--arch=lstm")
    assert other == dataclasses.replace(CONFIG, seed=3, arch="lstm")
    given = gin_files.parse({}, files=[run / "config.gin"]).given
    assert {"task", "arch", "lr_init", "task_options.delay"} <= given


def test_only_changed_values_without_effect_are_named(tmp_path):
    path = tmp_path / "config.gin"
    path.write_text(dataclasses.replace(CONFIG, arch="rnn").as_gin())
    values = flag_values(f"--gin_file={path}")
    assert trainer_main._without_effect(train_flags.parse(values)) == []
    changed = "--gin_bindings=TrainConfig.gate_bias = 2.0"
    values = flag_values(f"--gin_file={path}", changed)
    notices = trainer_main._without_effect(train_flags.parse(values))
    assert notices == ["gate_bias has no effect: rnn has no gate with b^fg"]


def test_a_replay_has_the_profile_of_its_run(run, tmp_path):
    path = tmp_path / "config.gin"
    for _ in range(2):  # a replay is replayed
        given = [f"--gin_file={path}"] if path.exists() else ["--task=memory", "--arch=gru"]
        values = flag_values(*given, *([] if path.exists() else ["--profile=smoke"]))
        path.write_text(train_flags.parse(values).documents["config.gin"])
        assert train_flags.profile_of(values) == "smoke"
    assert train_flags.profile_of(flag_values(f"--gin_file={run}/config.gin")) is None
    started = flag_values(f"--init_from={run}", f"--gin_file={path}")
    assert train_flags.profile_of(started) is None


def test_a_run_starts_from_the_weights_and_the_final_rate_of_another(run, monkeypatch):
    monkeypatch.chdir(run.parent)
    config = parsed("--init_from=run", "--train_steps=9")
    expected = {"init_from": str(run), "train_steps": 9, "lr_init": 0.01, "lr_decay_rate": 1.0}
    (path,) = checkpoints.paths(run / "checkpoints")
    with safe_open(path, framework="numpy") as file:
        expected["weights_sha256"] = file.metadata()["sha256"]
    assert config == dataclasses.replace(CONFIG, **expected)
    assert "init_from" not in config.hparams
    trial = Trial(config)
    drawn = trial.draw_weights()
    random = Trial(CONFIG).draw_weights()
    for one, start in zip(keras.tree.flatten(drawn), keras.tree.flatten(random), strict=True):
        np.testing.assert_array_equal(one, start + 1)
    assert trial.record().config["init_from"] == str(run)
    # Its model is given.
    assert not [each for each in space(config) if "scale" in each.name]
    options = {"num_samples": 40}
    on_other = dataclasses.replace(config, task="capacity", task_options=options)
    assert not [each for each in space(on_other) if "task_options" in each.name]


def test_weights_that_are_not_finite_start_no_run(run, tmp_path):
    directory = RunDirectory(shutil.copytree(run, tmp_path / "run"))
    trial = Trial(CONFIG)
    weights = keras.tree.map_structure(np.copy, trial.draw_weights())
    keras.tree.flatten(weights)[0][:] = np.nan
    state = trial.program().start(weights) | {"step": np.int32(4)}
    checkpoints.write(directory.checkpoints, state)
    config = dataclasses.replace(CONFIG, init_from=str(directory.path))
    with pytest.raises(UserError, match=r"the weights of the run .* are not finite"):
        Trial(config).draw_weights()


def test_an_interrupted_run_has_not_reached_its_final_rate(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    directory = RunDirectory(tmp_path / "run")
    record = directory.read_record()
    record.status, record.steps_done = "interrupted", 2
    directory.write_record(record)
    config = parsed(f"--init_from={directory.path}")
    assert config.lr_init == pytest.approx(0.02 * 0.5**0.5) and config.lr_decay_rate == 1.0


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--num_params=900"], "the run .* has units .*, and this training .*; keep its task"),
        (["--arch=lstm"], "the run .* is of gru, not of lstm; omit --arch"),
        (["--profile=smoke"], "--profile does not apply with --init_from"),
        (["--preset=parens/gru-10k"], "give --preset or --init_from, not both"),
        (["--scratch"], "--scratch needs --preset"),
    ],
)
def test_what_does_not_fit_its_weights_is_refused(arguments, message, run):
    with pytest.raises(UserError, match=message):
        config = parsed(f"--init_from={run}", *arguments)
        initial_weights.check(config, config.make_task())


def test_a_directory_without_a_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds no run"):
        parsed(f"--init_from={tmp_path}")


@pytest.mark.slow  # It compiles a program of its own.
def test_a_resumed_run_needs_its_source_only_before_its_first_checkpoint(run, tmp_path):
    source, path = tmp_path / "source", tmp_path / "run"
    shutil.copytree(run, source)
    config = dataclasses.replace(parsed(f"--init_from={source}"), train_steps=2)
    began = trainer.train(config, path, display=Display(), callbacks=[])
    shutil.rmtree(source)
    for name in (values := trainer_main.FLAGS):
        values[name].unparse()
    values(["program", f"--run_dir={path}", "--resume", f"--init_from={source}"])
    _, settings = trainer_main._settings()
    assert settings.config == config
    again = trainer.train(config, path, resume=True, display=Display(), callbacks=[])
    assert again == began
    for checkpoint in (path / "checkpoints").iterdir():
        checkpoint.unlink()
    with pytest.raises(UserError, match=f"{source} holds no run"):
        trainer_main._settings()
    with pytest.raises(UserError, match=f"{source} holds no run"):
        trainer.train(config, path, resume=True, display=Display(), callbacks=[])


def test_more_steps_of_a_finished_run_are_refused_with_the_way_to_do_it(run):
    longer = dataclasses.replace(CONFIG, train_steps=9)
    with pytest.raises(
        UserError, match=f"train_steps 4, not 9; .*--init_from={run} --train_steps=9"
    ):
        trainer.train(longer, run, resume=True, display=Display())
    shorter = dataclasses.replace(CONFIG, train_steps=3)
    with pytest.raises(UserError, match="train_steps 4, not 3; resume it with its own settings"):
        trainer.train(shorter, run, resume=True, display=Display())
