"""Character prediction: windows located in the text, the loss in plain NumPy."""

import gzip
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from on_backend import to_numpy
from scipy import stats
from slow import slow_rows_except

from trainer.errors import UserError
from trainer.tasks import TASKS

LETTERS = " abcdefghijklmnopqrstuvwxyz"
SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "text8_first_6800000.gz"
T, WARMUP = 50, 13
UNLUCKY = 1e-4


@pytest.fixture(scope="module")
def task(text_file):
    return TASKS["text8"](path=text_file)


def windows(task, split, seed, batch_size, step=0):
    """The windows of T + 1 characters of a batch, as strings."""
    inputs, targets = to_numpy(tuple(task.sample(split, seed, batch_size, step)))
    shown = ["".join(LETTERS[code] for code in row) for row in inputs.argmax(-1)]
    asked = ["".join(LETTERS[code] for code in row) for row in targets]
    assert all(a[1:] == b[:-1] for a, b in zip(shown, asked, strict=True))
    return [a + b[-1] for a, b in zip(shown, asked, strict=True)]


def splits(text):
    n = len(text)
    return {
        "train": text[: n * 90 // 100],
        "valid": text[n * 90 // 100 : n * 95 // 100],
        "eval": text[n * 95 // 100 :],
    }


def test_sizes(task):
    assert (task.num_steps, task.input_dim, task.output_dim) == (T, 27, 27)
    assert range(T)[task.loss_steps] == range(13, 50)
    assert "".join(task.vocabulary) == LETTERS


def test_the_text_is_kept_as_one_byte_per_character(task, text):
    (codes,) = task.device_data.values()
    codes = to_numpy(codes)
    assert codes.dtype == np.uint8
    assert "".join(LETTERS[code] for code in codes) == text


@pytest.mark.parametrize(
    "split, num_batches",
    slow_rows_except([("eval", 4)], [("train", 40), ("valid", 4), ("eval", 4)]),
)
def test_every_window_of_a_split_is_drawn_equally_often_and_no_other(
    task, text, split, num_batches
):
    part = splits(text)[split]
    positions = {part[i : i + T + 1]: i for i in range(len(part) - T)}
    assert len(positions) == len(part) - T  # all windows are distinct
    drawn = Counter()
    for step in range(num_batches):
        drawn.update(positions[window] for window in windows(task, split, 2, 1000, step))
    counts = [drawn[position] for position in range(len(part) - T)]
    assert counts[0] > 0
    assert counts[-1] > 0
    assert stats.chisquare(counts).pvalue > UNLUCKY


def test_another_length_and_warm_up(text_file, text):
    task = TASKS["text8"](path=text_file, num_steps=7, warmup_steps=2)
    assert (task.num_steps, range(7)[task.loss_steps]) == (7, range(2, 7))
    assert all(len(w) == 8 and w in splits(text)["eval"] for w in windows(task, "eval", 0, 50))


def test_the_chance_loss_is_the_entropy_of_the_training_letters(task, text):
    counts = Counter(splits(text)["train"])
    total = sum(counts.values())
    entropy = -sum(n / total * math.log(n / total) for n in counts.values())
    assert task.chance_loss == pytest.approx(entropy, rel=1e-9)


def test_the_chance_loss_of_a_text_without_some_letters(tmp_path):
    (tmp_path / "text").write_text("ab" * 1500)
    assert TASKS["text8"](path=tmp_path / "text").chance_loss == pytest.approx(math.log(2))


@pytest.fixture(scope="module")
def answered(task):
    """A batch, random outputs, and the naive losses and hits (B, 37) of the scored steps."""
    batch = task.sample("valid", 5, 8)
    outputs = np.random.default_rng(1).normal(size=(8, T, 27)) * 3
    losses, hits = np.zeros((8, T)), np.zeros((8, T))
    for b in range(8):
        for t in range(T):
            logits = [float(z) for z in outputs[b, t]]
            code = int(batch.targets[b, t])
            losses[b, t] = math.log(sum(math.exp(z) for z in logits)) - logits[code]
            hits[b, t] = logits.index(max(logits)) == code
    return batch, outputs.astype("float32"), losses[:, WARMUP:], hits[:, WARMUP:]


@pytest.mark.parametrize("steps", [slice(None), slice(WARMUP, None)], ids=["all", "scored"])
def test_loss_and_metrics_are_the_naive_ones(task, answered, steps):
    batch, outputs, losses, hits = answered
    outputs = outputs[:, steps]
    assert float(task.loss(outputs, batch)) == pytest.approx(losses.mean(), rel=1e-5)
    metrics = to_numpy(task.metrics(outputs, batch))
    assert metrics.keys() == {"loss", "bits_per_character", "accuracy"}
    assert metrics["loss"] == pytest.approx(losses.mean(), rel=1e-5)
    assert metrics["bits_per_character"] == pytest.approx(losses.mean() / math.log(2), rel=1e-5)
    assert metrics["accuracy"] == pytest.approx(hits.mean(), rel=1e-6)
    assert task.objective(metrics) == metrics["loss"]


def test_uniform_predictions_have_loss_log_27(task, answered):
    outputs = np.zeros((8, T, 27), "float32")
    metrics = to_numpy(task.metrics(outputs, answered[0]))
    assert metrics["loss"] == pytest.approx(math.log(27), rel=1e-6)
    assert metrics["bits_per_character"] == pytest.approx(math.log2(27), rel=1e-6)


def test_an_example_is_a_window_of_the_text(task, text):
    batch = task.sample("valid", 0, 4)
    for index, window in enumerate(windows(task, "valid", 0, 4)):
        assert task.example(batch, index) == window
        assert window in splits(text)["valid"]


def test_the_record_names_the_text(task, text_file, text):
    said = task.describe()
    assert (said["name"], said["source"], said["size"]) == (text_file.name, "path", len(text))
    assert len(said["sha256"]) == 64


@pytest.mark.skipif(not SHARED.exists(), reason=f"{SHARED.name} is not beside the project")
def test_on_the_real_text():
    text = gzip.decompress(SHARED.read_bytes()).decode()
    task = TASKS["text8"](path=SHARED)
    counts = Counter(splits(text)["train"])
    total = sum(counts.values())
    entropy = -sum(n / total * math.log(n / total) for n in counts.values())
    assert task.chance_loss == pytest.approx(entropy, rel=1e-9)
    assert 2.8 < task.chance_loss < 2.9
    for split, part in splits(text).items():
        positions = [part.find(window) for window in windows(task, split, 1, 16)]
        assert min(positions) >= 0
        assert max(positions) > len(part) // 4


def test_a_text_is_named_by_a_text():
    for name, value in (("path", 7), ("path", ["a"]), ("source", 3), ("source", {})):
        with pytest.raises(UserError, match=f"{name} of text8 must be a string or None, got"):
            TASKS["text8"](**{name: value})


@pytest.mark.parametrize(
    "options, part",
    [
        ({"num_steps": 0}, "num_steps.*got 0"),
        ({"num_steps": 13}, "num_steps.*14, got 13"),
        ({"warmup_steps": 50}, "num_steps.*51, got 50"),
        ({"warmup_steps": -1}, "warmup_steps.*got -1"),
        ({"num_steps": "50"}, "num_steps.*'50'"),
    ],
)
def test_invalid_lengths_are_refused(text_file, options, part):
    with pytest.raises(UserError, match=part):
        TASKS["text8"](path=text_file, **options)
