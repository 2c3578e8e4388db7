"""On JAX nothing needs TensorFlow: everything works where it is not installed, or says why not."""

import csv
import json

import pytest
from on_backend import tensorflow_only
from processes import commands_without_tensorflow, without_tensorflow

pytestmark = tensorflow_only

SMALL = "--gin_bindings=TrainConfig.num_params = 500"
IN_PYTHON = """
import keras, numpy as np, rnn_zoo, trainer
from trainer.lanes import train_lanes
from trainer.trial import Trial

layer = rnn_zoo.layers.LSTM(4, return_sequences=True)
cell = keras.layers.RNN(rnn_zoo.UGRNNCell(3))
model = keras.Sequential([keras.Input((5, 2)), layer, cell])
model.compile("adam", "mse")
x, y = np.ones((8, 5, 2)), np.zeros((8, 3))
losses = model.fit(x, y, epochs=3, verbose=0).history["loss"]
assert losses[-1] < losses[0], losses
model.save("model.keras")
copy = keras.models.load_model("model.keras")
np.testing.assert_array_equal(copy.predict(x, verbose=0), model.predict(x, verbose=0))
configs = [
    trainer.TrainConfig("capacity", "gru", num_params=300, train_steps=20, lr_init=lr)
    for lr in (0.1, 0.01)
]
records = [record for _, record, _ in train_lanes(map(Trial, configs), 2)]
assert [record.status for record in records] == ["ok", "ok"]
stepper = rnn_zoo.build_model("gru", 1, 4, 2, 3).stepper()
assert stepper(np.ones((1, 2))).shape == (1, 3)
try:
    trainer.tasks.TASKS["memory"]().dataset("train", 2)
except Exception as error:
    print(error)
"""


@pytest.fixture(scope="module")
def run_directory(tmp_path_factory):
    """The directory of a run, and how the commands on it ended, by their module."""
    where = tmp_path_factory.mktemp("jax")
    small = ("--task=arithmetic", "--arch=rnn", "--profile=smoke")
    commands = [
        ("trainer", *small, "--run_dir=run"),
        ("trainer.show", "--run_dir=run", "--num=1"),
        ("trainer.quantize", "--run_dir=run", "--bits=4", "--granularity=row"),
        ("trainer.export", "--run_dir=run"),
    ]
    done = commands_without_tensorflow(*commands, cwd=where)
    return where / "run", dict(zip((module for module, *_ in commands), done, strict=True))


def test_training_leaves_a_record_a_curve_and_events(run_directory):
    path, done = run_directory
    assert done["trainer"].code == 0, done["trainer"].stderr
    record = json.loads((path / "record.json").read_text())
    assert record["backend"] == "jax"
    assert record["status"] == "ok"
    assert record["eval_loss"] > 0
    assert (path / "curves.png").stat().st_size > 1000
    assert list(path.rglob("events.out.tfevents.*"))


def test_a_run_is_shown_with_its_answers(run_directory):
    done = run_directory[1]["trainer.show"]
    assert (done.code, done.stderr) == (0, "")
    assert "architecture rnn" in done.stdout and "predicted" in done.stdout


@pytest.mark.slow
def test_resuming_a_finished_run_does_nothing(run_directory):
    path, _ = run_directory
    before = (path / "record.json").read_bytes()
    done = without_tensorflow("-m", "trainer", "--resume", f"--run_dir={path}", cwd=path)
    assert done.code == 0, done.stderr
    assert (path / "record.json").read_bytes() == before


def test_a_run_is_measured_again_with_fewer_bits(run_directory):
    path, done = run_directory
    done = done["trainer.quantize"]
    assert (done.code, done.stderr) == (0, "")
    with open(path / "quantized" / "losses.csv") as file:
        unchanged, rounded = csv.DictReader(file)
    loss = json.loads((path / "record.json").read_text())["eval_loss"]
    assert float(unchanged["loss"]) == loss != float(rounded["loss"])
    assert f"{float(rounded['loss']):.4f}" in done.stdout
    names = {path.name for path in (path / "quantized").iterdir()}
    assert names == {"losses.csv", "losses.png", "4bit_row.safetensors"}


def test_a_saved_model_needs_it_and_says_so(run_directory):
    done = run_directory[1]["trainer.export"]
    assert done.code == 2
    assert done.stderr.count("\n") == 1
    assert "tensorflow" in done.stderr


def test_layers_lanes_and_steppers_work_and_a_pipeline_says_what_it_needs(tmp_path):
    done = without_tensorflow("-c", IN_PYTHON, cwd=tmp_path)
    assert done.code == 0, done.stderr
    assert "needs KERAS_BACKEND=tensorflow" in done.stdout


@pytest.mark.slow
def test_a_search_works(tmp_path):
    # A sweep and its report are made without TensorFlow in tests/tuning/report/test_cli.py.
    flags = ("--task=capacity", "--arch=rnn", "--profile=smoke", SMALL, "--num_trials=2")
    done = without_tensorflow("-m", "tuning", *flags, "--study_dir=study", cwd=tmp_path)
    assert done.code == 0, done.stderr
    assert "2 trials, 0 infeasible" in done.stdout
    assert "python -m trainer.export" in done.stdout
