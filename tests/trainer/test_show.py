"""The show command: the run, its curve, its answers, the text that it writes."""

import dataclasses
import io
import itertools
import json
import math
import re
import shutil
import sys
import warnings

import keras
import numpy as np
import pytest
import records
from on_backend import tensorflow_only, to_numpy
from processes import python, without_tensorflow
from random_runs import write_run
from rich.console import Console
from slow import slow_except

from rnn_zoo.model import get_weights
from trainer import TrainConfig, show, train
from trainer.display import comparison, curves, training
from trainer.display.progress import Display
from trainer.export import load_model
from trainer.generate import generate
from trainer.storage import checkpoints
from trainer.storage.records import RunDirectory
from trainer.tasks import TASKS
from trainer.windows import CURVE_POINTS, window_start

pytestmark = tensorflow_only

LETTERS = " abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(scope="module")
def text_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text"
    path.write_text("".join(np.random.default_rng(1).choice(list(LETTERS), size=4000)))
    return path


# The rendering of a training.


def test_bars():
    assert training.bars([3, 1, 2]) == "█▁▅"
    assert training.bars([2.0]) == training.bars([2.0, 2.0])[0] == "▁"
    assert training.bars(range(8)) == training.BARS
    assert training.bars([0] * 100 + [7] * 100) == "▁" * 25 + "█" * 25
    assert len(training.bars(range(73))) == training.NUM_BARS
    assert training.bars([0] * 99 + [9])[-2:] == "▁█"


@pytest.mark.parametrize("steps", [1, 7, 20, 33, 4000])
def test_points_of_a_record_s_curve_are_at_the_ends_of_the_trainer_s_windows(steps):
    ends = [window_start(index, steps, CURVE_POINTS) for index in range(CURVE_POINTS + 1)]
    ends = [end for start, end in itertools.pairwise(ends) if start < end]
    curve = [float(end) for end in ends]
    assert training.curve_points(records.record(train_steps=steps, curve=curve)) == [
        {"step": end, "train_loss": float(end)} for end in ends
    ]
    stopped = records.record(train_steps=steps, curve=[2.0])
    assert training.curve_points(stopped) == [{"step": ends[0], "train_loss": 2.0}]
    assert training.curve_points(records.record(train_steps=steps, curve=[])) == []


def test_a_table_of_a_curve_has_its_last_point():
    points = [{"step": step, "train_loss": 1 / step} for step in range(1, 100)]
    names, rows = training.curve_table(points)
    assert names == ("step", "training loss")
    assert len(rows) <= training.NUM_ROWS
    assert rows[-1] == ("99", "0.0101")
    points[9]["valid_loss"], points[49]["valid_loss"] = 0.5, 0.25
    names, rows = training.curve_table(points)
    assert names == ("step", "training loss", "validation loss")
    assert rows == [("10", "0.1000", "0.5000"), ("50", "0.0200", "0.2500")]


# The command.


