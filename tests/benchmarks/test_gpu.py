"""The benchmark of one GPU: it keeps its time, survives failures, and runs without TensorFlow."""

import os
import signal
import subprocess
import sys
import tarfile
import time

import pytest
from on_backend import tensorflow_only
from processes import ROOT, environment, without_tensorflow
from slow import slow_except

from benchmarks.gpu import fleet, journal, tables
from benchmarks.gpu.__main__ import deadlines
from benchmarks.gpu.sections import SHARES

pytestmark = tensorflow_only


@pytest.fixture
def run(monkeypatch):
    """Run items of the toy section; return the lines that are written, and the seconds."""
    monkeypatch.setattr(fleet, "_PRELOADED", ())
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "benchmarks"))

    def run(items, seconds=60.0, workers=2, **options):
        lines, slow = [], options.pop("slow_compiler", 0.0)
        with fleet.Fleet(workers, slow) as processes:
            began = time.monotonic()
            processes.run(
                "toy_section", items, began + seconds, lambda **line: lines.append(line), **options
            )
            return lines, time.monotonic() - began

    return run


def test_items_are_prepared_side_by_side_and_measured_in_their_order(run):
    items = [{"name": "a", "compile": 0.6}, {"name": "b"}, {"name": "c"}]
    lines, _ = run(items)
    assert [line["name"] for line in lines] == ["a", "b", "c"]
    # b and c were ready, and waited, while a was prepared.
    assert lines[1]["waited"] > lines[0]["waited"] < lines[2]["waited"]
    assert all(line["seconds"] == fleet.MEASURING_SECONDS for line in lines)


def test_one_item_s_failure_is_a_line_and_the_rest_goes_on(run):
    items = [{"name": "a", "fails": True}, {"name": "b", "dies": True}, {"name": "c"}]
    found = {line["name"]: line for line in run(items)[0]}
    assert found["a"]["error"].startswith("MemoryError: no room for it (toy_section.py:")
    assert "exit code -6" in found["b"]["error"]
    assert "waited" in found["c"]


def test_what_a_dead_process_held_is_prepared_again(run):
    items = [{"name": "a"}, {"name": "b", "dies": True}, {"name": "c"}]
    lines, _ = run(items, workers=1)
    assert {line["name"]: "error" in line for line in lines} == {"a": False, "b": True, "c": False}


@pytest.mark.parametrize("parallel", slow_except([True], [False, True]))
def test_a_slow_compiler_takes_no_more_than_its_section_s_time(run, parallel):
    items = [{"name": str(number)} for number in range(6)]
    lines, seconds = run(items, seconds=3.0, slow_compiler=1.0, parallel=parallel)
    assert seconds < 3.5
    assert "0" in [line["name"] for line in lines if "waited" in line]
    assert {line["name"] for line in lines} == {item["name"] for item in items}
    assert any("time" in line.get("skipped", line.get("error", "")) for line in lines)


def test_sections_share_the_time_and_leave_what_they_spare_to_the_last():
    began = time.monotonic()
    given = {section: at - time.monotonic() for section, at in deadlines(list(SHARES), 540, began)}
    # No section has used any time, so that all but the last begin at once.
    assert given["trials"] == pytest.approx(120, abs=1)
    assert given["steps"] == pytest.approx(150, abs=1)
    assert given["evidence"] == pytest.approx(535, abs=1)
    assert sum(SHARES.values()) == 540 and SHARES["evidence"] >= 180
    half = dict(deadlines(["machine", "truth"], 270, time.monotonic()))
    assert half["machine"] - time.monotonic() == pytest.approx(10, abs=1)


def test_a_journal_is_read_without_a_line_that_was_cut(tmp_path):
    path = tmp_path / "results.jsonl"
    log = journal.Journal(path)
    log.write("trials", lanes=8, steps_per_second=1.5)
    log.write("trials", lanes=64)
    path.write_text(path.read_text() + '{"section": "tri')
    lines = journal.read(path)
    assert [line["lanes"] for line in lines] == [8, 64]
    assert lines[0]["steps_per_second"] == 1.5 and lines[0]["at"] >= 0


