"""`python -m tuning.presets`, from a study to cards and weights."""

import dataclasses
import json
import math
import os
import pathlib
import re
import shutil
import signal
import threading
import time

import pytest
from on_backend import tensorflow_only

import rnn_zoo
from rnn_zoo.presets import writing
from trainer import UserError
from trainer.config import read_config
from trainer.storage.records import RunDirectory
from trainer.tasks import TASKS
from trainer.trial import Trial
from tuning import options, presets
from tuning.study import log

NAME, STUDY = "capacity/irnn-300", "capacity-irnn-1-300-random"
pytestmark = tensorflow_only


@pytest.fixture(scope="module")
def runs(swept, tmp_path_factory):
    """Make a directory with a single study of a sweep."""
    directory = tmp_path_factory.mktemp("runs")
    shutil.copytree(swept / f"sweep/studies/{STUDY}", directory / "sweep/studies/one")
    return directory


def best_of(runs):
    records = log.read(runs / "sweep/studies/one/trials.jsonl")[0].values()
    return log.ranked(records)[0]


@pytest.fixture
def command(runs, preset_root, tmp_path):
    """Run the command in this process, in `tmp_path`."""

    def run(*arguments):
        presets.FLAGS.unparse_flags()
        for name in presets.FLAGS:
            presets.FLAGS[name].unparse()
        given = [f"--runs={runs}", f"--out={preset_root}"]
        if any(argument.startswith("--train=") for argument in arguments):
            given.append(f"--work={tmp_path / 'work'}")
        presets.FLAGS(["presets", *given, *arguments])
        presets.main()

    return run


def test_the_best_trial_becomes_a_card(command, runs):
    command()
    assert rnn_zoo.list_presets() == [NAME]
    card, best = rnn_zoo.preset(NAME), best_of(runs)
    assert card.config == best.config
    assert card.scores["eval"] == best.eval_loss
    assert card.scores["metrics"] == best.metrics["eval"]
    assert card.search == {"algorithm": "random", "num_trials": 4, "infeasible": 0}
    assert card.weights is None


def test_a_preset_that_another_one_replaces_is_named(command, preset_root, capsys):
    command()
    command()
    assert "replaces" not in capsys.readouterr().out
    card = rnn_zoo.preset(NAME)
    scores = card.scores | {"eval": 0.125}
    config = card.config | {"task_options": card.config["task_options"] | {"num_steps": 3}}
    writing.write(preset_root, dataclasses.replace(card, scores=scores, config=config))
    command()
    said = "; replaces the preset with eval loss 0.125, num_steps 3\n"
    assert capsys.readouterr().out.endswith(said)
    assert rnn_zoo.preset(NAME) == card
    # One that was saved from a model has neither scores nor a configuration.
    saved = dataclasses.replace(card, scores=None, config=None)
    writing.write(preset_root, saved)
    command()
    assert capsys.readouterr().out.endswith("; replaces a preset that was saved from a model\n")
    assert rnn_zoo.preset(NAME) == card


def test_names_of_studies_are_printed_without_control_characters(command, runs, tmp_path, capsys):
    path = tmp_path / "\x1b[31mred/one"
    shutil.copytree(runs / "sweep/studies/one", path)
    lose_best(path / "trials.jsonl")
    command(f"--runs={path}")
    out = capsys.readouterr().out
    assert r"/\x1b[31mred/one/trials.jsonl lacks 1 trial" in out and "\x1b" not in out


