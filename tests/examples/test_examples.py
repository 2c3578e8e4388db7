"""Each example runs as its docstring says, with a good result."""

import re

import numpy as np
import pytest
from on_backend import tensorflow_only
from processes import QUICK, ROOT, python

pytestmark = tensorflow_only


def run(name, home, *arguments):
    """Run an example and return its output."""
    done = python(ROOT / "examples" / name, *arguments, cwd=home, **QUICK)
    assert done.code == 0, done.stderr
    assert "Traceback" not in done.stderr and not list(home.glob("*.py"))
    return done.stdout


def number(pattern, text):
    (found,) = re.findall(pattern.replace("#", r"([0-9.,]+[0-9])"), text)
    return float(found.replace(",", ""))


@pytest.mark.slow
def test_ugrnn_functional(tmp_path):
    printed = run("ugrnn_functional.py", tmp_path)
    assert number("accuracy # on new texts", printed) > 0.95
    assert "the loaded model's answers are equal\n" in printed


@pytest.mark.slow
def test_plus_rnn_own_data(tmp_path):
    printed = run("plus_rnn_own_data.py", tmp_path)
    assert number("# values streamed", printed) == 499
    error, guess = number("squared error #;", printed), number("the last value gives #", printed)
    assert error < guess / 2


@pytest.mark.slow
def test_plus_rnn_own_data_reads_a_file(tmp_path):
    """A triangle wave of 800 values, far from zero; the last 199 are predicted."""
    wave = 100 + np.abs(np.arange(800) % 20 - 10)
    (tmp_path / "mine.csv").write_text("\n".join(map(str, wave)))
    printed = run("plus_rnn_own_data.py", tmp_path, "--csv=mine.csv")
    assert number("# values streamed", printed) == 199
    assert number("squared error #;", printed) < number("the last value gives #", printed) / 2


@pytest.mark.slow
def test_custom_cell(tmp_path):
    printed = run("custom_cell.py", tmp_path)
    assert "layer: (2, 7, 16)\n" in printed
    assert number("parameters: # ", printed) == number("in advance: #", printed) > 0
    lanes = re.findall(r"a lane: lr (\S+), eval loss (\S+), chance (\S+)", printed)
    assert [lr for lr, _, _ in lanes] == ["0.01", "0.001"]
    assert all(0 < float(loss) < float(chance) for _, loss, chance in lanes)
    assert "architecture custom_cell.slow" in printed and "tuned: trial 0000" in printed


@pytest.mark.slow
def test_custom_cell_is_found_by_the_commands(tmp_path):
    """From the examples' directory, by its dotted name, as its docstring says."""
    arguments = ("-m", "trainer", "--task=memory", "--arch=custom_cell.slow", "--profile=smoke")
    done = python(*arguments, f"--run_dir={tmp_path}/run", cwd=ROOT / "examples", **QUICK)
    assert (done.code, done.stderr) == (0, "")
    assert "architecture custom_cell.slow" in done.stdout
    assert (tmp_path / "run/record.json").exists()


@pytest.mark.slow
def test_presets(tmp_path):
    printed = run("presets.py", tmp_path)
    assert "### parens/gru-10k" in printed and "| weights | SHA-256 `" in printed
    assert all(0 < float(loss) < 10 for loss in re.search("epoch: (.*)", printed)[1].split())
    assert float(re.search(r"stepper by at most (\S+) of the", printed)[1]) < 1e-5


@pytest.mark.slow
def test_tune_own_model(tmp_path):
    printed = run("tune_own_model.py", tmp_path)
    scores = [float(score) for score in re.findall(r"^val_loss (\S+)", printed, re.M)]
    assert scores == sorted(scores) and len(set(scores)) == 4
    assert scores[0] == number("best of 4 trials: #;", printed)
    assert scores[0] < number("variance of the answers: #", printed)
