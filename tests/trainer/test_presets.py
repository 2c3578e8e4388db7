"""--preset in trainer and tuner: its settings, its weights, and the start of a search."""

import dataclasses
import hashlib
import json

import keras
import numpy as np
import pytest
from made_presets import SMALL, make

import rnn_zoo
import trainer
from rnn_zoo.presets.writing import write
from trainer import __main__ as trainer_main
from trainer import initial_weights
from trainer.cli import gin_files, train_flags
from trainer.config import TrainConfig
from trainer.display.progress import Display
from trainer.errors import UserError
from trainer.lanes import train_lanes
from trainer.loop import train
from trainer.storage import checkpoints
from trainer.storage.records import RunDirectory
from trainer.trial import Trial
from tuning import __main__ as tuning_main
from tuning.config import StudyConfig
from tuning.search import ranges, space
from tuning.study.executors import InProcess
from tuning.study.study import Study

NAME = "capacity/gru-300"
#: Training continues from weights at the final learning rate.
LAST = {"lr_init": SMALL.lr_init * SMALL.lr_decay_rate, "lr_decay_rate": 1.0}


def parsed(holder, *arguments):
    holder.unparse_flags()
    for name in holder:
        holder[name].unparse()
    holder(["program", *arguments])
    return holder


def config_of(*arguments):
    return train_flags.parse(parsed(trainer_main.FLAGS, *arguments)).config


def pin(root):
    """The digest of the preset's weights, from its file."""
    content = (root / f"{NAME}.safetensors").read_bytes()
    return {"weights_sha256": hashlib.sha256(content).hexdigest()}


def test_a_preset_gives_the_whole_configuration_and_its_weights(preset_root):
    weights = make(preset_root, NAME, SMALL)
    config = config_of(f"--preset={NAME}")
    assert config == dataclasses.replace(SMALL, preset=NAME, **pin(preset_root), **LAST)
    first = Trial(config).draw_weights()
    keras.tree.map_structure(np.testing.assert_array_equal, first, weights)
    drawn = Trial(config_of(f"--preset={NAME}", "--scratch")).draw_weights()
    assert not np.array_equal(drawn["readout"]["kernel"], first["readout"]["kernel"])
    assert config_of(f"--preset={NAME}", "--scratch") == SMALL


def test_a_preset_of_a_directory_is_found_from_elsewhere(tmp_path, monkeypatch):
    weights = make(tmp_path / "own", NAME, SMALL)
    monkeypatch.chdir(tmp_path)
    config = config_of(f"--preset=own/{NAME}")
    pinned = pin(tmp_path / "own") | LAST
    assert config == dataclasses.replace(SMALL, preset=f"{tmp_path}/own/{NAME}", **pinned)
    monkeypatch.chdir("/")
    first = Trial(config).draw_weights()
    keras.tree.map_structure(np.testing.assert_array_equal, first, weights)


def test_flags_bindings_and_files_change_a_preset(preset_root, tmp_path):
    make(preset_root, NAME, SMALL)
    file = tmp_path / "own.gin"
    file.write_text("TrainConfig.batch_size = 16\nTrainConfig.l2_decay = 0.25\n")
    config = config_of(
        f"--preset={NAME}",
        f"--gin_file={file}",
        "--gin_bindings=TrainConfig.lr_init=0.5",
        "--train_steps=7",
        "--batch_size=32",
    )
    expected = {"batch_size": 32, "l2_decay": 0.25, "lr_init": 0.5, "train_steps": 7}
    expected |= pin(preset_root)
    assert config == dataclasses.replace(SMALL, preset=NAME, **LAST | expected)