def test_tables_have_ratios_and_say_what_is_missing():
    trial = {"section": "trials", "task": "parens", "arch": "gru"}
    step = {"section": "steps", "task": "parens", "arch": "gru", "budget": 10}
    text = tables.markdown(
        [
            {**trial, "lanes": 64, "trials_per_hour": 5000.0},
            {**trial, "lanes": 1, "trials_per_hour": 50.0},
            {**step, "candidate": "ours_jax", "choice": "default", "steps_per_second": 30.0},
            {**step, "candidate": "jax", "choice": "default", "steps_per_second": 10.0},
            {**step, "candidate": "torch", "choice": "default", "error": "MemoryError: none"},
            {"section": "length", "num_steps": 5000, "skipped": "no time"},
        ]
    )
    assert "| parens | gru | 64 | 5,000 | 100 |" in text
    assert "Ours over jax: geometric mean 3.00, least 3.00." in text
    assert "- parens, gru, 10, torch, default: failed: MemoryError: none" in text
    assert "- 5000: skipped: no time" in text
    assert "evidence" not in text


def test_an_unknown_section_is_refused_with_the_choices(tmp_path):
    done = without_tensorflow(*COMMAND, f"--out={tmp_path}", "--sections=speed", cwd=ROOT)
    assert done.code == 2
    assert "unknown section 'speed'; choose among machine, truth" in done.stderr


COMMAND = ("-m", "benchmarks.gpu", "--smoke", "--workers=2")


@pytest.mark.slow
def test_a_small_run_leaves_figures_and_studies_that_are_read_like_any_other(tmp_path):
    sections = "--sections=machine,evidence"
    done = without_tensorflow(*COMMAND, "--minutes=8", sections, f"--out={tmp_path}", cwd=ROOT)
    assert done.code == 0, done.stderr
    lines = journal.read(tmp_path / "results.jsonl")
    assert not [line for line in lines if "error" in line or "skipped" in line]
    check(tmp_path, lines)


def check(path, lines):
    """A run's files, and the study of its section evidence."""
    from tuning.study.log import read

    (study,) = (line for line in lines if line["section"] == "evidence")
    assert (study["trials"], study["feasible"]) == (3, 3)
    assert {path.name for path in path.iterdir()} == {"results.jsonl", "table.md", "archive.tar.gz"}
    with tarfile.open(path / "archive.tar.gz") as archive:
        archive.extractall(path / "unpacked", filter="data")
    records, _ = read(path / "unpacked/artefacts/studies/capacity-rnn-300/trials.jsonl")
    assert len(records) == 3
    for record in records.values():
        assert (record.device, record.backend) == ("cpu", "jax")
        assert record.train_steps == record.steps_done == study["train_steps"]
        assert 2**record.input_dim >= 1000 * record.data["num_samples"]


@pytest.mark.slow
def test_all_sections_run_in_toy_size(tmp_path):
    done = without_tensorflow(*COMMAND, "--minutes=4", f"--out={tmp_path}", cwd=ROOT)
    assert done.code == 0, done.stderr
    lines = journal.read(tmp_path / "results.jsonl")
    assert {line["section"] for line in lines} == set(SHARES)
    wrong = [line for line in lines if "error" in line or "skipped" in line]
    assert not [line for line in wrong if line.get("candidate") != "torch"], wrong
    assert all(line["is_right"] for line in lines if line["section"] == "truth")
    (profile,) = (line for line in lines if line.get("candidate") == "profile")
    assert any(loop["trips"] == 175 for loop in profile["loops"])
    check(tmp_path, lines)


@pytest.mark.slow
@pytest.mark.parametrize("lines_before", [1, 4, 8])
@pytest.mark.parametrize("signal_", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_run_leaves_what_it_measured(tmp_path, lines_before, signal_):
    path = tmp_path / "results.jsonl"
    process = subprocess.Popen(
        [sys.executable, *COMMAND, "--minutes=8", f"--out={tmp_path}"],
        cwd=ROOT,
        env=environment(KERAS_BACKEND="jax"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while not path.exists() or path.read_text().count("\n") < lines_before:
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal_)
        process.wait(30)
        lines = journal.read(path)
        assert len(lines) >= lines_before and all(line["at"] > 0 for line in lines)
        if signal_ == signal.SIGTERM:
            assert tables.markdown(lines) == (tmp_path / "table.md").read_text()
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_the_wheels_are_named_with_their_versions():
    lines = (ROOT / "benchmarks" / "gpu" / "wheels.txt").read_text().splitlines()
    pinned = [line.split("==") for line in lines if not line.startswith("#")]
    assert all(len(pair) == 2 for pair in pinned)
    assert {"keras", "optree", "namex", "gin-config", "keras-tuner"} <= {name for name, _ in pinned}
