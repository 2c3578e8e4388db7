"""SavedModels, loaded in processes without this project."""

import json
import shutil

import elsewhere
import numpy as np
import pytest
from on_backend import tensorflow_only
from random_runs import write_run
from slow import slow_except

from rnn_zoo.model import recurrent_cells
from trainer import TrainConfig, UserError
from trainer.export import export, load_model

pytestmark = tensorflow_only


#: Run -> its configuration.
RUNS = {
    "lstm": {"arch": "lstm"},
    "plus": {"arch": "+rnn", "gate_bias": {"gy": -0.5, "gh": 2.5}, "activation": "relu"},
}
#: Batch and time of the sequences.
SIZES = ((3, 12), (1, 5))

READER = """
import sys

import numpy as np
import tensorflow as tf

run = sys.argv[1]
model = tf.saved_model.load(run + "/saved_model")
inputs = np.load(run + "/inputs.npz")
signatures, answers = model.signatures, {}
assert set(signatures) == {"serving_default", "initial_state", "step"}
for name, sequence in inputs.items():
    x = tf.constant(sequence)
    answers[name] = signatures["serving_default"](inputs=x)["outputs"]
    states = signatures["initial_state"](batch_size=tf.constant(len(sequence)))
    answers.update({f"{name} {key}": value for key, value in states.items()})
    outputs = []
    for t in range(sequence.shape[1]):
        states = dict(signatures["step"](inputs=x[:, t], **states))
        outputs.append(states.pop("outputs"))
    answers[name + " by steps"] = tf.stack(outputs, axis=1)
    answers.update({f"{name} last {key}": value for key, value in states.items()})
np.savez(run + "/answers.npz", **answers)
"""


@pytest.fixture(scope="module", params=slow_except(["plus"], RUNS))
def exported(request, tmp_path_factory):
    """A run's directory, inputs, and the outputs of its SavedModel in another process."""
    home, nowhere = (tmp_path_factory.mktemp(name) for name in ("runs", "nowhere"))
    directory = home / request.param
    inputs = {
        f"{b}x{t}": np.random.default_rng(b).normal(size=(b, t, 300)).astype("float32")
        for b, t in SIZES
    }
    budget = {"task": "parens", "depth": 2, "num_params": 6000}
    write_run(directory, TrainConfig(**budget, **RUNS[request.param]))
    assert export(directory) == directory / "saved_model"
    np.savez(directory / "inputs.npz", **inputs)
    elsewhere.run(READER, directory, cwd=nowhere, hidden=("jax", "torch"))
    return directory, inputs, dict(np.load(directory / "answers.npz"))


def test_a_sequence_is_answered_as_by_the_keras_model(exported):
    directory, inputs, answers = exported
    model, record = load_model(directory)
    assert (record.depth, record.status) == (2, "interrupted")
    for size, sequence in inputs.items():
        expected = model(sequence).numpy()
        assert expected.shape == (*sequence.shape[:2], 100)
        assert np.abs(expected).max() > 0.1
        np.testing.assert_allclose(answers[size], expected, atol=1e-5)


def test_step_by_step_is_the_sequence(exported):
    _, inputs, answers = exported
    for size in inputs:
        np.testing.assert_allclose(answers[size + " by steps"], answers[size], atol=1e-5)


def test_the_initial_states_are_the_learned_ones(exported):
    directory, _, answers = exported
    model, record = load_model(directory)
    for index, cell in enumerate(recurrent_cells(model)):
        for state, learned in zip(cell.state_names, cell.initial_state, strict=True):
            assert np.abs(learned).max() > 0
            for b, t in SIZES:
                start = answers[f"{b}x{t} layer_{index}_{state}"]
                np.testing.assert_array_equal(start, np.tile(learned, (b, 1)))
                assert not np.array_equal(start, answers[f"{b}x{t} last layer_{index}_{state}"])
    assert len(recurrent_cells(model)) == 2
    assert record.units == recurrent_cells(model)[0].units


def test_the_hyperparameters_of_the_cells_are_those_of_the_run(tmp_path):
    write_run(tmp_path, TrainConfig("parens", depth=2, num_params=6000, **RUNS["plus"]))
    model, _ = load_model(tmp_path)
    by_gate = {"gy": -0.5, "gh": 2.5}
    assert json.loads((tmp_path / "record.json").read_text())["config"]["gate_bias"] == by_gate
    for cell in recurrent_cells(model):
        assert cell.gate_bias == by_gate
        assert cell.activation.__name__ == "relu"


@pytest.mark.slow  # test_export_formats.py replaces directories
def test_an_export_replaces_the_one_before_and_leaves_nothing_else(exported):
    directory = exported[0]
    before = sorted(path.name for path in directory.iterdir())
    model = directory / "saved_model/saved_model.pb"
    model.write_text("old")
    (directory / ".saved_model.partial").mkdir()
    export(directory)
    assert sorted(path.name for path in directory.iterdir()) == before
    assert model.read_bytes() != b"old"


def test_a_run_without_a_whole_checkpoint_is_refused(exported, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(exported[0], run)
    (path,) = (run / "checkpoints").iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    before = sorted(run.rglob("*"))
    with pytest.raises(UserError, match=r"no readable checkpoint.*step-0000000000"):
        export(run)
    path.unlink()
    with pytest.raises(UserError, match="no readable checkpoint"):
        export(run)
    assert sorted([*run.rglob("*"), path]) == before
    with pytest.raises(UserError, match=r"no run.*record\.json"):
        export(tmp_path)
