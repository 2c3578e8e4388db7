"""On JAX nothing needs TensorFlow: everything works where it is not installed, or says why not."""

import csv
import json

import pytest
from on_backend import tensorflow_only
from processes import without_tensorflow


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The directory of a run that was trained without TensorFlow."""
    where = tmp_path_factory.mktemp("jax")
    done = without_tensorflow(
        "trainer", "--task=arithmetic", "--arch=rnn", "--profile=smoke", "--run_dir=run", cwd=where
    )
    assert done.code == 0, done.stderr
    return where / "run"


@tensorflow_only
def test_training_leaves_a_record_a_curve_and_events(trained):
    record = json.loads((trained / "record.json").read_text())
    assert record["backend"] == "jax"
    assert record["status"] == "ok"
    assert record["eval_loss"] > 0
    assert (trained / "curves.png").stat().st_size > 1000
    assert list(trained.rglob("events.out.tfevents.*"))


@tensorflow_only
@pytest.mark.slow
def test_resuming_a_finished_run_does_nothing(trained):
    before = (trained / "record.json").read_bytes()
    done = without_tensorflow("trainer", "--resume", f"--run_dir={trained}", cwd=trained)
    assert done.code == 0, done.stderr
    assert (trained / "record.json").read_bytes() == before


@tensorflow_only
@pytest.mark.slow
def test_a_run_is_measured_again_with_fewer_bits(trained):
    flags = (f"--run_dir={trained}", "--bits=4", "--granularity=row")
    done = without_tensorflow("trainer.quantize", *flags, cwd=trained)
    assert (done.code, done.stderr) == (0, "")
    with open(trained / "quantized" / "losses.csv") as file:
        unchanged, rounded = csv.DictReader(file)
    loss = json.loads((trained / "record.json").read_text())["eval_loss"]
    assert float(unchanged["loss"]) == loss != float(rounded["loss"])
    assert f"{float(rounded['loss']):.4f}" in done.stdout
    names = {path.name for path in (trained / "quantized").iterdir()}
    assert names == {"losses.csv", "losses.png", "4bit_row.safetensors"}


@tensorflow_only
@pytest.mark.slow
def test_a_saved_model_needs_it_and_says_so(trained):
    done = without_tensorflow("trainer.export", f"--run_dir={trained}", cwd=trained)
    assert done.code == 2
    assert done.stderr.count("\n") == 1
    assert "tensorflow" in done.stderr


@tensorflow_only
def test_a_tf_data_pipeline_needs_it_and_says_so(tmp_path):
    then = "from trainer.tasks import TASKS; TASKS['memory']().dataset('train', 2)"
    done = without_tensorflow(cwd=tmp_path, then=then)
    assert done.code == 1
    assert "needs KERAS_BACKEND=tensorflow" in done.stderr