def test_a_replay_does_not_start_from_other_weights(preset_root, tmp_path):
    """Of the same name: a repository or a directory may hold others by then."""
    make(preset_root, NAME, SMALL)
    values = parsed(trainer_main.FLAGS, f"--preset={NAME}", "--train_steps=2")
    document = train_flags.parse(values).documents["config.gin"]
    (tmp_path / "config.gin").write_text(document)
    replay = gin_files.parse({}, files=[tmp_path / "config.gin"]).config
    assert replay == config_of(f"--preset={NAME}", "--train_steps=2")
    record = trainer.train(replay, tmp_path / "run", display=Display(), callbacks=[])
    assert record.config["weights_sha256"] == pin(preset_root)["weights_sha256"]
    in_python = dataclasses.replace(replay, weights_sha256=None)
    study = Study(tmp_path / "study", in_python, StudyConfig(num_trials=1, algorithm="random"))
    assert study.config.weights_sha256 == replay.weights_sha256
    write(preset_root, rnn_zoo.preset(NAME), Trial(SMALL).random_weights())
    words = f"the preset {NAME} has weights of SHA-256 [0-9a-f]+, but training"
    for config in (replay, study.config):
        with pytest.raises(UserError, match=words):
            Trial(config).draw_weights()
    again = trainer.train(in_python, tmp_path / "run2", display=Display(), callbacks=[])
    assert again.config["weights_sha256"] not in (None, replay.weights_sha256)
    with pytest.raises(UserError, match="weights_sha256 has no effect without preset or init_fr"):
        dataclasses.replace(SMALL, weights_sha256="0")


def test_a_study_of_an_earlier_version_has_no_digest(preset_root, tmp_path):
    make(preset_root, NAME, SMALL)
    config = dataclasses.replace(SMALL, preset=NAME)
    search = StudyConfig(num_trials=1, algorithm="random")
    study = Study(tmp_path / "study", config, search, callbacks=[])
    study.run(InProcess())
    settings = json.loads((study.path / "study.json").read_text())
    assert settings["config"].pop("weights_sha256") == pin(preset_root)["weights_sha256"]
    (study.path / "study.json").write_text(json.dumps(settings | {"crc32": None}))
    record = json.loads((study.path / "trials.jsonl").read_text())
    del record["crc32"], record["config"]["weights_sha256"]
    (study.path / "trials.jsonl").write_text(json.dumps(record) + "\n")
    again = Study(study.path, config, dataclasses.replace(search, num_trials=2), callbacks=[])
    assert again.run(InProcess())[1] and again.config == config


@pytest.mark.parametrize(
    "change, message",
    [
        ({"gate_bias": 1.0}, "has gate_bias {'u': 0.5}, and this training {'u': 1.0}"),
        ({"activation": "relu"}, "has activation 'tanh', and this training 'relu'"),
    ],
)
def test_weights_of_other_equations_are_refused(preset_root, tmp_path, change, message):
    make(preset_root, NAME, SMALL)
    from_preset = dataclasses.replace(SMALL, preset=NAME)
    Trial(from_preset).draw_weights()
    with pytest.raises(
        UserError, match=f"the preset {NAME} {message}; set it as there, or draw new"
    ):
        Trial(dataclasses.replace(from_preset, **change)).draw_weights()
    display = Display()
    trainer.train(from_preset, tmp_path / "run", display=display, callbacks=[])
    from_run = dataclasses.replace(SMALL, init_from=str(tmp_path / "run"), matrix_init="orthogonal")
    Trial(from_run).draw_weights()
    with pytest.raises(UserError, match=f"the run .*/run {message}"):
        Trial(dataclasses.replace(from_run, **change)).draw_weights()


def test_another_task_is_measured_at_its_own_lengths(preset_root):
    make(preset_root, NAME, SMALL)
    preset = (f"--preset={NAME}", "--scratch")
    assert config_of(*preset, "--task=parity").eval_lengths == (1, 2, 4, 8)
    assert config_of(*preset, "--task=digits").eval_lengths == ()
    given = "--gin_bindings=TrainConfig.eval_lengths = (1, 3)"
    assert config_of(*preset, "--task=parity", given).eval_lengths == (1, 3)


