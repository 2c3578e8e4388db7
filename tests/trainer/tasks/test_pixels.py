"""Digits and MNIST: splits, order of the pixels, and metrics, from the images themselves."""

import dataclasses
import math
import sys

import numpy as np
import pytest
from on_backend import tensorflow_only, to_numpy
from sklearn.datasets import load_digits

from rnn_zoo.model import build_model, set_weights
from trainer import TrainConfig
from trainer.errors import UserError
from trainer.evaluation import Evaluator
from trainer.lanes import train_lanes
from trainer.tasks import TASKS, mnist
from trainer.tasks.digits import Digits
from trainer.tasks.mnist import MNIST
from trainer.trial import Trial

SIZES = {"train": 1197, "valid": 300, "eval": 300}


@pytest.fixture(scope="module")
def digits():
    return Digits()


@pytest.fixture(scope="module")
def images():
    return load_digits(return_X_y=True)


def drawn(task, split, size, seed=0, step=0):
    """The images (B, T) and labels (B,) of a batch."""
    inputs, targets = to_numpy(tuple(task.sample(split, seed, size, step)))
    assert (targets == targets[:, :1]).all()
    return inputs[..., 0], targets[:, 0]


def test_valid_and_eval_have_each_image_once_and_in_order(digits, images):
    pixels, labels = images
    for split, first in (("valid", 1197), ("eval", 1497)):
        for size, number in ((300, 1), (60, 5)):
            batches = [drawn(digits, split, size, step, step) for step in range(number)]
            x, y = map(np.concatenate, zip(*batches, strict=True))
            np.testing.assert_array_equal(x, pixels[first : first + 300] / 16)
            np.testing.assert_array_equal(y, labels[first : first + 300])
    again, _ = drawn(digits, "eval", 60, step=5)  # starts again
    np.testing.assert_array_equal(again, pixels[1497:1557] / 16)


def test_training_draws_every_image_and_no_other(digits, images):
    pixels, _ = images
    known = {(x / 16).astype("float32").tobytes(): y for x, y in zip(*images, strict=True)}
    x, y = drawn(digits, "train", 12_000)
    assert [known[row.tobytes()] for row in x] == y.tolist()
    trained = {(row / 16).astype("float32").tobytes() for row in pixels[:1197]}
    assert {row.tobytes() for row in x} == trained
    assert len(pixels) == sum(SIZES.values()) and digits.splits["eval"][1] == len(pixels)


def test_every_split_has_all_digits_about_equally_often(digits, images):
    for first, stop in digits.splits.values():
        shares = np.bincount(images[1][first:stop], minlength=10) / (stop - first)
        assert shares.min() > 0.08 and shares.max() < 0.12
        entropy = -np.sum(shares * np.log(shares))
        assert entropy == pytest.approx(digits.chance_loss, rel=0.01)
    assert digits.chance_loss == math.log(10)


def test_permuted_pixels_have_one_order(digits):
    x, y = drawn(digits, "eval", 50)
    for seed in (0, 1):
        permuted, labels = drawn(Digits(permuted=True, permutation_seed=seed), "eval", 50)
        order = np.random.RandomState(seed).permutation(64)
        np.testing.assert_array_equal(permuted, x[:, order])
        np.testing.assert_array_equal(labels, y)


def test_an_example_is_a_drawing_in_the_order_of_the_image():
    plain, permuted = Digits(), Digits(permuted=True)
    texts = [task.example(task.sample("eval", 0, 3), 2) for task in (plain, permuted)]
    assert texts[0] == texts[1]
    *rows, label = texts[0].split("\n")
    image = load_digits().images[1499]
    assert label == f"digit {load_digits().target[1499]}" and len(rows) == 8
    shown = np.array([[" .:-=+*#%@".index(c) for c in row.ljust(8)] for row in rows])
    np.testing.assert_array_equal(shown, np.round(image * 9 / 16))


def test_the_accuracy_counts_the_last_step(digits):
    batch, rng = digits.sample("eval", 0, 40), np.random.default_rng(0)
    outputs = rng.normal(size=(40, 64, 10)).astype("float32")
    metrics = to_numpy(digits.metrics(outputs, batch))
    labels = to_numpy(batch.targets)[:, -1]
    assert metrics["accuracy"] == pytest.approx(np.mean(outputs[:, -1].argmax(-1) == labels))
    logits = outputs[:, -1].astype("float64")
    losses = np.log(np.exp(logits).sum(-1)) - logits[np.arange(40), labels]
    assert metrics["loss"] == pytest.approx(losses.mean(), rel=1e-5)
    answer = digits.answer(batch, 3, outputs)
    assert f"predicted {outputs[3, -1].argmax()}" in answer


