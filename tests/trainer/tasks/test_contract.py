"""Contract of every task: shapes, types, purity, lanes, equal results eager and compiled."""

import keras
import numpy as np
import pytest
from on_backend import BACKEND, COMPILED, MODES, execute, tensorflow_only, to_numpy, to_tensors
from slow import slow_except

from trainer import counter_rng
from trainer.errors import UserError
from trainer.tasks import PAPER_TASKS, TASKS, Batch, Task

B = 6
#: Task -> (arguments that make it small, axes of its targets after (B, T)).
SMALL = {
    "capacity": ({"num_inputs": 8, "num_samples": 100}, (1,)),
    "memory": ({}, (64,)),
    "rcf": ({"num_samples": 100}, (1,)),
    "text8": ({}, ()),
    "parens": ({"num_steps": 20}, (10,)),
    "arithmetic": ({}, ()),
    "adding": ({"num_steps": 10}, (1,)),
    "copy": ({"delay": 5}, ()),
    "selective_copy": ({"delay": 5}, ()),
    "recall": ({"pairs": 3}, ()),
    "noisy_recall": ({"pairs": 3}, ()),
    "parity": ({"num_steps": 10}, ()),
    "modular_arithmetic": ({"numbers": 5}, ()),
    "dyck": ({"num_steps": 10}, ()),
    "flip_flop": ({"pairs": 6}, ()),
    "s5": ({}, ()),
    "digits": ({}, ()),
    "series": ({"num_steps": 12}, (2,)),
}
#: Task -> fixture of the file that it reads.
FILES = {"text8": "text_file", "series": "series_file"}
#: Tasks with arrays that all lanes share; other data may differ between lanes.
SHARED = ("text8", "rcf", "s5", "digits", "series")
#: Tasks with real-valued samples.
REAL = ("memory", "rcf", "adding", "series")


def test_the_tasks_of_the_paper_come_first():
    paper = ("capacity", "memory", "rcf", "text8", "parens", "arithmetic")
    assert tuple(TASKS)[:6] == PAPER_TASKS == paper
    # mnist differs from digits in its images alone.
    assert set(SMALL) == set(TASKS) - {"mnist"}


@pytest.fixture(params=SMALL)
def make(request):
    """A function that builds a new instance of the task."""
    options = dict(SMALL[request.param][0])
    if file := FILES.get(request.param):
        options["path"] = request.getfixturevalue(file)
    return lambda: TASKS[request.param](**options)


@pytest.fixture
def task(make):
    return make()


#: For tests that compile: by default only tasks with large data, where compiled draws can go wrong.
with_large_data = pytest.mark.parametrize(
    "make", slow_except(["text8", "rcf"], SMALL), indirect=True
)


def sampled(task, *arguments, **options):
    return to_numpy(tuple(task.sample(*arguments, **options)))


def assert_same(a, b, task=None):
    """Assert equality; up to rounding if `task` is given and has real-valued samples."""
    rounded = task is not None and task.name in REAL
    for left, right in zip(a, b, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-6 * rounded, atol=1e-6 * rounded)


def differ(a, b):
    return any(not np.array_equal(left, right) for left, right in zip(a, b, strict=True))


def random_outputs(task, num_steps, *lanes, size=B):
    rng = np.random.default_rng(1)
    return rng.normal(size=(*lanes, size, num_steps, task.output_dim)).astype("float32")


def scored_steps(task):
    return range(task.num_steps)[task.loss_steps]


def test_shapes_and_types(task):
    inputs, targets = sampled(task, "train", 0, B)[:2]
    assert inputs.shape == (B, task.num_steps, task.input_dim)
    assert inputs.dtype == np.float32
    assert targets.shape == (B, task.num_steps, *SMALL[task.name][1])
    assert targets.dtype == ("float32" if task.name in REAL else "int32")
    assert np.isfinite(task.chance_loss)
    assert task.chance_loss > 0
    assert len(scored_steps(task)) > 0


def test_one_hot_inputs_have_one_symbol_each(task):
    if task.vocabulary is None:
        pytest.skip("its inputs are not symbols")
    inputs = sampled(task, "train", 0, B)[0]
    symbols = inputs.reshape(B, task.num_steps, -1, len(task.vocabulary))
    assert set(np.unique(symbols)) <= {0.0, 1.0}
    assert (symbols.sum(-1) == 1).all()


def test_a_batch_is_a_function_of_split_seed_and_step(make):
    task = make()
    first = sampled(task, "train", 3, B)
    assert_same(first, sampled(task, "train", 3, B))
    assert_same(first, sampled(make(), "train", 3, B, step=0))
    others = [
        sampled(task, "valid", 3, B),
        sampled(task, "eval", 3, B),
        sampled(task, "train", 4, B),
        sampled(task, "train", 3, B, step=1),
    ]
    assert all(differ(first, other) for other in others)
    assert differ(others[0], others[1])


def test_an_unknown_split_is_refused(task):
    with pytest.raises(ValueError, match=r"'test'.*train, valid, eval"):
        task.sample("test", 0, B)


def test_an_unknown_option_is_refused(task):
    with pytest.raises(UserError, match="'nonsense'"):
        type(task).check_options({"nonsense": 1})


@with_large_data
@pytest.mark.parametrize("mode", slow_except([COMPILED], MODES[1:]))
def test_compiled_equals_eager(task, mode):
    def draw(seed, step):
        return tuple(task.sample("eval", seed, B, step))

    compiled = execute(mode, draw, np.uint32(3), np.int32(5))
    assert_same(compiled, sampled(task, "eval", 3, B, step=5), task)


