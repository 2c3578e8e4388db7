"""Reports that are rebuilt whenever their runs change."""

import json
import pathlib
import time

import pytest

from trainer.display.progress import Display
from trainer.errors import UserError
from tuning.report import watch
from tuning.report.build import NoRuns


@pytest.fixture
def steps(monkeypatch):
    """A list of functions, each of which runs in place of a pause; then Ctrl-C is pressed."""
    steps = []

    def sleep(seconds):
        assert seconds == 10
        if not steps:
            raise KeyboardInterrupt
        steps.pop(0)()

    monkeypatch.setattr(time, "sleep", sleep)
    return steps


def version(out):
    text = (out / "version.js").read_text()
    return json.loads(text.removeprefix("reportVersion(").removesuffix(");\n"))


def test_a_report_is_rebuilt_only_when_records_change(tmp_path, steps, capsys):
    runs, out, made, announced = tmp_path / "runs", tmp_path / "out", [], []
    study = runs / "sweep/studies/s"
    study.mkdir(parents=True)

    def make(display, version):
        if not (study / "trials.jsonl").exists():
            raise NoRuns("nothing yet")
        out.mkdir(exist_ok=True)
        made.append(version)
        display.say("same line")

    def trial():
        assert not made and not out.exists()
        (study / "trials.jsonl").write_text("{}\n")

    def notice():
        announced.append(version(out))

    def another():
        with open(study / "trials.jsonl", "a") as file:
            file.write("{}\n")

    def rerun():
        (study / "reruns.jsonl").write_text("{}\n")

    def other_files():
        (study / "lease").write_text("1")
        (study / "00000").mkdir()
        (study / "00000/record.json").write_text("{}")

    steps += [lambda: None, trial, notice, another, notice, other_files, rerun, notice]
    watch.run(runs, out, make, Display(), 10)
    assert len(set(made)) == len(made) == 3
    assert announced == made
    assert version(out) == ""
    printed = capsys.readouterr().out
    assert printed.count("waiting: nothing yet") == printed.count("same line") == 1


def test_a_log_that_vanishes_meanwhile_is_one_that_is_not_there(tmp_path, monkeypatch):
    (tmp_path / "trials.jsonl").write_text("{}\n")
    full = watch.fingerprint(tmp_path)
    found = [(tmp_path, ["trials.jsonl", "gone.jsonl"])]
    monkeypatch.setattr(watch.log, "record_files", lambda _: found)
    monkeypatch.setattr(pathlib.Path, "exists", lambda _: True)  # a moment before
    assert watch.fingerprint(tmp_path) == full


def test_other_errors_end_it(tmp_path, steps):
    def make(display, version):
        raise UserError("unknown figure 9z")

    with pytest.raises(UserError, match="9z"):
        watch.run(tmp_path, tmp_path / "out", make, Display(), 10)
    assert not (tmp_path / "out").exists()