@pytest.mark.parametrize("split", ["valid", "eval", "train"])
@pytest.mark.parametrize("at_once", [None, 7])
def test_no_image_is_measured_twice(digits, images, split, at_once, monkeypatch):
    """On the splits that are read in order; training draws its images again and again."""
    if at_once:  # which do not divide 300, as where states are wide
        monkeypatch.setattr("trainer.program.EVALUATION_NUMBERS", 64 * at_once)
        monkeypatch.setattr("trainer.trial.kept_programs", {})
    config = TrainConfig("digits", "rnn", num_params=300, train_steps=2)
    assert config.eval_samples == 4096
    trial = Trial(config)
    weights = trial.random_weights()
    model = build_model("rnn", 1, trial.units, 1, 10, seed=0)
    set_weights(model, weights)
    first, stop = digits.splits[split]
    labels = images[1][first:stop]
    logits = to_numpy(model((images[0][first:stop] / 16).astype("float32")[..., None]))[:, -1]
    losses = np.log(np.exp(logits).sum(-1)) - logits[np.arange(len(labels)), labels]
    found = Evaluator(trial)(weights, split)["loss"]
    is_whole = found == pytest.approx(float(losses.mean()), rel=1e-5)
    assert is_whole == (split != "train")
    fewer = Evaluator(Trial(dataclasses.replace(config, eval_samples=10)))(weights, split)["loss"]
    assert (fewer == pytest.approx(float(losses[:10].mean()), rel=1e-5)) == (split != "train")


@pytest.mark.parametrize("options", [{"permuted": 1}, {"permutation_seed": -1}])
def test_wrong_options_are_refused(options):
    with pytest.raises(UserError, match=next(iter(options))):
        Digits(**options)


def test_missing_scikit_learn_is_one_line(monkeypatch):
    from trainer.tasks import digits

    monkeypatch.setitem(__import__("sys").modules, "sklearn.datasets", None)
    digits._load.cache_clear()
    with pytest.raises(UserError, match=r"needs scikit-learn: pip install 'rnn-zoo\[lab\]'"):
        TASKS["digits"]()


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """A data directory with few images in the form of TFDS's mnist; and the images."""
    tfds = pytest.importorskip("tensorflow_datasets")
    import tensorflow as tf

    path, rng = tmp_path_factory.mktemp("tfds"), np.random.default_rng(0)
    parts = {
        split: {
            "image": rng.integers(0, 256, (size, 28, 28, 1), "uint8"),
            "label": rng.integers(0, 10, size),
        }
        for split, size in (("train", 48), ("test", 20))
    }
    tfds.dataset_builders.store_as_tfds_dataset(
        name="mnist",
        version="3.0.1",
        features=tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(28, 28, 1)),
                "label": tfds.features.ClassLabel(num_classes=10),
            }
        ),
        split_datasets={
            name: tf.data.Dataset.from_tensor_slices(part) for name, part in parts.items()
        },
        data_dir=str(path),
        disable_shuffling=True,
    )
    return str(path), parts


@tensorflow_only
def test_mnist_is_read_from_a_data_directory(local):
    path, parts = local
    task = MNIST(path)
    assert task.num_steps == 784
    assert task.splits == {"train": (0, 44), "valid": (44, 48), "eval": (48, 68)}
    x, y = drawn(task, "eval", 20)
    np.testing.assert_allclose(x, parts["test"]["image"].reshape(20, 784) / 255, atol=1e-6)
    np.testing.assert_array_equal(y, parts["test"]["label"])
    x, _ = drawn(task, "valid", 4)
    np.testing.assert_allclose(x, parts["train"]["image"][44:].reshape(4, 784) / 255, atol=1e-6)
    permuted, _ = drawn(MNIST(path, permuted=True), "valid", 4)
    np.testing.assert_allclose(permuted, x[:, np.random.RandomState(0).permutation(784)])
    assert task.describe()["size"] == 68
    assert len(task.describe()["sha256"]) == 64
    assert len(task.example(task.sample("eval", 0, 1), 0).split("\n")) == 29


@tensorflow_only
@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda parts: parts.pop("test"), "KeyError: 'test'"),
        (lambda parts: parts["train"]["label"].fill(12), "are not those of digits"),
    ],
)
def test_other_data_than_mnist_are_one_line(local, monkeypatch, damage, words):
    import tensorflow_datasets as tfds

    parts = {name: {k: v.copy() for k, v in part.items()} for name, part in local[1].items()}
    damage(parts)
    monkeypatch.setattr(tfds, "load", lambda *_, **__: parts)
    monkeypatch.setattr(tfds, "as_numpy", lambda found: found)
    mnist._load.cache_clear()
    with pytest.raises(UserError, match=rf"no MNIST in {local[0]} \(.*{words}.*remove what"):
        MNIST(local[0])


@tensorflow_only
def test_missing_mnist_is_one_line(tmp_path):
    with pytest.raises(
        UserError, match=f"no MNIST in {tmp_path}.*or give --mnist_path=DIR"
    ) as caught:
        MNIST(str(tmp_path))
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="path of mnist must be a string or None, got 3"):
        MNIST(3)


def test_mnist_of_another_machine_is_not_asked_for(monkeypatch):
    """A run directory may name it, and reading one uses no network."""
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(
        UserError, match=r"no MNIST in gs://bucket/data .*it is not a directory here"
    ):
        MNIST("gs://bucket/data")


@pytest.mark.slow
def test_a_gru_names_most_digits_of_other_people():
    for permuted in (False, True):
        options, own = {"permuted": permuted}, Digits.defaults
        config = TrainConfig("digits", "gru", options, **own | {"train_steps": 800})
        ((_, record, _),) = train_lanes([Trial(config)], lanes=1)
        assert record.metrics["eval"]["accuracy"] > 0.7
        assert record.metrics["train"]["accuracy"] > 0.9