@pytest.mark.slow  # test_compiled_equals_eager draws in this order, too
@with_large_data
@pytest.mark.parametrize("first", ["compiled", "dataset"])
def test_a_batch_can_be_drawn_after_a_compiled_one(make, first):
    """Data on the device do not belong to the graph that used them first."""
    task, expected = make(), sampled(make(), "train", 0, B)
    if first == "compiled":
        execute(COMPILED, lambda step: tuple(task.sample("train", 0, B, step)), np.int32(0))
    elif BACKEND == "tensorflow":
        task.dataset("train", B)
    assert_same(sampled(task, "train", 0, B), expected)


def test_each_lane_equals_its_seed_and_step_alone(task):
    seeds, steps = np.array([3, 9], "uint32"), np.array([0, 4], "int32")
    data = keras.tree.map_structure(lambda value: np.stack([value] * 2), dict(task.data))
    data = task.device_data if task.name in SHARED else to_tensors(data)
    lanes = to_numpy(tuple(task.draw(data, "train", seeds, steps, B).dense()))
    for lane in range(2):
        alone = sampled(task, "train", int(seeds[lane]), B, step=int(steps[lane]))
        assert_same([part[lane] for part in lanes], alone, task)


def test_outputs_of_all_steps_and_of_the_scored_ones_have_one_loss(task):
    batch = task.sample("valid", 0, B)
    outputs = random_outputs(task, task.num_steps)
    scored = outputs[:, task.loss_steps]
    for measure in (
        lambda out: {"loss": task.loss(out, batch)},
        lambda out: task.metrics(out, batch),
    ):
        whole, cut = to_numpy(measure(outputs)), to_numpy(measure(scored))
        assert whole.keys() == cut.keys()
        for name, value in whole.items():
            np.testing.assert_allclose(value, cut[name], rtol=1e-6)
    assert np.shape(task.loss(outputs, batch)) == ()


def test_outputs_at_steps_that_are_not_scored_change_nothing(task):
    batch = task.sample("valid", 0, B)
    outputs = random_outputs(task, task.num_steps)
    other = outputs.copy()
    unscored = [t for t in range(task.num_steps) if t not in scored_steps(task)]
    other[:, unscored] += 10
    assert float(task.loss(outputs, batch)) == float(task.loss(other, batch))
    other[:, scored_steps(task)[0]] += np.arange(task.output_dim) + 1
    assert float(task.loss(outputs, batch)) != float(task.loss(other, batch))


def test_metrics_have_the_loss_and_the_objective_is_a_number(task):
    batch = task.sample("valid", 0, B)
    outputs = random_outputs(task, task.num_steps)
    metrics = {k: v.tolist() for k, v in to_numpy(task.metrics(outputs, batch)).items()}
    assert metrics["loss"] == pytest.approx(float(task.loss(outputs, batch)), rel=1e-6)
    assert isinstance(float(task.objective(metrics)), float)


@tensorflow_only
@pytest.mark.parametrize("make", slow_except(["text8"], SMALL), indirect=True)
def test_the_dataset_has_the_batches_of_sample(task):
    for step, element in enumerate(task.dataset("valid", B, seed=4).take(3)):
        inputs, targets, weights = (part.numpy() for part in element)
        assert_same((inputs, targets), sampled(task, "valid", 4, B, step=step)[:2], task)
        counted = np.zeros(task.num_steps)
        counted[scored_steps(task)] = 1
        np.testing.assert_allclose(weights, np.tile(counted / counted.mean(), (B, 1)), rtol=1e-6)


def test_an_example_is_text(task):
    example = task.example(task.sample("eval", 0, B), B - 1)
    assert isinstance(example, str)
    assert example


def test_an_answer_is_text_of_all_steps_or_of_the_scored_ones(task):
    batch = task.sample("eval", 0, B)
    outputs = random_outputs(task, task.num_steps)
    answers = [task.answer(batch, index, outputs) for index in range(B)]
    assert len(set(answers)) == B
    scored = outputs[:, task.loss_steps]
    assert answers == [task.answer(batch, index, scored) for index in range(B)]


def test_a_task_without_rendering_shows_numbers():
    class Plain(Task):
        input_dim = output_dim = 1
        num_steps = 2
        loss_steps = slice(1, 2)

    batch = Batch(np.array([[[1.0], [2.0]]]), np.array([[[3.0], [4.0]]]))
    outputs = np.array([[[5.0], [6.25]]])
    assert Plain().example(batch, 0).split() == "inputs [[1.] [2.]] targets [[3.] [4.]]".split()
    expected = "inputs [[1.] [2.]] true [[4.]] outputs [[6.25]]"
    assert Plain().answer(batch, 0, outputs).split() == expected.split()


def test_descriptions_are_strings_and_numbers(task):
    assert all(isinstance(value, str | int | float) for value in task.describe().values())


@pytest.mark.parametrize("make", slow_except(["text8", "digits"], SMALL), indirect=True)
def test_a_split_may_be_given_by_its_number(task):
    """As the compiled program that measures all splits gives it."""
    assert task.splits_share_a_program

    def draw(stream):
        return tuple(task.draw(task.device_data, stream, 3, 5, B).dense())

    for split, number in list(counter_rng.STREAMS.items())[:3]:
        batch = execute(MODES[1], draw, np.uint32(number))
        assert_same(batch, sampled(task, split, 3, B, step=5), task)
