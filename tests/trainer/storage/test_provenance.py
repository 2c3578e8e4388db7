"""Where, when and by which command a run was made."""

import os
import subprocess

import numpy as np
import pytest

import trainer
from trainer import names
from trainer.storage import provenance


@pytest.mark.parametrize(
    "program, arguments, expected",
    [
        (f"{trainer.__path__[0]}/__main__.py", ["--task=rcf"], "python -m trainer --task=rcf"),
        (f"{trainer.__path__[0]}/cli/main.py", [], "python -m trainer.cli.main"),
        ("/home/me/bin/rnn-zoo-train", ["--arch=+rnn"], "rnn-zoo-train --arch=+rnn"),
        ("/home/me/mine.py", ["two words"], "python mine.py 'two words'"),
        ("-c", [], "-c"),
        ("-c", [os.fsdecode(b"\xff")], r"-c '\udcff'"),
    ],
)
def test_the_command_is_written_as_it_was_typed(program, arguments, expected):
    assert provenance.command([program, *arguments]) == expected


def test_a_command_in_a_package_s_directory_has_an_end(tmp_path, monkeypatch):
    (tmp_path / "__init__.py").touch()
    monkeypatch.chdir(tmp_path)
    assert provenance.command(["-c"]) == "-c"
    assert provenance.command(["mine.py", "a"]) == "python mine.py a"


@pytest.fixture
def git(tmp_path):
    """Run git in `tmp_path`."""
    author = ("-c", "user.name=a", "-c", "user.email=a@b")

    def run(*arguments):
        done = subprocess.run(
            ["git", *author, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    return run


def test_the_commit_is_that_of_the_directory(git, tmp_path):
    assert provenance.commit(tmp_path) is None
    git("init")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-m", "a")
    head = git("rev-parse", "HEAD")
    assert provenance.commit(tmp_path) == head
    (tmp_path / "a").write_text("2")
    assert provenance.commit(tmp_path) == f"{head}-dirty"


def test_git_does_not_run_programs_of_a_directory_that_is_only_looked_at(
    git, tmp_path, monkeypatch
):
    git("init")
    (tmp_path / ".gitattributes").write_text("* filter=x\n")
    (tmp_path / "a").write_text("1")
    git("add", "-A")
    git("commit", "-m", "a")
    git("config", "filter.x.clean", "touch trace; cat")
    (tmp_path / "a").write_text("2")
    monkeypatch.setattr(names, "_looked_at", [])
    names.look_at([tmp_path])
    (tmp_path / "below").mkdir()
    assert provenance.commit(tmp_path) is provenance.commit(tmp_path / "below") is None
    assert not (tmp_path / "trace").exists()


def test_peak_memory_is_that_of_the_gpu_or_of_the_process():
    assert provenance.peak_memory(3 * 2**20) == 3
    before = provenance.peak_memory(None)
    held = np.ones(400 * 2**20, np.uint8)
    during = provenance.peak_memory(None)
    del held
    # Linux adds up the pages of threads in batches, so that a peak may seem to fall a little.
    slack = 16
    assert during >= max(before, 400) - slack
    assert provenance.peak_memory(None) >= during - slack
    assert before > 0