def test_presets_that_two_processes_make_at_once_are_all_kept(command, preset_root, monkeypatch):
    command()
    card, read = rnn_zoo.preset(NAME), writing._known

    def read_slowly(out):
        known = read(out)
        time.sleep(0.02)
        return known

    monkeypatch.setattr(writing, "_known", read_slowly)
    names = [f"capacity/gru-{number}" for number in range(6)]
    writers = [
        threading.Thread(
            target=writing.write, args=(preset_root, dataclasses.replace(card, name=n))
        )
        for n in names
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert rnn_zoo.list_presets() == sorted([*names, NAME])


def lose_best(path):
    lines = path.read_text().splitlines(keepends=True)
    best = min(lines, key=lambda line: json.loads(line)["objective"] or math.inf)
    path.write_text("".join(line for line in lines if line != best))


def replace_by_another(path):
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        del line["crc32"]
        line["config"]["lr_init"] /= 2
        line["hparams"]["lr_init"] /= 2
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize(
    "spoil, problem, is_made",
    [
        (lose_best, "lacks 1 trial that had ended", True),
        (pathlib.Path.unlink, "lacks 4 trials that had ended", False),
        (replace_by_another, "has 4 trials of another study, the first is 00000 with lr", False),
    ],
)
def test_trials_that_are_lost_or_of_another_study_are_named(
    runs, tmp_path, spoil, problem, is_made
):
    path = shutil.copytree(runs, tmp_path / "runs") / "sweep/studies/one/trials.jsonl"
    spoil(path)
    said = []
    found = presets.best_trials([tmp_path], said.append)
    assert len(said) == 1 and f"{path} {problem}" in said[0]
    assert (NAME in found) == is_made


def test_a_study_of_a_sweep_that_is_gone_is_named(swept, tmp_path):
    """A worse one could take its place."""
    sweep = shutil.copytree(swept / "sweep", tmp_path / "runs/sweep")
    for path in sweep.glob("*/*own_cells*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    whole = presets.best_trials([tmp_path / "runs"], pytest.fail)
    shutil.rmtree(sweep / "studies" / STUDY)
    for root in (tmp_path / "runs", sweep):
        said = []
        left = presets.best_trials([root], said.append)
        assert said == [f"{sweep / 'studies' / STUDY} lost 4 of its 4 finished runs"]
        assert left[NAME] != whole[NAME]


def test_a_study_that_lost_its_settings_is_named(runs, tmp_path):
    study = shutil.copytree(runs, tmp_path / "runs") / "sweep/studies/one"
    (study / "study.json").unlink(missing_ok=True)
    (study.parent.parent / "sweep.json").write_text('{"studies": []}')
    said = []
    found = presets.best_trials([tmp_path], said.append)
    assert said == [f"{study} has lost its study.json, so its algorithm is unknown"]
    assert found[NAME][1]["algorithm"] is None


@pytest.mark.parametrize("change", [{"task": "nosuch"}, {"arch": "nosuch"}, {"max_params": 301}])
def test_a_record_of_another_model_than_its_configuration_is_refused(runs, tmp_path, change):
    record = dataclasses.asdict(best_of(runs)) | change | {"crc32": None}
    (tmp_path / "trials.jsonl").write_text(json.dumps(record) + "\n")
    (name,) = change
    said = []
    assert presets.best_trials([tmp_path], said.append) == {}
    assert re.search(f"line 1: it has {name} .*, and its configuration ", *said)


def test_a_configuration_without_options_has_their_defaults(runs):
    best = best_of(runs)
    del best.config["task_options"]
    assert presets.card(NAME, best, {}).config["task_options"] == {}


def test_runs_are_not_trained_through_a_link(command, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "work").mkdir()
    (tmp_path / "work/capacity").symlink_to("../elsewhere")
    with pytest.raises(UserError, match="work/capacity is a symbolic link"):
        command("--train=*")
    assert not os.listdir(tmp_path / "elsewhere")


def test_presets_are_not_written_through_a_link(command, preset_root, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    preset_root.mkdir()
    (preset_root / "capacity").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="capacity is a symbolic link"):
        command()
    assert not os.listdir(tmp_path / "elsewhere") and os.listdir(preset_root) == ["capacity"]


def test_a_training_that_is_worse_than_the_search_is_named(command, runs, monkeypatch, capsys):
    best = best_of(runs)
    loss = best.eval_loss + 0.03 * best.chance_loss
    metrics = best.metrics | {"eval": best.metrics["eval"] | {"loss": loss}}
    worse = dataclasses.replace(best, eval_loss=loss, metrics=metrics)
    weights = Trial(read_config(best.config, "best")).random_weights()
    for again, expected in (
        (best, ""),
        (worse, " (a trial alone rounds differently than in lanes;"),
    ):
        monkeypatch.setattr(presets, "trained", lambda *given, again=again: (again, weights))
        command("--train=*")
        said = f"with weights; the search had {best.eval_loss:.4g}{expected}"
        assert said in " ".join(capsys.readouterr().out.split())
        card = rnn_zoo.preset(NAME)
        assert card.search["eval"] == best.eval_loss and card.scores["eval"] == again.eval_loss
        assert f"0 of them infeasible, with eval loss {best.eval_loss:.4g}" in str(card)


@pytest.mark.slow
def test_named_presets_get_weights_of_a_longer_training(command, runs, preset_root, capsys):
    command("--train=capacity/*", "--longer=2")
    card, best = rnn_zoo.preset(NAME), best_of(runs)
    assert card.training["steps"] == 2 * best.train_steps == card.config["train_steps"]
    model = rnn_zoo.load(NAME)
    assert model.count_params() == card.num_params
    capsys.readouterr()
    command("--train=capacity/*", "--longer=2")  # already trained
    assert "\nstep " not in capsys.readouterr().out
    assert rnn_zoo.preset(NAME) == card
    command()  # weights are kept, though the card would have none
    assert "has weights; kept as it is" in capsys.readouterr().out
    assert rnn_zoo.preset(NAME) == card
    refuse_damaged_weights(command, preset_root)


def refuse_damaged_weights(command, root):
    """Those that were lost are not replaced by hyperparameters alone."""
    path = root / f"{NAME}.safetensors"
    content = path.read_bytes()
    before = (root / f"{NAME}.json").read_bytes()
    for damage in (lambda: path.write_bytes(content[:-1] + b"!"), path.unlink):
        damage()
        with pytest.raises(UserError, match=rf"{NAME}.safetensors .*or train it again with --t"):
            command()
        assert (root / f"{NAME}.json").read_bytes() == before


@pytest.mark.slow
def test_another_length_is_another_run(command):
    command("--train=*", "--longer=0.5")
    first = rnn_zoo.preset(NAME)
    command("--train=*", "--longer=1")
    assert rnn_zoo.preset(NAME).training["steps"] > first.training["steps"]


@pytest.mark.slow
def test_ctrl_c_leaves_a_resumable_run_and_no_card(command, preset_root, tmp_path):
    def interrupt():
        while not list(tmp_path.glob("work/capacity/*/events/*")):  # until training has started
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        command("--train=*", "--longer=500000")
    thread.join()
    assert json.loads((preset_root / "index.json").read_text()) == {}
    assert not list(preset_root.rglob("*.safetensors"))
    (run_dir,) = (tmp_path / "work/capacity").iterdir()
    assert RunDirectory(run_dir).read_record().status == "interrupted"


@pytest.mark.parametrize("source", ["preset", "init_from"])
def test_trials_that_start_from_weights_are_ignored(source, runs, tmp_path):
    tuned = dataclasses.replace(best_of(runs), config=best_of(runs).config | {source: NAME})
    study = tmp_path / "study"
    study.mkdir()
    (study / "study.json").write_text('{"study": {"algorithm": "gp"}}')
    (study / "trials.jsonl").write_text(json.dumps(dataclasses.asdict(tuned)) + "\n")
    assert presets.best_trials([tmp_path]) == {}


def test_losses_of_different_settings_are_not_compared(runs, tmp_path):
    def study(name, loss, searched=(), **options):
        config = best_of(runs).config | {"task": "memory", "task_options": options}
        changes = {"task": "memory", "config": config, "objective": loss}
        changes["hparams"] = best_of(runs).hparams | {"task_options": options}
        changes |= {"metrics": {"eval": {}}, "defaults": {}, "searched": searched}
        path = tmp_path / name / "trials.jsonl"
        path.parent.mkdir()
        record = dataclasses.asdict(best_of(runs)) | changes
        del record["crc32"]
        path.write_text(json.dumps(record) + "\n")

    said = []
    study("short", 0.1, delay=4)
    found = presets.best_trials([tmp_path], said.append)
    assert options.changed(found["memory/irnn-300"][0]) == {"delay": 4}
    study("long", 0.2, delay=20)
    assert presets.best_trials([tmp_path], said.append) == {}
    assert len(said) == 1 and '{"delay": 20} and {"delay": 4}' in said[0]
    study("default", 0.3, delay=12)
    found = presets.best_trials([tmp_path], said.append)
    assert found["memory/irnn-300"][0].objective == 0.3 and len(said) == 1
    # One that searched the option has trials of an easier task.
    study("searched", 0.05, ["task_options.delay"], delay=3)
    found = presets.best_trials([tmp_path], said.append)
    assert found["memory/irnn-300"][0].objective == 0.3 and len(said) == 1


def test_a_preset_of_a_searched_option_names_its_value(command, runs, capsys, monkeypatch):
    monkeypatch.setattr(TASKS["capacity"], "pooled_options", ("num_inputs",))
    command()
    value = best_of(runs).config["task_options"]["num_samples"]
    assert f", num_samples {value}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((), "--out is missing"),
        (("--out=out",), "--runs is missing: the directories of sweeps and studies"),
        (("--runs=.",), "--out is missing"),
        (("--runs=nowhere", "--out=out"), "--runs: there is no directory nowhere"),
        (("--runs=.", "--out=out"), "no feasible trial in ."),
    ],
)
def test_mistakes_are_one_line(cold, arguments, message, tmp_path):
    done = cold.run("tuning.presets", *arguments, cwd=tmp_path)
    assert (done.code, done.stderr) == (2, f"error: {message}\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--train=text8/*"], f"no preset matches text8/\\*; there are {NAME}"),
        (["--longer=2"], "--longer has no effect without --train"),
        (["--text8_path=x"], "--text8_path has no effect without --train"),
        (["--train=*", "--longer=0"], "--longer must be a number greater than 0, got 0"),
        (["--train=*", "--longer=nan"], "--longer must be a number greater than 0, got nan"),
        (
            ["--train=*", "--longer=inf"],
            "--longer must be .* greater than 0 and at most .*, got inf",
        ),
    ],
)
def test_names_and_lengths_are_checked_first(arguments, message, command, preset_root):
    with pytest.raises(presets.UserError, match=message):
        command(*arguments)
    assert not preset_root.exists()