@pytest.fixture
def shown(monkeypatch, capsys):
    """Call the main in this process: shown(*flags) -> (exit code, standard output, errors)."""

    def call(*arguments):
        show.FLAGS.unparse_flags()
        monkeypatch.setattr(sys, "argv", ["show", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            show.run()
        return ended.value.code, *capsys.readouterr()

    return call


#: Task -> (its options, part of an answer).
RUNS = {
    "capacity": ({"num_inputs": 10, "num_samples": 40}, "with probability"),
    "memory": ({}, "in theory with"),
    "rcf": ({"num_samples": 50, "num_steps": 4}, "squared error"),
    "text8": ({"num_steps": 20}, "bits per character"),
    "parens": ({"num_steps": 20}, "parentheses of this type"),
    "arithmetic": ({}, "problem"),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory, text_file):
    """A function from a task to the directory of a run with random weights and no curve."""
    home = tmp_path_factory.mktemp("runs")

    def run(task):
        if not (home / task).exists():
            options = RUNS[task][0] | ({"path": str(text_file)} if task == "text8" else {})
            budget = {"num_params": 6000, "seed": 5}
            write_run(home / task, TrainConfig(task, "ugrnn", task_options=options, **budget))
        return home / task

    return run


def altered(run, directory, **fields):
    """Copy a run with a changed record and without its checkpoint."""
    copy = RunDirectory(directory)
    copy.create(dataclasses.replace(RunDirectory(run).read_record(), **fields), {})
    return directory


@pytest.mark.parametrize("name", slow_except(["memory", "text8", "arithmetic"], RUNS))
def test_the_examples_are_what_the_model_of_the_run_answers(runs, shown, name):
    text = ["--length=30"] if TASKS[name].predicts_next else []
    code, out, err = shown(f"--run_dir={runs(name)}", "--num=3", "--split=valid", *text)
    assert (code, err) == (0, "")
    model, record = load_model(runs(name))
    task = TrainConfig(**record.config).make_task()
    batch = task.sample("valid", 5, 3)
    outputs = to_numpy(model(batch.inputs))
    answers = [task.answer(batch, index, outputs, record.units) for index in range(3)]
    assert len(set(answers)) == 3
    for answer in answers:
        assert RUNS[name][1] in answer
        assert answer in out
    assert f"task {name}   architecture ugrnn   depth 1   units {record.units} " in out
    assert f"parameters {record.num_params:,} of 6,000\n" in out
    assert ("continued" in out) == (name == "text8")


def test_the_examples_of_a_fixed_data_set_are_its_own_whatever_the_seed(runs, shown):
    record = RunDirectory(runs("capacity")).read_record()
    task = TrainConfig(**record.config).make_task()
    inputs, labels = to_numpy(tuple(task.sweep(task.device_data, "train", 5, 0, 40).dense())[:2])
    data = {
        f"{''.join(str(int(bit)) for bit in x[0])} -> {y[-1, 0]}"
        for x, y in zip(inputs, labels, strict=True)
    }
    seen = []
    for seed in (0, 3):
        _, out, _ = shown(f"--run_dir={runs('capacity')}", "--num=8", f"--seed={seed}")
        found = re.findall(r"^[01]{10} -> [01]", out, re.M)
        assert len(found) == 8
        assert set(found) <= data
        seen.append(found)
    assert seen[0] != seen[1]


# The comparison of runs.


def row(out, name):
    """Return the cells of a printed table's row."""
    (line,) = re.findall(rf"^[│┃] {re.escape(name)} +[│┃].*", out, re.M)
    return [cell.strip() for cell in re.split("[│┃]", line)[2:-1]]


def test_runs_are_compared_by_the_settings_that_differ(tmp_path, runs, shown):
    memory, rcf = RunDirectory(runs("memory")).read_record(), runs("rcf")
    hparams = memory.hparams | {"lr_init": 0.02}
    measured = {"status": "ok", "steps_done": memory.train_steps}
    measured |= {"metrics": {"eval": {"loss": 0.5, "accuracy": 0.25}}, "eval_loss": 0.5}
    one = altered(runs("memory"), tmp_path / "one", **measured, curve=[3.0, 2.0])
    config = memory.config | {"data_seed": 3, "precision": "tf32", "eval_samples": 64}
    config |= {"preset": "memory/ugrnn-6k", "lr_init": 0.02, "seed": 6}
    other = altered(runs("memory"), tmp_path / "other", hparams=hparams, seed=6, config=config)
    flags = [f"--run_dir={path}" for path in (one, other, rcf)]
    code, out, err = shown(*flags, f"--out={tmp_path / 'both.png'}")
    assert (code, err) == (0, "")
    assert row(out, "setting") == ["one", "other", "rcf"]
    assert row(out, "task") == ["memory", "memory", "rcf"]
    first = f"{memory.hparams['lr_init']:.4g}"
    assert row(out, "lr_init") == [first, "0.02", first]
    assert row(out, "seed") == ["5", "6", "5"]
    assert row(out, "data_seed") == ["-", "3", "-"]
    assert row(out, "precision") == ["float32", "tf32", "float32"]
    assert row(out, "eval_samples") == ["4096", "64", "4096"]
    assert row(out, "preset") == ["-", "memory/ugrnn-6k", "-"]
    assert row(out, "task_options.num_steps") == ["-", "-", "4"]
    assert not re.search(r"│ (arch|l2_decay|depth) ", out)
    assert row(out, "eval_loss") == ["0.5000", "-", "-"]
    assert row(out, "eval accuracy") == ["0.2500", "-", "-"]
    assert (tmp_path / "both.png").read_bytes().startswith(b"\x89PNG")
    assert "equal settings" in shown(flags[0], flags[0])[1]

    def of(hparams):
        return dataclasses.replace(memory, hparams=hparams, config=memory.config | hparams)

    idle = [memory.hparams | {"optimizer": "sgd", "momentum_logit": logit} for logit in (1.0, 2.0)]
    assert comparison.differences([*map(of, idle)]) == {}
    # An option that is set to its default is no difference.
    explicit = memory.hparams | {"task_options": {"delay": 12}, "activation": "tanh"}
    assert comparison.differences([memory, of(explicit)]) == {}


def test_runs_of_edited_code_differ():
    runs = [records.record("a", 1.0, task="mine.lag", versions={"mine": n}) for n in "12"]
    assert comparison.differences(runs) == {"code of mine": ["1", "2"]}
    assert comparison.differences(runs[:1] * 2) == {}


def test_a_metric_that_is_no_number_is_compared_as_text():
    made = [records.record(metrics={"eval": {"own": value}}) for value in (0.5, "x", [1, 2])]
    console = Console(file=io.StringIO(), width=200)
    comparison.show_comparison(Display(console), [comparison.Run("a", each, []) for each in made])
    assert re.search(r"eval own\W+0.5000\W+x\W+\[1, 2\]", console.file.getvalue())


def test_the_name_of_a_compared_run_is_no_formula(tmp_path, runs):
    record = RunDirectory(runs("memory")).read_record()
    every = [
        comparison.Run(name, record, [{"step": 1, "train_loss": 2.0}])
        for name in ("$x", "$\\frac{$")
    ]
    curves.plot_comparison(tmp_path / "both.png", every)
    assert (tmp_path / "both.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_of_compared_runs_has_a_curve_of_each(tmp_path, runs, monkeypatch):
    record = RunDirectory(runs("memory")).read_record()
    drawn = []
    monkeypatch.setattr(curves, "_write", lambda path, axes: drawn.append(axes))
    points = [{"step": 1, "train_loss": 2.0}, {"step": 2, "train_loss": 1.0, "valid_loss": 1.5}]
    every = [comparison.Run(name, record, points) for name in "ab"]
    curves.plot_comparison(tmp_path / "no.png", every)
    lines = {line.get_label(): line.get_ydata() for line in drawn[0].lines}
    assert list(lines) == ["a train", "a valid", "b train", "b valid", "chance"]
    assert list(lines["b train"]) == [2.0, 1.0] and list(lines["b valid"]) == [1.5]
    colors = {line.get_label()[0]: line.get_color() for line in drawn[0].lines[:4]}
    assert len(set(colors.values())) == 2


def test_any_name_of_a_run_is_in_the_legend(tmp_path, runs, monkeypatch):
    """Neither typeset, nor left out, nor refused by the font's encoder."""
    record, drawn, write = RunDirectory(runs("memory")).read_record(), [], curves._write
    monkeypatch.setattr(curves, "_write", lambda *each: (write(*each), drawn.append(each[1])))
    names = ("_under", "dir\udcff", "$x", "\x1b[31m")
    every = [comparison.Run(n, record, [{"step": 1, "train_loss": 2.0}]) for n in names]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of a letter that the font lacks
        curves.plot_comparison(tmp_path / "all.png", every)
    texts = [text.get_text() for text in drawn[0].get_legend().get_texts()]
    assert [text.lstrip("\N{ZERO WIDTH SPACE}") for text in texts] == [
        "_under train", "dir\\udcff train", r"\$x train", "\\x1b[31m train", "chance"
    ]  # fmt: skip


def test_columns_have_the_shortest_names_that_differ():
    assert comparison.names(["runs/x", "runs/y"]) == ["x", "y"]
    assert comparison.names(["a/x", "b/x", "b/y"]) == ["a/x", "b/x", "b/y"]
    assert comparison.names(["a/x", "a/x"]) == ["x", "x"]


def test_flags_of_one_run_are_refused_for_several(runs, shown):
    one = f"--run_dir={runs('memory')}"
    code, _, err = shown(one, one, "--num=2")
    assert code == 2 and "--num is for one run" in err
    code, _, err = shown(one, "--out=curves.png")
    assert code == 2 and "more than once" in err


def written(out):
    """Return (context, text) from the printed text."""
    return re.search(r'"([ a-z]*)", continued at .*\n"([ a-z]*)"', out).groups()


def test_the_text_follows_the_prompt_the_seed_and_the_temperature(runs, shown, text_file):
    where = f"--run_dir={runs('text8')}"
    model, _ = load_model(runs("text8"))

    def expected(prompt, length, temperature, seed):
        codes = [LETTERS.index(character) for character in prompt]
        added = generate(model, codes, length, temperature, seed)
        return prompt, "".join(LETTERS[code] for code in added)

    _, out, _ = shown(where, "--num=0", "--prompt=the quick ", "--temperature=0", "--length=30")
    assert "examples" not in out
    assert written(out) == expected("the quick ", 30, 0, 0)
    flags = ("--prompt=a", "--temperature=1.5", "--length=9", "--num=0")
    _, out, _ = shown(where, "--seed=4", *flags)
    assert written(out) == expected("a", 9, 1.5, 4)

    _, out, _ = shown(where, "--num=0", "--seed=2")
    context, text = written(out)
    assert (context, text) == expected(context, 200, 0.8, 2)
    assert len(context) == 20
    assert context in text_file.read_text()[3800:]
    assert written(shown(where, "--num=0", "--seed=3")[1])[0] != context


def test_a_text_is_looked_for_where_the_run_found_it_unless_told(runs, shown, tmp_path, text_file):
    record = RunDirectory(runs("text8")).read_record()
    nowhere = {"task_options": record.config["task_options"] | {"path": str(tmp_path / "gone")}}
    fields = {"config": record.config | nowhere, "hparams": record.hparams | nowhere}
    moved = altered(runs("text8"), tmp_path / "run", **fields)
    (moved / "checkpoints").symlink_to(runs("text8") / "checkpoints")
    code, out, err = shown(f"--run_dir={moved}")
    assert code == 2
    assert "task text8" in out
    assert_one_line(err, f"--text8_path={tmp_path / 'gone'} cannot be read")

    # A prompt needs no text.
    assert shown(f"--run_dir={moved}", "--num=0", "--prompt=a", "--length=3")[0] == 0
    assert shown(f"--run_dir={moved}", "--num=0", "--length=0")[0] == 0
    expected = shown(f"--run_dir={runs('text8')}", "--num=1", "--length=9")
    assert shown(f"--run_dir={moved}", "--num=1", "--length=9", f"--text8_path={text_file}") == (
        expected
    )


def assert_one_line(err, *parts):
    assert err.startswith("error: ")
    assert err.count("\n") == 1, err
    for part in parts:
        assert part in err


#: Error -> (task of the run, flags, parts of the message).
MISTAKES = {
    "no run": (None, [], ["--run_dir"]),
    "nowhere": (None, ["--run_dir=nowhere"], ["nowhere holds no run"]),
    "a file": (
        None,
        ["--run_dir=/proc/version"],
        ["is a file; a run is a directory"],
    ),
    "a long name": (None, [f"--run_dir={'a' * 300}"], ["aaa holds no run"]),
    "num": ("parens", ["--num=-1"], ["--num", "-1"]),
    "many": ("parens", ["--num=1001"], ["--num", "1001", "1000"]),
    "length": ("text8", ["--length=-5"], ["--length", "-5"]),
    "length of another task": ("parens", ["--length=5"], ["--length is for text8", "parens"]),
    "temperature of another": ("parens", ["--temperature=0"], ["--temperature is for text8"]),
    "temperature": ("text8", ["--temperature=-0.1"], ["--temperature", "-0.1"]),
    "no temperature": ("text8", ["--temperature=nan"], ["--temperature", "nan"]),
    "seed": ("parens", ["--seed=-1"], ["--seed", "-1"]),
    "split": ("parens", ["--split=test"], ["'test'", "train, valid, eval"]),
    "prompt": ("text8", ["--prompt=the End"], ["'E'", "' abcdefghijklmnopqrstuvwxyz'"]),
    "no prompt": ("text8", ["--prompt="], ["--prompt is empty"]),
    "prompt for parens": ("parens", ["--prompt=("], ["--prompt", "text8", "parens"]),
    "text8 for parens": (
        "parens",
        ["--text8_path=x"],
        ["--text8_path is for the task text8", "parens"],
    ),
    "flag": ("parens", ["--depth=1"], ["depth"]),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_is_one_line(runs, shown, what, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    task, arguments, parts = MISTAKES[what]
    where = [f"--run_dir={runs(task)}"] if task else []
    code, out, err = shown(*where, *arguments)
    assert (code, out) == (2, "")
    assert_one_line(err, *parts)


def test_data_that_changed_have_no_answers(shown, tmp_path):
    rng, path, run = np.random.default_rng(0), tmp_path / "s.csv", tmp_path / "run"
    np.savetxt(path, rng.normal(size=(600, 1)), delimiter=",")
    write_run(run, TrainConfig("series", "rnn", num_params=200, task_options={"path": str(path)}))
    assert shown(f"--run_dir={run}", "--num=1")[0] == 0
    np.savetxt(path, rng.normal(size=(600, 2)), delimiter=",")
    code, out, err = shown(f"--run_dir={run}", "--num=1")
    assert code == 2 and "chance" in out  # the curve
    assert_one_line(err, f"{run} was measured with data.sha256", "restore the former data")


def test_a_run_without_weights_has_a_curve_still(runs, shown, tmp_path):
    curve = [20.0 - k for k in range(20)]
    losses = {"train": 3.0, "valid": 4.0, "eval": 5.0}
    record, steps = RunDirectory(runs("parens")).read_record(), {"train_steps": 400}
    run = altered(
        runs("parens"),
        tmp_path / "run",
        curve=curve,
        **{f"{split}_loss": loss for split, loss in losses.items()},
        metrics={split: {"loss": loss, "accuracy": 0.5} for split, loss in losses.items()},
        config=record.config | steps,
        hparams=record.hparams | steps,
        status="ok",
        stopped_early=True,
        train_steps=400,
        steps_done=400,
        seconds=50.0,
        steps_per_second=8.0,
    )
    assert shown(f"--run_dir={run}")[0] == 2
    code, out, err = shown(f"--run_dir={run}", "--num=0")
    assert (code, err) == (0, "")
    assert "steps 400 of 400   status ok, stopped early   50.0 s   8.0 steps/s" in out
    assert f"training loss 20.0000 {training.bars(curve)} 1.0000\n" in out
    rows = [re.split(r"\s*│\s*", line)[1:-1] for line in out.splitlines() if line[0] == "│"]
    assert rows[:10] == [[f"{40 * k}", f"{21 - 2 * k}.0000"] for k in range(1, 11)]
    chance = RunDirectory(run).read_record().chance_loss
    assert rows[10:] == [
        ["train", "3.0000", "0.5000"],
        ["valid", "4.0000", "0.5000"],
        ["eval", "5.0000", "0.5000"],
        ["chance", f"{chance:.4f}", ""],
    ]


def no_checkpoint(run, like):
    pass


def damaged_checkpoint(run, like):
    run.checkpoints.mkdir()
    (run.checkpoints / "step-0000000017.safetensors").write_bytes(b"x")


def checkpoint_with_a_hole(run, like):
    """One weight is NaN."""
    weights = get_weights(load_model(like)[0])
    weights["readout"]["bias"][3] = math.nan
    checkpoints.write(run.checkpoints, {"weights": weights, "step": np.int32(17)})


def test_answers_of_an_older_checkpoint_are_not_shown_in_silence(runs, shown, tmp_path):
    run = RunDirectory(shutil.copytree(runs("parens"), tmp_path / "run"))
    newest = run.checkpoints / "step-0000100000.safetensors"
    newest.write_bytes(b"x")
    code, out, err = shown(f"--run_dir={run.path}", "--num=1")
    assert (code, err) == (0, "")
    said = [line for line in out.splitlines() if str(newest) in line]
    assert len(said) == 1 and f"checkpoint of {run.path} is of step " in said[0]
    assert "parentheses of this type" in out


def test_a_configuration_of_an_older_version_has_the_seed_of_its_data(runs, shown, tmp_path):
    first = shown(f"--run_dir={runs('parens')}", "--num=1")[1]
    config = RunDirectory(runs("parens")).read_record().config
    older = {name: value for name, value in config.items() if name != "data_seed"}
    run = altered(runs("parens"), tmp_path / "run", config=older)
    model, _ = load_model(runs("parens"))
    checkpoints.write(run / "checkpoints", {"weights": get_weights(model), "step": np.int32(0)})
    code, out, err = shown(f"--run_dir={run}", "--num=1")
    assert (code, err) == (0, "")
    assert first[first.index("type  true") :] in out


@pytest.mark.parametrize("status", ["ok", "interrupted", "infeasible"])
@pytest.mark.parametrize(
    "spoil, reason",
    [
        (no_checkpoint, "no readable checkpoint"),
        (damaged_checkpoint, "no readable checkpoint"),
        (checkpoint_with_a_hole, "not finite"),
    ],
)
def test_a_run_that_diverged_may_have_no_answers_and_no_other_may(
    runs, shown, tmp_path, status, spoil, reason
):
    at = 17 if status == "infeasible" else None
    done = 3000 if status == "ok" else 17
    fields = {"status": status, "infeasible_at": at, "steps_done": done, "curve": [18.5]}
    run = altered(runs("parens"), tmp_path / "run", **fields)
    spoil(RunDirectory(run), runs("parens"))
    code, out, err = shown(f"--run_dir={run}")
    assert "training loss 18.5000" in out
    assert "parentheses of this type" not in out
    if status == "infeasible":
        assert (code, err) == (0, "")
        assert "status infeasible: diverged at step 17" in out
        assert "the run diverged and has no answers: " in out
        assert reason in out
    else:
        assert code == 2
        assert f"status {status}   " in out
        assert_one_line(err, reason)


def test_the_last_sound_weights_of_a_run_that_diverged_still_answer(runs, shown, tmp_path):
    run = altered(runs("parens"), tmp_path / "run", status="infeasible", infeasible_at=0)
    (run / "checkpoints").symlink_to(runs("parens") / "checkpoints")
    code, out, _ = shown(f"--run_dir={run}", "--num=1")
    assert code == 0
    assert "the last weights before the run diverged" in out
    answers = out[out.index("type  true") :]
    assert answers in shown(f"--run_dir={runs('parens')}", "--num=1")[1]


def test_answers_that_are_no_numbers_are_not_shown(runs, shown, tmp_path):
    """Finite weights may have non-finite outputs: a run can diverge at its last step."""
    run = altered(runs("text8"), tmp_path / "run", status="infeasible", infeasible_at=0)
    model, _ = load_model(runs("text8"))
    huge = keras.tree.map_structure(lambda w: 1e38 + 0 * w, get_weights(model))
    checkpoints.write(run / "checkpoints", {"weights": huge, "step": np.int32(0)})
    code, out, err = shown(f"--run_dir={run}", "--num=2")
    assert (code, err) == (0, "")
    assert out.count("no answer: its outputs are not finite numbers") == 2
    assert "outputs stopped being finite numbers" in out


def test_answers_need_a_backend_that_runs_tasks(runs, shown, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    code, out, err = shown(f"--run_dir={runs('parens')}", "--num=1")
    assert (code, out) == (2, "") and "do not run on KERAS_BACKEND=torch" in err
    code, out, _ = shown(f"--run_dir={runs('parens')}", "--num=0")
    assert code == 0 and "chance" in out


# Real runs in processes.


@pytest.mark.slow
def test_a_trained_run_is_shown_on_jax_as_on_tensorflow(shown, capsys, tmp_path, text_file):
    sizes = {"num_params": 3000, "train_steps": 20, "batch_size": 8, "eval_samples": 64}
    options = {"path": str(text_file), "num_steps": 20}
    train(TrainConfig("text8", "rnn", task_options=options, **sizes), tmp_path / "run")
    capsys.readouterr()
    flags = ("--run_dir=run", "--num=2", "--temperature=0", "--length=25", "--split=train")
    done = without_tensorflow("-m", "trainer.show", *flags, cwd=tmp_path)
    assert (done.code, done.stderr) == (0, "")
    code, out, _ = shown(f"--run_dir={tmp_path / 'run'}", *flags[1:])
    assert code == 0
    # On a busy machine, starting takes long enough to be shown.
    assert re.sub(r"starting .*\n", "", done.stdout) == out

    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    measurements = [json.loads(line) for line in lines]
    first, last = measurements[0]["train_loss"], measurements[-1]["train_loss"]
    assert f"training loss {first:.4f} " in out
    assert f" {last:.4f}\n" in out
    assert f"│ 20   │ {last:.4f}        │ {measurements[-1]['valid_loss']:.4f} " in out
    record = RunDirectory(tmp_path / "run").read_record()
    assert f"{record.metrics['eval']['bits_per_character']:.4f}" in out
    assert "steps 20 of 20   status ok" in out


def test_a_terminal_without_bars_shows_the_rest(runs, tmp_path):
    run = altered(runs("parens"), tmp_path / "run", curve=[2.0, 1.0])
    flags = (f"--run_dir={run}", "--num=0")
    done = python("-m", "trainer.show", *flags, cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert (done.code, done.stderr) == (0, "")
    assert "training loss 2.0000 ?? 1.0000" in done.stdout
