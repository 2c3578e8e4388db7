"""All tasks: splits share no sample; the chance loss is that of the best constant predictor."""

import numpy as np
import pytest
from on_backend import to_numpy

from trainer.errors import UserError
from trainer.tasks import PAPER_TASKS, TASKS

ENDLESS = ("memory", "text8", "parens", "arithmetic")
FIXED = {"capacity": {"num_inputs": 40, "num_samples": 200}, "rcf": {"num_samples": 200}}
N, B = 2048, 512
#: Standard errors that a fixed seed may differ by: exceeded by one seed in 16,000.
Z = 4


def make(name, text_file, **options):
    return TASKS[name](**({"path": text_file} if name == "text8" else {}), **options)


def log_frequencies(codes, size):
    """The best constant logits (size,) for codes of any shape; never -inf."""
    counts = np.bincount(codes.ravel(), minlength=size)
    return np.log(np.maximum(counts, 1e-6) / codes.size)


def best_constant(name, targets, output_dim):
    """The outputs (O,) of the predictor that says the same at all steps and is best for these
    targets, and how much better than the best of all that makes it: half a nat, or one variance,
    for each number that is free, shared by the N samples."""
    if name == "capacity":
        mean = targets.mean()
        return np.log([mean / (1 - mean)]), 1 / (2 * N)
    if name in ("memory", "rcf"):
        return targets.reshape(-1, output_dim).mean(0), 1 / N
    if name == "parens":
        counts = targets.reshape(-1, 10)
        return np.concatenate([log_frequencies(column, 10) for column in counts.T]), 90 / (2 * N)
    return log_frequencies(targets, output_dim), (output_dim - 1) / (2 * N)


@pytest.mark.parametrize("name", PAPER_TASKS)
def test_chance_is_the_loss_of_the_best_constant_predictor(name, text_file):
    task = make(name, text_file)
    batches = [task.sample("train", 3, B, step) for step in range(N // B)]
    blank = np.zeros((B, task.num_steps, task.output_dim), "float32")
    targets = [to_numpy(task.scored(blank, batch)[1]) for batch in batches]
    constant, gain = best_constant(name, np.concatenate(targets), task.output_dim)

    def losses(constant):
        outputs = np.broadcast_to(constant.astype("float32"), (*blank.shape[:-1], len(constant)))
        outputs = outputs[:, task.loss_steps]
        by_sample = [to_numpy(task.step_losses(outputs, t)).mean(-1) for t in targets]
        whole = [float(task.loss(outputs, batch)) for batch in batches]
        assert np.mean(whole) == pytest.approx(np.mean(by_sample), rel=1e-5)
        return np.concatenate(by_sample)

    measured = losses(constant)
    error = measured.std() / np.sqrt(N)
    assert abs(measured.mean() - task.chance_loss) < Z * error + gain
    assert error < 0.05 * task.chance_loss
    # No constant nearby is better.
    rng = np.random.default_rng(0)
    for _ in range(3):
        other = constant + 0.2 * rng.normal(size=constant.shape)
        assert losses(other).mean() > measured.mean()


def samples(task, split, num_batches):
    """The inputs of a split's first batches, each as bytes."""
    inputs = [to_numpy(task.sample(split, 3, B, step).inputs) for step in range(num_batches)]
    return {sample.tobytes() for batch in inputs for sample in batch}


@pytest.mark.parametrize("name", ENDLESS)
def test_no_sample_of_one_split_occurs_in_another(name, text_file):
    task = make(name, text_file, **({"num_steps": 20} if name == "parens" else {}))
    train, valid, evaluated = (
        samples(task, split, num_batches)
        for split, num_batches in (("train", 8), ("valid", 2), ("eval", 2))
    )
    assert len(train) > 2000
    assert not train & valid
    assert not train & evaluated
    assert not valid & evaluated


@pytest.mark.parametrize("name", FIXED)
def test_all_splits_of_a_finite_data_set_are_the_same(name, text_file):
    """By design: labels and values are random, so held-out samples would measure nothing."""
    task = TASKS[name](**FIXED[name])
    walks = [
        to_numpy(task.sweep(task.device_data, s, 3, 0, 200).dense())
        for s in ("train", "valid", "eval")
    ]
    for walk in walks[1:]:
        for part, other in zip(walk, walks[0], strict=True):
            np.testing.assert_array_equal(part, other)
    known = walks[0].inputs[:, 0]
    for split in ("train", "valid", "eval"):
        drawn = to_numpy(task.sample(split, 3, 50).inputs)[:, 0]
        nearest = np.square(drawn[:, None] - known[None]).sum(-1).min(1)
        np.testing.assert_allclose(nearest, 0, atol=1e-9)


@pytest.mark.parametrize("name", TASKS)
def test_an_unknown_option_is_refused_with_the_choices(name):
    choices = {
        "capacity": "num_inputs, num_samples, presentation, num_steps, coding",
        "memory": "dimensions, delay",
        "rcf": "num_samples, dimensions, num_steps, sampling",
        "text8": "path, source, num_steps, warmup_steps",
        "parens": "num_steps",
        "arithmetic": "compute_steps, largest",
        "adding": "num_steps",
        "copy": "delay",
        "selective_copy": "delay",
        "recall": "pairs",
        "noisy_recall": "pairs, noise",
        "parity": "num_steps",
        "modular_arithmetic": "numbers",
        "dyck": "num_steps, max_depth",
        "flip_flop": "pairs",
        "s5": "num_steps",
        "digits": "permuted, permutation_seed",
        "mnist": "path, permuted, permutation_seed",
        "series": "path, horizon, num_steps, warmup_steps",
    }[name]
    with pytest.raises(UserError, match=f"task {name} has no option 'nonsense'; it has {choices}$"):
        TASKS[name].check_options({"nonsense": 1})
    TASKS[name].check_options(dict.fromkeys(choices.split(", ")))