def test_a_preset_without_weights_is_trained_from_drawn_ones(preset_root):
    make(preset_root, NAME, SMALL, weights=False)
    assert config_of(f"--preset={NAME}", "--scratch") == SMALL
    with pytest.raises(UserError, match="but no weights; add --scratch to draw random ones"):
        config_of(f"--preset={NAME}")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            ["--preset=capacity/gru-3"],
            "there is no preset 'capacity/gru-3'; the nearest: capacity/gru",
        ),
        (["--preset=hf://"], r"'hf://' is not of the form hf://OWNER/NAME"),
        (["--scratch", "--task=capacity", "--arch=gru"], "--scratch needs --preset"),
        ([f"--preset={NAME}", "--profile=smoke"], "--profile does not apply with --preset"),
        (
            [f"--preset={NAME}", "--arch=lstm"],
            "for the gates of gru, and --arch is lstm; omit --arch",
        ),
    ],
)
def test_invalid_flags_are_refused_before_a_backend_starts(arguments, message, preset_root):
    make(preset_root, NAME, SMALL)
    with pytest.raises(UserError, match=message):
        config_of(*arguments)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"num_params": 3000}, r"has units 2, and this training \d+; .* \(--scratch\)"),
        (
            {
                "arch": "lstm",
                "gate_bias": 1.0,
                "input_scale": 1.0,
                "recurrent_scale": 1.0,
                "bias_scale": 0.0,
            },
            "arch",
        ),
        ({"depth": 2}, "has depth 1, and this training 2"),
        (
            {"task": "memory", "task_options": {"dimensions": 3}},
            r"of capacity has units \d+, and this training of memory \d+; keep its",
        ),
    ],
)
def test_weights_of_another_shape_are_refused(change, message, preset_root):
    make(preset_root, NAME, SMALL)
    config = dataclasses.replace(SMALL, preset=NAME, **change)
    with pytest.raises(UserError, match=message):
        initial_weights.check(config, config.make_task())


def test_damaged_weights_are_one_line(preset_root):
    make(preset_root, NAME, SMALL)
    (preset_root / f"{NAME}.safetensors").write_bytes(b"nonsense")
    with pytest.raises(UserError, match="has the SHA-256"):
        Trial(dataclasses.replace(SMALL, preset=NAME)).draw_weights()


@pytest.mark.slow
def test_a_training_begins_at_the_preset_and_leaves_it(preset_root, tmp_path):
    weights = make(preset_root, NAME, SMALL)
    config = dataclasses.replace(SMALL, preset=NAME, train_steps=1, lr_init=1e-6)
    record = train(config, tmp_path / "run")
    after = checkpoints.latest_weights(RunDirectory(tmp_path / "run"), weights)
    moved = [
        np.abs(np.asarray(new) - old).max()
        for new, old in zip(keras.tree.flatten(after), keras.tree.flatten(weights), strict=True)
    ]
    assert 0 < max(moved) < 1e-4
    assert record.config["preset"] == NAME


@pytest.mark.slow
def test_a_lane_begins_at_the_preset(preset_root, tmp_path):
    make(preset_root, NAME, SMALL)
    config = dataclasses.replace(SMALL, preset=NAME, lr_init=1e-6)
    alone = train(dataclasses.replace(config, train_steps=20), tmp_path / "alone")
    rates = (0.5, 1e-6)
    trials = [
        Trial(dataclasses.replace(config, train_steps=20, lr_init=rate), str(rate))
        for rate in rates
    ]
    ended = {record.run_id: record for _, record, _ in train_lanes(trials, lanes=2)}
    lane = ended["1e-06"]
    assert lane.eval_loss == pytest.approx(alone.eval_loss, rel=1e-5)


