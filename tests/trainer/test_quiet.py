"""From Python, the trainer prints its own lines and none of its libraries'."""

import logging

import pytest
from processes import python

import trainer.program  # noqa: F401 - which sets the filter

SCRIPT = """
import os

os.environ.pop("TF_CPP_MIN_LOG_LEVEL")
import trainer

config = trainer.TrainConfig(
    "memory", "rnn", num_params=300, train_steps=1, batch_size=2, eval_samples=2,
    task_options={"delay": 1, "dimensions": 2},
)
record = trainer.train(config, "run")
assert record.steps_done == 1
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_a_plain_script_prints_no_line_of_tensorflow(backend, tmp_path):
    done = python("-c", SCRIPT, cwd=tmp_path, KERAS_BACKEND=backend)
    assert (done.code, done.stderr) == (0, "")
    assert "1 step in" in done.stdout


@pytest.mark.parametrize(
    "text, is_shown", [("out of the last 14 calls to f triggered", 0), ("x", 1)]
)
def test_warnings_about_retracing_are_dropped_wherever_keras_was_imported(text, is_shown):
    logger = logging.getLogger("tensorflow")
    text = f"5 {text} tf.function retracing. Tracing is expensive."
    record = logger.makeRecord("tensorflow", logging.WARNING, "", 0, text, (), None)
    assert bool(logger.filter(record)) == is_shown
