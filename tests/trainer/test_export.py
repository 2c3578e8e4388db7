"""SavedModels, loaded where this project is not to be had."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from processes import KILL_AT, SMALL, environment

from rnn_zoo.model import recurrent_cells
from trainer.export import load_model

#: Run -> arguments beyond those of a small training.
RUNS = {
    "lstm": ("--arch=lstm", "--depth=2"),
    "plus": (
        "--arch=+rnn",
        "--depth=2",
        "--gin_bindings=TrainConfig.gate_bias = 2.5",
        "--gin_bindings=TrainConfig.activation = 'relu'",
    ),
}
#: Batch and time of the sequences.
SIZES = ((3, 12), (1, 5))

READER = """
import sys, json

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("rnn_zoo", "trainer", "gin_configs"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
try:
    import rnn_zoo
except ModuleNotFoundError:
    pass
else:
    raise SystemExit("the project is here")

import numpy as np
import tensorflow as tf

for run in sys.argv[1:]:
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
assert not {"rnn_zoo", "trainer"} & set(sys.modules)
"""


@pytest.fixture(scope="module")
def exported(warm, tmp_path_factory):
    """Run -> (its directory, the inputs asked, the answers of its SavedModel elsewhere)."""
    home, elsewhere = (tmp_path_factory.mktemp(name) for name in ("runs", "elsewhere"))
    inputs = {
        f"{b}x{t}": np.random.default_rng(b).normal(size=(b, t, 300)).astype("float32")
        for b, t in SIZES
    }
    for name, arguments in RUNS.items():
        # A run that was killed after its first checkpoint: the newest checkpoint is all it takes.
        killed = "import trainer.loop; trainer.loop.CHECKPOINT_SECONDS = 0.0\n"
        killed += KILL_AT.format(name="step-", count=1, before=False)
        steps = ("--train_steps=1000", f"--run_dir={name}")
        done = warm.run("trainer", *SMALL, *arguments, *steps, cwd=home, before=killed)
        assert done.code == -signal.SIGKILL, done.stderr
        done = warm.run("trainer.export", f"--run_dir={name}", cwd=home)
        assert done.code == 0, done.stderr
        assert done.stdout == f"exported {name}/saved_model\n"
        np.savez(home / name / "inputs.npz", **inputs)
    done = subprocess.run(
        [sys.executable, "-c", READER, *(str(home / name) for name in RUNS)],
        cwd=elsewhere,
        env={k: v for k, v in environment().items() if k != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {
        name: (home / name, inputs, dict(np.load(home / name / "answers.npz"))) for name in RUNS
    }


@pytest.mark.parametrize("name", RUNS)
def test_a_sequence_is_answered_as_by_the_keras_model(exported, name):
    directory, inputs, answers = exported[name]
    model, record = load_model(directory)
    assert (record.depth, record.status) == (2, "interrupted")
    for size, sequence in inputs.items():
        expected = model(sequence).numpy()
        assert expected.shape == (*sequence.shape[:2], 100)
        assert np.abs(expected).max() > 0.1
        np.testing.assert_allclose(answers[size], expected, atol=1e-5)


@pytest.mark.parametrize("name", RUNS)
def test_step_by_step_is_the_sequence(exported, name):
    _, inputs, answers = exported[name]
    for size in inputs:
        np.testing.assert_allclose(answers[size + " by steps"], answers[size], atol=1e-5)


@pytest.mark.parametrize("name", RUNS)
def test_the_initial_states_are_the_learned_ones(exported, name):
    directory, _, answers = exported[name]
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


def test_the_hyperparameters_of_the_cells_are_those_of_the_run(exported):
    model, _ = load_model(exported["plus"][0])
    config = json.loads((exported["plus"][0] / "record.json").read_text())["config"]
    assert config["gate_bias"] == 2.5
    for cell in recurrent_cells(model):
        assert cell.gate_bias[1] == 2.5
        assert cell.activation.__name__ == "relu"


def test_an_export_replaces_the_one_before_and_leaves_nothing_else(warm, exported):
    directory = exported["lstm"][0]
    before = sorted(path.name for path in directory.iterdir())
    (directory / "saved_model" / "old").write_text("")
    (directory / ".saved_model.partial").mkdir()
    assert warm.run("trainer.export", f"--run_dir={directory}", cwd=directory).code == 0
    assert sorted(path.name for path in directory.iterdir()) == before
    assert not (directory / "saved_model" / "old").exists()


def test_what_cannot_be_exported_is_said_in_one_line(warm, exported, tmp_path):
    for arguments, part in (
        ([], "--run_dir"),
        (["--run_dir=nowhere"], "nowhere"),
        (["--run_dir=."], "record.json"),
    ):
        done = warm.run("trainer.export", *arguments, cwd=tmp_path)
        assert done.code == 2
        assert done.stderr.count("\n") == 1
        assert part in done.stderr
    (tmp_path / "record.json").write_bytes((exported["lstm"][0] / "record.json").read_bytes())
    done = warm.run("trainer.export", "--run_dir=.", cwd=tmp_path)
    assert done.code == 2
    assert "no readable checkpoint" in done.stderr
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]
