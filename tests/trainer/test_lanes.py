"""Trials side by side in one program end as each would alone."""

import dataclasses

import numpy as np
import pytest

from trainer import TrainConfig, UserError
from trainer.lanes import train_lanes
from trainer.trial import Trial

BASE = TrainConfig(
    task="capacity",
    arch="ugrnn",
    num_params=300,
    train_steps=60,
    batch_size=8,
    task_options={"num_inputs": 6, "num_samples": 90, "presentation": "every"},
)


def varied(**changes):
    return dataclasses.replace(BASE, **changes)


#: Six trials for three lanes: they differ in all that lanes may differ in, and end at other steps.
TRIALS = [
    BASE,
    varied(
        seed=5,
        optimizer="sgd",
        lr_init=0.1,
        activation="relu",
        gate_bias=3.0,
        task_options={"num_inputs": 6, "num_samples": 300, "presentation": "first"},
    ),
    varied(optimizer="rmsprop", momentum_logit=3.0, l2_decay=1e-3, train_steps=35),
    varied(optimizer="momentum", lr_init=1e5, gradient_clip_val=1e6, l2_decay=0.1),
    varied(seed=9, train_steps=15, input_scale=2.0, matrix_init="identity"),
    varied(seed=10, optimizer="momentum", lr_init=0.05, gradient_clip_val=0.1, lr_decay_rate=0.5),
]


def alone(config):
    """A trial's last state, and its metrics over the whole data set if it is feasible."""
    trial = Trial(config)
    program = trial.program()
    hparams, data = trial.hparams(program), trial.task.device_data
    state = program.run(program.start(trial.draw_weights()), hparams, data, config.train_steps)
    if not bool(state["feasible"]):
        return int(state["step"]), None
    size = trial.task.num_samples
    metrics = program.evaluate(state["weights"], hparams, data, "eval", size, whole=True)
    return int(state["step"]), trial.task.summarise(metrics, trial.units, trial.num_params)


@pytest.fixture(scope="module")
def records():
    """The records of `TRIALS` from three lanes, in the trials' order."""
    ended = list(train_lanes(iter(TRIALS), lanes=3))
    assert [id(config) for config, _ in ended] != [id(config) for config in TRIALS]
    found = {id(config): record for config, record in ended}
    return [found[id(config)] for config in TRIALS]


@pytest.mark.parametrize("index", range(len(TRIALS)))
def test_a_lane_ends_as_its_trial_alone(records, index):
    record, (step, metrics) = records[index], alone(TRIALS[index])
    assert record.steps_done == step
    if metrics is None:
        assert (record.status, record.infeasible_at) == ("infeasible", step)
        assert record.eval_loss is None
    else:
        assert record.status == "ok"
        for name, value in metrics.items():
            np.testing.assert_allclose(record.metrics["eval"][name], value, rtol=1e-4, atol=1e-6)


def test_the_trials_cover_both_ends(records):
    assert [record.status for record in records].count("infeasible") == 1
    assert records[1].data["num_samples"] == 300


def test_another_shape_is_refused_before_it_trains_on_anothers_data():
    other = varied(task_options={"num_inputs": 7, "num_samples": 90})
    with pytest.raises(UserError, match="lanes share one program"):
        list(train_lanes([BASE, other], lanes=2))


def test_no_trials_are_no_work():
    assert list(train_lanes([], lanes=4)) == []


def test_a_loss_that_is_not_finite_after_the_last_step_is_infeasible():
    trial = Trial(BASE)
    record = trial.record("run")
    record.status, record.steps_done = "ok", 60
    trial.complete(record, lambda *_: {"loss": float("inf"), "accuracy": 0.5})
    assert (record.status, record.infeasible_at, record.eval_loss) == ("infeasible", 60, None)
