"""The command line: help and user errors."""

import gzip
import os
import subprocess
import sys

import processes
import pytest
from absl import flags
from commands import PARENS, assert_refused, tree
from on_backend import tensorflow_only
from processes import python

from trainer import names
from trainer.cli import main as cli

pytestmark = tensorflow_only


def test_a_console_script_finds_modules_beside_it(tmp_path, monkeypatch):
    """As for `python -m`: custom cells may lie in the current directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.setattr(sys, "argv", ["rnn-zoo-train"])
    for _ in range(2):
        with pytest.raises(SystemExit):
            cli.run(lambda: 0, flags.FlagValues(), "")
    # Last, so that a file there never replaces a library.
    assert sys.path[-1] == "" and sys.path.count("") == 1


@pytest.mark.parametrize(
    "flag, is_searched",
    [
        ("--preset=./memory/gru-400", False),
        ("--preset=memory/gru-400", True),  # of the package
        ("--preset=hf://", True),  # not a name of a preset, which the command will say
        ("--published=./trials.parquet", False),
        ("--published=trials.parquet", False),
        ("--published=.", False),
        ("--published=below", True),
        ("--work=.", False),
        ("--runs=below,.", False),
    ],
)
def test_a_directory_that_is_only_looked_at_is_not_searched(
    flag, is_searched, tmp_path, monkeypatch
):
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(names, "_looked_at", [])
    known = flags.FlagValues()
    for name in ("preset", "published", "work"):
        flags.DEFINE_string(name, None, "", flag_values=known)
    flags.DEFINE_list("runs", [], "", flag_values=known)
    monkeypatch.setattr(sys, "argv", ["command", flag])
    with pytest.raises(SystemExit):
        cli.run(lambda: 0, known, "")
    assert (str(tmp_path) in sys.path, "" in sys.path) == (is_searched, is_searched)


@pytest.mark.parametrize("run_dir, is_read", [(".", False), ("below", True)])
def test_the_settings_of_matplotlib_are_not_those_of_a_directory_that_is_only_looked_at(
    run_dir, is_read, tmp_path
):
    (tmp_path / "below").mkdir()
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\n")
    text = (
        "from absl import flags; from trainer.cli import main; known = flags.FlagValues(); "
        "flags.DEFINE_string('run_dir', None, '', flag_values=known); "
        "show = lambda: print(__import__('matplotlib').rcParams['text.usetex']); "
        "main.run(show, known, '')"
    )
    done = python("-c", text, f"--run_dir={run_dir}", cwd=tmp_path)
    assert (done.code, done.stdout) == (0, f"{is_read}\n"), done.stderr


@pytest.mark.parametrize("value, is_refused", [("", True), ("a,", True), ("a", False)])
@pytest.mark.parametrize("define", ["DEFINE_string", "DEFINE_list", "DEFINE_multi_string"])
def test_an_empty_value_is_refused(monkeypatch, capsys, define, value, is_refused):
    """As a shell gives it for a variable that is not set; it is not the default."""
    known = flags.FlagValues()
    getattr(flags, define)("name", None, "", flag_values=known)
    flags.DEFINE_list("log_to", ["jsonl"], "may be empty", flag_values=known)
    monkeypatch.setattr(sys, "argv", ["command", f"--name={value}", "--log_to="])
    with pytest.raises(SystemExit) as caught:
        cli.run(lambda: 0, known, "")
    is_refused = is_refused and not (value and define != "DEFINE_list")
    assert caught.value.code == (2 if is_refused else 0)
    assert ("--name is empty; give a value" in capsys.readouterr().err) == is_refused


def test_a_path_of_too_many_levels_is_refused(monkeypatch, capsys):
    known = flags.FlagValues()
    flags.DEFINE_string("out", None, "", flag_values=known)
    monkeypatch.setattr(sys, "argv", ["command", "--out=" + "x/" * 2000])
    with pytest.raises(SystemExit) as caught:
        cli.run(lambda: 0, known, "")
    assert caught.value.code == 2
    assert capsys.readouterr().err == "error: --out has 2,000 levels; a path may have 200\n"


def test_help_may_be_read_in_part(tmp_path):
    """As with head, which closes the pipe."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "trainer", "--help"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


