"""Training with products below float32, where the weights stay float32."""

import dataclasses

import keras
import numpy as np
import pytest

from trainer import TrainConfig, UserError
from trainer.trial import Trial

CONFIG = TrainConfig(
    task="memory",
    arch="gru",
    num_params=3000,
    train_steps=150,
    batch_size=16,
    task_options={"dimensions": 4, "delay": 2},
)


def trained(**changes):
    """(state after the training, its loss on valid)."""
    trial = Trial(dataclasses.replace(CONFIG, **changes))
    program = trial.program()
    hparams, data = trial.hparams(program), trial.task.device_data
    state = program.run(program.start(trial.draw_weights()), hparams, data, 150)
    loss = program.evaluate(state["weights"], hparams, data, "valid", 256)["loss"]
    return keras.tree.map_structure(np.asarray, state), loss


@pytest.fixture(scope="module")
def full():
    return trained()


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, marks=pytest.mark.slow),
        pytest.param({"arch": "+rnn", "depth": 2}, marks=pytest.mark.slow),
        pytest.param({"arch": "lstm", "depth": 2}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_bfloat16_learns_about_as_well(changes, full):
    state, loss = trained(precision="mixed_bfloat16", **changes)
    _, exact = trained(**changes) if changes else full
    assert all(w.dtype == "float32" for w in keras.tree.flatten(state["weights"]))
    assert loss == pytest.approx(exact, rel=0.3)
    assert loss != exact


@pytest.mark.parametrize(
    "task, options",
    [
        pytest.param("text8", {"source": "pydoc"}, marks=pytest.mark.slow),
        pytest.param("capacity", {"num_samples": 50}, marks=pytest.mark.slow),
    ],
)
def test_bfloat16_accepts_every_form_of_input(task, options):
    state, loss = trained(precision="mixed_bfloat16", task=task, task_options=options)
    assert bool(state["feasible"])
    assert np.isfinite(loss)


@pytest.mark.slow
def test_tf32_equals_float32_without_a_gpu(full):
    state, loss = trained(precision="tf32")
    assert loss == full[1]
    for one, other in zip(*map(keras.tree.flatten, (state, full[0])), strict=True):
        np.testing.assert_array_equal(one, other)


def test_tf32_is_said_to_be_float32_without_a_gpu(warm_jax, tmp_path):
    settings = ("--task=parens", "--arch=rnn", "--num_params=600", "--train_steps=1")
    tf32 = "--gin_bindings=TrainConfig.precision = 'tf32'"
    done = warm_jax.run("trainer", *settings, tf32, cwd=tmp_path)
    assert (done.code, done.stderr) == (0, "")
    assert "precision tf32 is float32 here, as there is no GPU" in done.stdout


@pytest.mark.slow
def test_a_sweep_says_that_tf32_is_float32_without_a_gpu(warm_jax, tmp_path):
    study = {"task": "parens", "arch": "rnn", "num_params": 600, "precision": "tf32"}
    (tmp_path / "grid.gin").write_text(f"SweepConfig.grid = [{study}]")
    done = warm_jax.run("tuning.sweep", "--gin_file=grid.gin", "--dry_run", cwd=tmp_path)
    assert (done.code, done.stderr) == (0, "")
    assert "precision tf32 is float32 here, as there is no GPU" in done.stdout


def test_the_gradient_of_a_bfloat16_gather_is_summed_in_float32():
    """The gradient of a row used 3000 times; a sum of ones in bfloat16 stops at 256."""
    import rnn_zoo.unroll as engine
    from rnn_zoo.inputs import OneHot
    from trainer import backend

    inputs = OneHot(np.zeros((60, 50, 1), "int32"), 2)
    table = keras.ops.ones((2, 3), "bfloat16")
    bias = keras.ops.zeros(3, "bfloat16")

    def total(table):
        return keras.ops.sum(engine.affine(inputs, table, bias)), None

    def slope(table):
        return backend.current().value_and_grad(total, table)[1]

    found = np.asarray(keras.ops.cast(backend.current().compile(slope)(table), "float32"))
    np.testing.assert_allclose(found, [[3000] * 3, [0] * 3], rtol=0.01)


def test_numbers_of_a_cell_are_not_rounded():
    """1 - 0.998 would be 0."""
    options = {"arch_options": {"update_coefficient": 0.998}}
    with pytest.raises(UserError, match="would round update_coefficient of miru1 to three digits"):
        TrainConfig("memory", "miru1", precision="mixed_bfloat16", **options)
    TrainConfig("memory", "miru1", precision="tf32", **options)
