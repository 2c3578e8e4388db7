"""The tasks as `tf.data`, and as loss and metrics of a stock Keras model."""

import keras
import numpy as np
import pytest
from on_backend import tensorflow_only, to_numpy
from processes import python
from slow import slow_except, slow_rows_except

from trainer.tasks import PAPER_TASKS, TASKS, pipeline

pytestmark = tensorflow_only

B = 6
SMALL = {
    "capacity": {"num_inputs": 8, "num_samples": 100},
    "memory": {},
    "rcf": {"num_samples": 100},
    "text8": {},
    "parens": {"num_steps": 20},
    "arithmetic": {},
}


@pytest.fixture(params=slow_except(("arithmetic",), PAPER_TASKS))
def task(request, text_file):
    options = {"path": text_file} if request.param == "text8" else {}
    return TASKS[request.param](**SMALL[request.param], **options)


def assert_same(a, b):
    for left, right in zip(a, b, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-6)


def elements(iterator, count):
    return [tuple(part.numpy() for part in next(iterator)) for _ in range(count)]


def gru(task, **options):
    """A compiled model, as a user would write it."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((None, task.input_dim)),
            keras.layers.GRU(8, return_sequences=True),
            keras.layers.Dense(task.output_dim),
        ]
    )
    model.compile(loss=task.keras_loss(), **options)
    return model


@pytest.mark.slow  # test_contract.py has it of every task
def test_it_has_the_batches_of_sample_in_their_order(task):
    dataset = task.dataset("eval", B, 3)
    for step, element in enumerate(elements(iter(dataset), 4)):
        assert_same(element[:2], to_numpy(task.sample("eval", 3, B, step)[:2]))
    unseeded = elements(iter(task.dataset("train", B)), 1)[0]
    assert_same(unseeded[:2], to_numpy(task.sample("train", 0, B)[:2]))


def test_its_types_and_shapes_are_static(task):
    dataset = task.dataset("train", B)
    batch = task.sample("train", 0, B)
    for spec, array in zip(dataset.element_spec, batch[:2], strict=False):
        assert spec.shape.as_list() == list(array.shape)
        assert spec.dtype == array.dtype
    assert dataset.element_spec[2].shape.as_list() == [B, task.num_steps]
    assert int(dataset.cardinality()) == -1  # endless


@pytest.mark.slow  # likewise
def test_weights_mask_the_steps_that_are_not_scored(task):
    (*_, weights) = next(task.dataset("valid", B).as_numpy_iterator())
    counts = np.isin(np.arange(task.num_steps), range(task.num_steps)[task.loss_steps])
    assert weights.dtype == np.float32
    assert (weights[:, ~counts] == 0).all()
    np.testing.assert_allclose(weights[:, counts], task.num_steps / counts.sum(), rtol=1e-6)
    np.testing.assert_allclose(weights.mean(1), 1, rtol=1e-6)


def test_it_is_the_same_each_time_it_is_read(task):
    dataset = task.dataset("train", B, seed=2)
    first, second = elements(iter(dataset), 12), elements(iter(dataset), 12)
    for left, right in zip(first, second, strict=True):
        for a, b in zip(left, right, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_an_iterator_continues_from_a_checkpoint(task, tmp_path):
    import tensorflow as tf

    iterator = iter(task.dataset("train", B, seed=2))
    elements(iterator, 3)
    saved = tf.train.Checkpoint(iterator=iterator).save(str(tmp_path / "checkpoint"))
    expected = elements(iterator, 2)
    another = iter(task.dataset("train", B, seed=2))
    tf.train.Checkpoint(iterator=another).restore(saved).assert_consumed()
    for step, (left, right) in enumerate(zip(elements(another, 2), expected, strict=True), 3):
        assert_same(left, right)
        assert_same(left[:2], to_numpy(task.sample("train", 2, B, step)[:2]))


def test_the_loss_that_fit_reports_is_the_tasks(task):
    model = gru(task, optimizer=keras.optimizers.SGD(0.0))
    losses = []
    for step in range(2):
        batch = task.sample("train", 5, B, step)
        losses.append(float(task.loss(model(batch.inputs), batch)))
    assert losses[0] != losses[1]
    history = model.fit(task.dataset("train", B, 5), steps_per_epoch=2, shuffle=False, verbose=0)
    assert history.history["loss"][0] == pytest.approx(np.mean(losses), rel=1e-4)
    measured = model.evaluate(task.dataset("train", B, 5), steps=1, verbose=0)
    assert measured == pytest.approx(losses[0], rel=1e-4)


@pytest.mark.slow
def test_the_accuracy_that_evaluate_reports_is_the_tasks(task):
    model = gru(task, weighted_metrics=task.keras_metrics())
    batches = [task.sample("eval", 5, B, step) for step in range(3)]
    reported = [to_numpy(task.metrics(model(batch.inputs), batch)) for batch in batches]
    measured = model.evaluate(task.dataset("eval", B, 5), steps=3, verbose=0, return_dict=True)
    names = [name for name in ("accuracy", "character_accuracy") if name in reported[0]]
    assert len(task.keras_metrics()) == len(names) == (task.name not in ("memory", "rcf"))
    for name in names:
        # Batches of arithmetic have different numbers of characters.
        asked = [1.0] * 3
        if name == "character_accuracy":
            asked = [to_numpy(task.step_hits(model(b.inputs), b.targets)[1]).sum() for b in batches]
        expected = np.average([each[name] for each in reported], weights=asked)
        assert measured["accuracy"] == pytest.approx(float(expected), rel=1e-5)


def test_an_accuracy_of_all_steps_is_refused():
    task = TASKS["parens"](num_steps=20)
    model = gru(task, metrics=task.keras_metrics())
    with pytest.raises(ValueError, match="belongs in weighted_metrics of compile"):
        model.evaluate(task.dataset("eval", B), steps=1, verbose=0)


@pytest.mark.slow
def test_a_compiled_model_comes_back_with_its_loss_and_accuracy(task, tmp_path):
    model = gru(task, optimizer="sgd", weighted_metrics=task.keras_metrics())
    data = task.dataset("eval", B, 1)
    model.fit(data, steps_per_epoch=1, shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    expected = model.evaluate(data, steps=2, verbose=0)
    assert again.evaluate(data, steps=2, verbose=0) == pytest.approx(expected)


PARITY = """
from trainer.tasks import Task
from trainer.tasks.base import cross_entropy