#: A command that prints a character of no other encoding than UTF-8, and its working directory.
PRINTS = """
import os, sys
from absl import flags
from trainer.cli import main
from trainer.display.progress import Display
def command():
    Display().say("4 \N{MULTIPLICATION SIGN}")
    print(sys.stderr is not None and os.fstat(2) is not None, file=sys.stderr)
main.run(command, flags.FlagValues(), "")
"""


@pytest.mark.parametrize("closed", ["", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_and_other_encodings_stop_nothing(closed, tmp_path):
    environment = processes.environment(PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    command = ["bash", "-c", f'"$0" -c "$1" {closed}', sys.executable, PRINTS]
    done = subprocess.run(command, capture_output=True, env=environment, cwd=tmp_path, check=False)
    assert done.returncode == 0
    assert (done.stdout, done.stderr) == (
        b"" if " >" in f" {closed}" else b"4 ?\n",
        b"" if "2>" in closed else b"True\n",
    )


def test_a_removed_working_directory_is_one_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    monkeypatch.setattr(sys, "argv", ["command"])
    with pytest.raises(SystemExit) as caught:
        cli.run(lambda: 0, flags.FlagValues(), "")
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("error: the working directory was removed; change")


# Help.


@pytest.mark.parametrize(
    "module", ["trainer", "trainer.export", "trainer.quantize", "trainer.show"]
)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_needs_no_backend(quick, module, flag):
    done = quick(flag, module=module, fresh=(module, flag) == ("trainer", "--help"))
    assert (done.code, done.stderr) == (0, "")
    assert f"python -m {module}" in done.stdout
    assert "--run_dir" in done.stdout
    if module == "trainer":
        for name in ("--task", "--arch", "--depth", "--num_params", "--train_steps", "--seed"):
            assert f"  {name}=VALUE" in done.stdout
        for name in ("capacity", "memory", "rcf", "text8", "parens", "arithmetic", "+rnn", "smoke"):
            assert name in done.stdout


# User errors.

TEXT8 = ("--task=text8", "--arch=gru")

#: Error -> (arguments, parts of the message).
MISTAKES = {
    "no task": (["--arch=gru"], ["--task", "parens"]),
    "task": (["--task=paren", "--arch=gru"], ["'paren'", "parens", "text8", "arithmetic"]),
    "no architecture": (["--task=parens"], ["arch"]),
    "architecture": (["--task=parens", "--arch=gur"], ["'gur'", "ugrnn", "+rnn"]),
    "flag": ([*PARENS, "--units=5"], ["units"]),
    "argument": ([*PARENS, "parens"], ["'parens'", "--help"]),
    "no number": ([*PARENS, "--depth=two"], ["--depth must be a whole number, got 'two'"]),
    "no switch": ([*PARENS, "--resume=runs/a"], ["--resume must be true or false, or the flag"]),
    "no whole number": ([*PARENS, "--num_params=1e4"], ["must be a whole number, got '1e4'"]),
    "resume nothing": (["--run_dir=nope", "--resume"], ["nope holds no run to resume", "--task"]),
    "gin not a number": (
        [*PARENS, "--gin_bindings=TrainConfig.lr_init = float('nan')"],
        ["gin: a value is a number, string"],
    ),
    "depth": ([*PARENS, "--depth=0"], ["depth", "0"]),
    "+rnn": (["--task=parens", "--arch=+rnn", "--depth=1"], ["+rnn", "depth 1", "depth 2"]),
    "budget": ([*PARENS, "--num_params=100"], ["100", "smallest", "--num_params"]),
    "steps": ([*PARENS, "--train_steps=0"], ["train_steps", "0"]),
    "batch": ([*PARENS, "--batch_size=-1"], ["batch_size", "-1"]),
    "seed": ([*PARENS, "--seed=-1"], ["seed", "-1"]),
    "profile": ([*PARENS, "--profile=big"], ["'big'", "smoke", "laptop", "paper"]),
    "gin file": ([*PARENS, "--gin_file=nowhere.gin"], ["nowhere.gin"]),
    "gin name": ([*PARENS, "--gin_bindings=TrainConfig.rate=1"], ["'rate'", "lr_init"]),
    "gin value": ([*PARENS, "--gin_bindings=TrainConfig.optimizer='x'"], ["'x'", "sgd", "adam"]),
    "gin syntax": ([*PARENS, "--gin_bindings=nonsense"], ["gin"]),
    "gin import": ([*PARENS, "--gin_bindings=import nowhere"], ["nowhere"]),
    "resume what": ([*PARENS, "--resume"], ["--resume", "--run_dir"]),
    "task option": (
        [*PARENS, "--gin_bindings=TrainConfig.task_options={'num_steps': 0}"],
        ["num_steps", "0"],
    ),
    "text8 for parens": ([*PARENS, "--text8_path=x"], ["--text8_path is for the task text8"]),
    "lengths": (
        ["--task=capacity", "--arch=gru", "--gin_bindings=TrainConfig.eval_lengths=(1,2)"],
        ["(1, 2)", "the length of the task capacity is fixed"],
    ),
    "no series": (["--task=series", "--arch=gru"], ["--series_path=FILE", ".csv", ".npy"]),
    "series for text8": ([*TEXT8, "--series_path=x"], ["--series_path is for the task series"]),
    "text8 source": ([*TEXT8, "--text8_source=book"], ["book", "pydoc"]),
    "text8 twice": ([*TEXT8, "--text8_source=pydoc", "--text8_path=x"], ["pydoc", "x"]),
    "missing text": ([*TEXT8, "--text8_path=nowhere"], ["nowhere", "--text8_source=pydoc"]),
    "directory as text": ([*TEXT8, "--text8_path=."], ["--text8_path=."]),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_is_one_line_and_writes_nothing(quick, what):
    arguments, parts = MISTAKES[what]
    assert_refused(quick(*arguments, fresh=what == "depth"), *parts)
    assert tree(quick.home) == {}
    assert not list(quick.home.iterdir())


WHOLE = gzip.compress(b"the quick brown fox jumps over a lazy dog " * 100)
TEXTS = {
    "empty": ("text", b"", ["empty"]),
    "truncated": ("text.gz", WHOLE[: len(WHOLE) // 2], ["gzip"]),
    "truncated zip": ("text.zip", b"PK\3\4" + b"\0" * 100, ["zip"]),
    "foreign": ("text", b"abc " * 1000 + b"A", ["0x41", "4,000"]),
    "short": ("text", b"abc " * 20, ["80 characters"]),
}


@pytest.mark.parametrize("what", TEXTS)
def test_an_invalid_text_is_one_line_and_writes_nothing(quick, what):
    name, content, parts = TEXTS[what]
    quick.home.mkdir()
    (quick.home / name).write_bytes(content)
    done = quick(*TEXT8, f"--text8_path={name}", "--run_dir=run")
    assert_refused(done, f"--text8_path={name}", *parts)
    assert tree(quick.home) == {name: content}
    assert not (quick.home / "run").exists()


def test_a_module_that_is_no_command_says_so(quick):
    assert_refused(quick(module="trainer.generate", fresh=True), "not a command", "trainer.show")


def test_a_profile_does_not_mix_with_the_settings_of_a_run(quick):
    quick.home.mkdir()
    (quick.home / "config.gin").write_text(
        "TrainConfig.task = 'memory'\nTrainConfig.arch = 'gru'\nTrainConfig.train_steps = 40\n"
    )
    done = quick("--gin_file=config.gin", "--profile=smoke", "--run_dir=run")
    assert_refused(done, "--profile does not apply to config.gin", "--train_steps")
    assert not (quick.home / "run").exists()


def test_an_unusable_run_directory_is_refused(quick):
    quick.home.mkdir()
    (quick.home / "file").write_text("mine")
    (quick.home / "full").mkdir()
    (quick.home / "full" / "thesis").write_text("mine")
    before = tree(quick.home)
    for path, part in (("file", "file"), ("file/run", "file/run"), ("full", "thesis")):
        for resume in ([], ["--resume"]):
            assert_refused(quick(*PARENS, f"--run_dir={path}", *resume), part, "--run_dir")
    assert tree(quick.home) == before


def test_an_invalid_record_is_refused(quick):
    run = quick.home / "run"
    run.mkdir(parents=True)
    for content in (b"", b"{", b"[]", b"{}", b'{"task": "parens"}', b"\xff\xfe"):
        (run / "record.json").write_bytes(content)
        assert_refused(quick(*PARENS, "--run_dir=run", "--resume"), "run/record.json")
        assert tree(quick.home) == {"run/record.json": content}
