"""`python -m tuning` from the command line."""

import json

import pytest
from processes import QUICK, python

from trainer import UserError
from tuning import __main__ as commands


def tune(home, *arguments, **changes):
    return python("-m", "tuning", *arguments, cwd=home, **changes)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("--task=parens",), ["arch"]),
        (("--task=parens", "--arch=gru", "--algorithm=grid"), ["'grid'", "gp, random"]),
        (
            ("--task=parens", "--arch=gru", "--gin_bindings=StudyConfig.algorithm = ['gp']"),
            ["['gp']", "gp, random"],
        ),
        (("--preset=/",), ["no preset '/'"]),
        (("--task=parens", "--arch=gru", "--num_trials=0"), ["num_trials", "0"]),
        (("--task=parens", "--arch=gru", "--workers=0"), ["--workers", "0"]),
        (("--task=parens", "--arch=gru", "--vary=data"), ["no effect without --rerun_best"]),
        (
            ("--task=parens", "--arch=gru", "--rerun_best=2", "--vary=seed"),
            ["--vary is one or both of init, data, not 'seed'"],
        ),
        (("--task=parens", "--arch=gru", "--early_stopping=asha"), ["'asha'", "median, halving"]),
        (("--task=parens", "--arch=gru", "--num_params=1"), ["--num_params"]),
        (("--resume",), ["--study_dir"]),
        (("--resume", "--study_dir=nowhere"), ["nowhere", "no study"]),
        (("--resume", "--study_dir=nowhere", "--train_steps=9"), ["omit --train_steps"]),
        (("--task=parens", "--arch=gru", "--hparams=none.json"), ["none.json"]),
        (
            ("--task=parens", "--arch=gru", "--hparams=none.json", "--num_trials=3"),
            ["--num_trials does not apply with --hparams"],
        ),
        (
            ("--task=parens", "--arch=gru", "--hparams=none.json", "--rerun_best=3"),
            ["--rerun_best does not apply with --hparams"],
        ),
        (
            ("--task=parens", "--arch=gru", "--rerun_best=3", "--show_space"),
            ["--show_space does not apply with --rerun_best"],
        ),
        (
            ("--task=parens", "--arch=gru", "--hparams=none.json", "--show_space"),
            ["--show_space does not apply with --hparams"],
        ),
        (
            ("--task=parens", "--arch=gru", "--gin_bindings=StudyConfig.ranges = {'lr': 1}"),
            ["'lr'", "lr_init"],
        ),
        (("--task=parens", "--arch=gru", "--gin_bindings=StudyConfig.trials = 1"), ["trials"]),
        (("--task=parens", "--arch=gru", "--gin_bindings=TrainConfig.lr_init = 16"), ["lr_init"]),
    ],
    ids=str,
)
def test_mistakes_are_one_line_before_a_backend_starts(cold, tmp_path, arguments, words):
    # Starting this backend, which does not exist, would fail.
    done = cold.run("tuning", *arguments, cwd=tmp_path, KERAS_BACKEND="none")
    assert done.code == 2 and done.stderr.count("\n") == 1, done
    assert done.stderr.startswith("error: ")
    for word in words:
        assert word in done.stderr
    assert not list(tmp_path.iterdir())


def parsed(*arguments):
    """The configurations of a command, by way of the functions that it calls before a study."""
    flag_values = commands.FLAGS
    flag_values.unparse_flags()
    flag_values(["tuning", "--task=memory", "--arch=rnn", *arguments])
    try:
        return commands._parsed()
    finally:
        for name in flag_values:
            flag_values[name].unparse()
        flag_values.unparse_flags()


def test_gin_files_and_bindings_join_in_a_study(tmp_path):
    texts = {
        "study": "StudyConfig.ranges = {'lr_init': (0.01, 0.02)}\nStudyConfig.seed = 5\n",
        "training": "TrainConfig.lr_decay_rate = 0.5\n",
        "macro": "StudyConfig.batch = %number\n",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.gin").write_text(text)
    first, second, third = (f"--gin_file={tmp_path}/{name}.gin" for name in texts)
    clip = "--gin_bindings=StudyConfig.ranges={'gradient_clip_val': (2, 5)}"
    for files in ((first, second), (second, first)):
        config, study, *_ = parsed(*files)
        assert study.seed == 5 and study.ranges["lr_init"] == (0.01, 0.02)
        assert config.lr_decay_rate == study.ranges["lr_decay_rate"] == 0.5
        _, study, *_ = parsed(*files, "--gin_bindings=StudyConfig.seed=77", clip)
        assert study.seed == 77 and study.ranges["gradient_clip_val"] == (2, 5)
    assert parsed(third, "--gin_bindings=number=3")[1].batch == 3
    with pytest.raises(UserError, match="gin macro %number has no value"):
        parsed(third)
    value = "--gin_bindings=TrainConfig.lr_init=0.01"
    with pytest.raises(UserError, match=r"lr_init is set to 0\.01 and also has a range"):
        parsed(second, first, value)


def test_help_and_the_space_need_no_backend(tmp_path):
    done = tune(tmp_path, "--help", KERAS_BACKEND="none")
    assert done.code == 0 and "--show_space" in done.stdout and "--rerun_best" in done.stdout
    narrowed = "--gin_bindings=StudyConfig.ranges = {'lr_init': (0.001, 0.002)}"
    space = ("--task=capacity", "--arch=lstm", "--show_space", narrowed)
    done = tune(tmp_path, *space, KERAS_BACKEND="none")
    assert done.code == 0, done.stderr
    assert "[0.001, 0.002]" in done.stdout and "task_options.num_samples" in done.stdout
    file = tmp_path / "mine.gin"
    file.write_text("TrainConfig.gate_bias = 2.5\n")
    held = (f"--gin_file={file}", "--gin_bindings=TrainConfig.optimizer='adam'")
    done = tune(tmp_path, *space, *held, KERAS_BACKEND="none")
    rows = {row.split()[0]: row.split()[1:3] for row in done.stdout.splitlines()}
    assert rows["optimizer"] == ["fixed", "adam"] and rows["gate_bias.f"] == ["fixed", "2.5"]
    # Neither the project's files nor the number of steps fixes anything.
    assert rows["lr_decay_rate"][0] == "log-uniform" and rows["train_steps"][0] == "log-integer"


def test_given_sets_have_the_profile_of_their_command(tmp_path):
    (tmp_path / "sets.json").write_text("[{}, {}]")
    given = ("--task=memory", "--arch=rnn", "--profile=smoke", f"--hparams={tmp_path}/sets.json")
    commands.FLAGS.unparse_flags()
    commands.FLAGS(["tuning", *given])
    config, study, _, names = commands._parsed()
    assert [marks["profile"] for marks in commands._sets(config, study, names)[1]] == ["smoke"] * 2


@pytest.mark.slow
def test_a_smoke_study_ends_with_a_model(tmp_path):
    done = tune(
        tmp_path,
        "--task=parens",
        "--arch=rnn",
        "--profile=smoke",
        "--num_trials=2",
        "--early_stopping=median",
        "--gin_bindings=TrainConfig.task_options = {'num_steps': 12}",
        **QUICK,
    )
    assert (done.code, done.stderr) == (0, "")
    study = tmp_path / "studies/parens-rnn-1-5000-gp"
    assert len((study / "trials.jsonl").read_text().splitlines()) == 2
    assert json.loads((study / "study.json").read_text())["study"]["early_stopping"] == "median"
    if "no trial was feasible" not in done.stdout:
        (model,) = study.glob("trial_*/saved_model/saved_model.pb")
        assert str(model.parent.relative_to(tmp_path)) in done.stdout