@pytest.mark.slow
def test_a_resumed_run_keeps_its_own_settings(preset_root, tmp_path):
    """The same command with --resume continues; another preset is refused."""
    make(preset_root, NAME, SMALL)
    make(preset_root, "capacity/gru-200", SMALL)
    config = dataclasses.replace(SMALL, preset=NAME, train_steps=2)
    train(config, tmp_path / "run")
    text = (tmp_path / "run/config.gin").read_text()

    def again(*arguments):
        flags = parsed(trainer_main.FLAGS, f"--run_dir={tmp_path / 'run'}", "--resume", *arguments)
        return train_flags.parse(flags, base=lambda: text).config

    assert again(f"--preset={NAME}") == again() == initial_weights.pinned(config)
    for other in ("capacity/gru-200", "nonsense"):
        with pytest.raises(UserError, match=f"preset '{NAME}', not '{other}'"):
            train(again(f"--preset={other}"), tmp_path / "run", resume=True)


# The tuner.


def study_of(*arguments):
    parsed(tuning_main.FLAGS, *arguments)
    return tuning_main._parsed()


def test_a_search_begins_with_the_presets_own_hyperparameters(preset_root):
    make(preset_root, NAME, SMALL)
    config, study, *_ = study_of(f"--preset={NAME}", "--scratch", "--num_trials=3")
    assert config == SMALL
    assert study.first == "config"
    _, first = ranges.of_study(config, study)
    assert space.configure(config, first) == SMALL
    assert set(first) == {
        each.name for each in space.space(config) if each.name != "momentum_logit"
    }


def test_a_search_that_starts_from_weights_tunes_the_training_alone(preset_root):
    make(preset_root, NAME, SMALL)
    config, study, *_ = study_of(f"--preset={NAME}")
    names = {each.name for each in space.space(config)}
    assert not {
        name for name in names if "scale" in name or "gate_bias" in name or name == "activation"
    }
    assert {"lr_init", "train_steps", "optimizer"} < names
    assert set(ranges.of_study(config, study)[1]) == names - {"momentum_logit"}


@pytest.mark.parametrize(
    "first, message",
    [
        ("abc", "first must be 'config' or a dict from name to value: 'abc'"),
        ({"nonsense": 1}, "no hyperparameter 'nonsense'"),
        ({"lr_init": -1.0}, r"lr_init must be within \[0.0001, 0.1\], got -1.0"),
        ({"momentum_logit": 2.0}, "first sets momentum_logit, which is not active"),
    ],
)
def test_a_first_trial_that_is_no_point_is_refused(first, message, tmp_path):
    with pytest.raises(UserError, match=message):
        Study(tmp_path / "study", SMALL, StudyConfig(first=first))
    assert not (tmp_path / "study").exists()


def test_hyperparameters_outside_the_ranges_come_to_their_ends(preset_root):
    make(preset_root, NAME, dataclasses.replace(SMALL, lr_init=0.5))
    config, study, *_ = study_of(f"--preset={NAME}", "--scratch")
    assert ranges.of_study(config, study)[1]["lr_init"] == 0.1
    adam = "--gin_bindings=StudyConfig.ranges={'optimizer': ['adam']}"
    config, study, *_ = study_of(f"--preset={NAME}", adam)
    message = (
        r"optimizer must be one of \{adam\}, got 'sgd' for the first trial; to search that too, "
        r"set StudyConfig.ranges = \{'optimizer': \['adam', 'sgd'\]\}"
    )
    with pytest.raises(UserError, match=message):
        ranges.of_study(config, study)


@pytest.mark.slow
def test_the_first_trial_of_a_study_is_the_preset(preset_root, tmp_path):
    make(preset_root, NAME, SMALL)
    parsed(
        tuning_main.FLAGS,
        f"--preset={NAME}",
        "--scratch",
        "--num_trials=3",
        "--workers=1",
        f"--study_dir={tmp_path / 'study'}",
    )
    config, study, documents, _ = tuning_main._parsed()
    Study(tmp_path / "study", config, study, documents).run(InProcess())
    records = [json.loads(line) for line in (tmp_path / "study/trials.jsonl").open()]
    first = min(records, key=lambda record: record["run_id"])
    assert TrainConfig(**first["config"]) == SMALL
    assert len({json.dumps(record["hparams"]) for record in records}) == 3