class Parity(Task):
    input_dim, output_dim, num_steps = 1, 2, 20

    @classmethod
    def step_losses(cls, outputs, targets):
        return cross_entropy(outputs, targets)
"""
LOAD = """
import keras, trainer.tasks.pipeline

def load(name):
    return keras.saving.load_model(name).loss.task

print(load("text8.keras"))
try:
    load("parity.keras")
except Exception as error:
    print(*str(error).split())
import parity
print(load("parity.keras") is parity.Parity)
"""


@pytest.mark.slow
def test_a_fresh_process_finds_the_loss_by_the_class_of_its_task(text_file, tmp_path, monkeypatch):
    """Even text8's, without its text, and a user's task after the import of its module."""
    (tmp_path / "parity.py").write_text(PARITY)
    monkeypatch.syspath_prepend(tmp_path)
    from parity import Parity

    for name, task in {"text8": TASKS["text8"](path=text_file), "parity": Parity()}.items():
        model = gru(task, optimizer="sgd", weighted_metrics=task.keras_metrics())
        model.save(tmp_path / f"{name}.keras")
    done = python("-c", LOAD, cwd=tmp_path)
    text8, refusal, parity = done.stdout.strip().split("\n")
    assert text8 == "<class 'trainer.tasks.text8.Text8'>", done.stderr
    assert "no task 'parity.Parity'; import the module that defines it before load_model" in refusal
    assert parity == "True"


@pytest.mark.parametrize("path", ["text8", "os.system", "trainer.tasks.base.Batch", "no.such.Task"])
def test_a_path_of_no_task_is_refused(path):
    with pytest.raises(ValueError, match=f"no task '{path}'.*compile=False"):
        pipeline.TaskLoss(path)


@pytest.mark.slow
def test_weights_of_samples_are_passed_on():
    """Uniform draws of rcf have the weights N β_i; here they differ by a factor above 10."""
    task = TASKS["rcf"](num_samples=10**6, dimensions=2, num_steps=3, sampling="uniform")
    model = gru(task, optimizer=keras.optimizers.SGD(0.0))
    batch = task.sample("train", 5, 64)
    each = to_numpy(batch.weights)
    assert each.max() > 10 * each.min()
    (_, targets, weights) = next(task.dataset("train", 64, 5).as_numpy_iterator())
    assert_same([targets], [to_numpy(batch.targets)])
    np.testing.assert_allclose(weights[:, -1], 3 * each, rtol=1e-5)
    assert (weights[:, :-1] == 0).all()
    history = model.fit(task.dataset("train", 64, 5), steps_per_epoch=1, shuffle=False, verbose=0)
    expected = float(task.loss(model(batch.inputs), batch))
    assert history.history["loss"][0] == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, split, below",
    slow_rows_except([("memory", "eval", 0.1)], [("memory", "eval", 0.1), ("text8", "train", 3.1)]),
)
def test_fit_learns(name, split, below, text_file):
    """A short memory is learned almost completely, and a short text is memorised in part."""
    options = {
        "memory": {"dimensions": 4, "delay": 2},
        "text8": {"path": text_file, "num_steps": 20},
    }[name]
    task = TASKS[name](**options)
    model = gru(task, optimizer=keras.optimizers.Adam(0.03))
    start = model.evaluate(task.dataset(split, 64, seed=1), steps=5, verbose=0)
    model.fit(task.dataset("train", 64), steps_per_epoch=200, shuffle=False, verbose=0)
    measured = model.evaluate(task.dataset(split, 64, seed=1), steps=5, verbose=0)
    assert measured < below < start


def test_an_unknown_split_is_refused(task):
    with pytest.raises(ValueError, match=r"unknown split 'test'.*train, valid, eval"):
        task.dataset("test", B)


@pytest.mark.slow
def test_it_says_that_it_needs_tensorflow(tmp_path):
    program = (
        "from trainer.tasks import TASKS\n"
        "task = TASKS['memory']()\n"
        "print(task.sample('train', 0, 2).inputs.shape)\n"
        "try:\n"
        "    task.dataset('train', 2)\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )
    done = python("-c", program, cwd=tmp_path, KERAS_BACKEND="jax")
    shape, message = done.stdout.strip().split("\n")
    assert shape == "(2, 13, 64)"
    assert "KERAS_BACKEND=tensorflow" in message
    assert "task.sample(split, seed, batch_size, step)" in message
