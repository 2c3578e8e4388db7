"""`TrainConfig.eval_lengths`: what records have equals a slow measurement at each length."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from registrations import restored

from rnn_zoo.model import build_model, set_weights
from trainer import TrainConfig, UserError, counter_rng, train
from trainer.display.comparison import Run, show_comparison
from trainer.display.progress import Display
from trainer.evaluation import Evaluator
from trainer.export import load_model
from trainer.lanes import Lanes
from trainer.storage import json_files
from trainer.storage.records import RunRecord
from trainer.tasks import TASKS, Batch, Task, register
from trainer.trial import Trial

FINE = {"task": "parens", "arch": "gru"}


class Drift(Task):
    """Sum of the inputs so far, times a number, plus one that depends on the number of steps."""

    input_dim = output_dim = 1
    chance_loss = 1.0
    length_option = "num_steps"
    lane_options = ("scale",)
    splits_share_a_program = True

    def __init__(self, num_steps=3, scale=1.0):
        self.num_steps, self.scale = num_steps, scale
        self.data = {"scale": np.float32(scale), "last": np.float32(scale * num_steps / 9)}

    def draw(self, data, split, seed, step, batch_size):
        words = counter_rng.bits(seed, split, step, (batch_size, self.num_steps))
        x = counter_rng.uniform(words)[..., None]
        scale, last = (data[name][..., None, None, None] for name in ("scale", "last"))
        return Batch(x, scale * keras.ops.cumsum(x, axis=-2) + last)

    @classmethod
    def step_losses(cls, outputs, targets):
        return keras.ops.sum(keras.ops.square(outputs - targets), axis=-1)


@pytest.fixture
def drift():
    with restored():
        yield register("drift", Drift)


def by_hand(config, weights, multiple):
    """The loss of a Keras model on `eval_samples / multiple` samples of the longer task."""
    task = TASKS["drift"](multiple * 3, config.task_options["scale"])
    model = build_model("rnn", 1, Trial(config).units, 1, 1)
    set_weights(model, weights)
    batch = task.sample("eval", config.seed, -(-config.eval_samples // multiple))
    answers = np.asarray(model(batch.inputs), "float64")
    return np.mean((answers - np.asarray(batch.targets)) ** 2)


def test_each_lane_is_measured_at_its_own_lengths(drift):
    base = TrainConfig(task="drift", arch="rnn", num_params=60, batch_size=4, eval_samples=25)
    changes = [
        {"task_options": {"scale": 1.0}, "eval_lengths": (1, 3)},
        {"task_options": {"scale": 3.0}, "eval_lengths": [3], "seed": 4},
        {"task_options": {"scale": 0.5}, "seed": 7},
    ]
    trials = [Trial(dataclasses.replace(base, **each)) for each in changes]
    lanes = Lanes(trials, 4)
    # As if they had trained, which would have to be compiled.
    lanes.state["step"] = keras.ops.full((4,), base.train_steps, "int32")
    for trial, record, weights in lanes.collect([0, 1, 2]):
        config = trial.config
        assert [each["multiple"] for each in record.lengths] == list(config.eval_lengths)
        assert record.eval_loss == pytest.approx(by_hand(config, weights, 1), rel=1e-4)
        for each in record.lengths:
            assert (each["num_steps"], each["chance_loss"]) == (3 * each["multiple"], 1.0)
            expected = by_hand(config, weights, each["multiple"])
            assert each["metrics"]["loss"] == pytest.approx(expected, rel=1e-4)
        if trial is trials[0]:
            assert record.lengths[0]["metrics"] == record.metrics["eval"]
            assert record.lengths[1]["metrics"]["loss"] > 1.2 * record.eval_loss


@pytest.mark.slow
@pytest.mark.parametrize("task", ["parens", "memory"])
def test_a_run_of_the_trainer_is_measured_at_every_length(task, tmp_path, capsys):
    name = TASKS[task].length_option
    config = TrainConfig(
        task, "gru", {name: 5}, num_params=4000, train_steps=60, eval_samples=64,
        eval_lengths=(1, 2, 4),
    )  # fmt: skip
    train(config, tmp_path / "run", callbacks=())
    record = json_files.read(tmp_path / "run/record.json", RunRecord)
    model, _ = load_model(tmp_path / "run")
    for each in record.lengths:
        longer = TASKS[task](**{name: 5 * each["multiple"]})
        batch = longer.sample("eval", config.seed, 64 // each["multiple"])
        loss = float(longer.loss(model(batch.inputs), batch))
        assert each["metrics"]["loss"] == pytest.approx(loss, rel=1e-4)
        assert each["chance_loss"] == longer.chance_loss
    assert each["num_steps"] == {"parens": 20, "memory": 21}[task]
    assert f"{each['num_steps']} (4 ×)" in capsys.readouterr().out


def test_a_loss_that_is_not_finite_leaves_no_metrics(capsys):
    trial = Trial(TrainConfig(**FINE, task_options={"num_steps": 4}, eval_lengths=(1, 2, 4)))
    record = trial.record()
    record.status, record.steps_done = "ok", record.train_steps
    losses = {1: 0.5, 2: 0.7, 4: float("nan")}
    trial.complete(record, lambda split, samples, whole, multiple: {"loss": losses[multiple]})
    found = [(each["num_steps"], each["metrics"]) for each in record.lengths]
    assert found == [(4, {"loss": 0.5}), (8, {"loss": 0.7}), (16, None)]
    assert record.status == "ok"
    again = json_files.checked(dataclasses.asdict(record), RunRecord, "it")
    assert again.lengths == record.lengths
    damaged = dataclasses.asdict(record)
    damaged["lengths"][1]["metrics"]["loss"] = float("inf")
    with pytest.raises(json_files.Damaged, match=r"lengths\.1\.metrics must be"):
        json_files.checked(damaged, RunRecord, "it")
    show_comparison(Display(), [Run("a", record, []), Run("b", trial.record(), [])])
    printed = " ".join(capsys.readouterr().out.split())
    assert "│ eval loss at 2 × the length │ 0.7000 │ - │" in printed
    assert "│ eval loss at 4 × the length │ - │ - │" in printed
    Display().splits(record)
    assert "│ 16 (4 ×) │ inf │" in " ".join(capsys.readouterr().out.split())


def test_samples_are_divided_by_the_multiple():
    trial = Trial(TrainConfig(**FINE, eval_samples=10, eval_lengths=(1, 4, 64)))
    record, asked = trial.record(), []
    record.status, record.steps_done = "ok", 60

    def evaluate(split, samples, whole, multiple):
        asked.append((split, samples, multiple))
        return {"loss": 1.0}

    trial.complete(record, evaluate)
    assert asked[:3] == [("train", 10, 1), ("valid", 10, 1), ("eval", 10, 1)]
    assert asked[3:] == [("eval", 3, 4), ("eval", 1, 64)]


WRONG = [
    ({"eval_lengths": 2}, "eval_lengths must be a tuple of increasing whole numbers .* got 2"),
    ({"eval_lengths": (2, 2)}, r"got \(2, 2\)"),
    ({"eval_lengths": (4, 1)}, r"got \(4, 1\)"),
    ({"eval_lengths": (0, 1)}, r"got \(0, 1\)"),
    ({"eval_lengths": (1.0,)}, r"got \(1\.0,\)"),
    ({"eval_lengths": (1, 2000)}, "from 1 to 1024"),
    ({"task": "text8", "eval_lengths": (1, 2)}, "length of the task text8 is fixed; omit it, or"),
]


@pytest.mark.parametrize("changes, message", WRONG)
def test_other_lengths_are_refused(changes, message):
    with pytest.raises(UserError, match=message) as caught:
        TrainConfig(**FINE | changes)
    assert "\n" not in str(caught.value)


def test_a_length_that_the_task_refuses_is_refused_before_training():
    config = TrainConfig(**FINE, task_options={"num_steps": 10**7}, eval_lengths=(1, 512))
    expected = (
        r"eval_lengths is \(1, 512\), but at 512 times the length, num_steps must be at most 2"
    )
    with pytest.raises(UserError, match=expected):
        config.check_memory(config.make_task())


def test_what_lanes_may_differ_in_is_data(drift):
    class Lost(Drift):
        def __init__(self, num_steps=3, scale=1.0):
            super().__init__(num_steps, scale)
            self.data = {"factor": self.data["scale"]}

    class Scored(Drift):
        def __init__(self, num_steps=3, scale=1.0):
            super().__init__(num_steps, scale)
            self.loss_steps = slice(int(scale), None)

    register("lost", Lost)
    with pytest.raises(UserError, match="task lost has scale in lane_options and not in data; put"):
        Trial(TrainConfig("lost", "rnn", num_params=60))
    register("worthless", type("Worthless", (Drift,), {"chance_loss": 0.0}))
    with pytest.raises(UserError, match=r"task worthless has chance_loss 0\.0; it must be finite"):
        Trial(TrainConfig("worthless", "rnn", num_params=60))
    register("scored", Scored)
    config = TrainConfig("scored", "rnn", num_params=60)
    shapes = [
        Trial(dataclasses.replace(config, task_options={"scale": scale})).shape
        for scale in (1.0, 1.5, 2.0)
    ]
    assert shapes[0] == shapes[1] != shapes[2]


def test_targets_without_the_steps_at_their_axis_are_refused(drift):
    class Turned(Drift):
        target_time_axis = -1

    register("turned", Turned)
    trial = Trial(TrainConfig("turned", "rnn", num_params=60, eval_samples=8))
    message = (
        r"Turned has 3 steps, and targets of shape \(8, 3, 1\); its target_time_axis is -1 and m"
    )
    with pytest.raises(UserError, match=message):
        Evaluator(trial)(trial.random_weights())


def test_several_targets_of_one_output_are_refused(drift):
    """Their errors would broadcast."""

    class Wide(Drift):
        def draw(self, *arguments):
            batch = super().draw(*arguments)
            return batch._replace(targets=keras.ops.repeat(batch.targets, 2, axis=-1))

    register("wide", Wide)
    trial = Trial(TrainConfig("wide", "rnn", num_params=60, eval_samples=8))
    with pytest.raises(UserError, match=r"Wide has output_dim 1, and targets of shape \(8, 3, 2\)"):
        Evaluator(trial)(trial.random_weights())


def test_lists_in_options_are_tuples_as_files_do_not_tell_them_apart(drift):
    config = TrainConfig("drift", "rnn", task_options={"scale": [1, (2, [3])]})
    assert config.task_options == {"scale": (1, (2, (3,)))}
    assert TrainConfig(**json.loads(json.dumps(dataclasses.asdict(config)))) == config


@pytest.mark.parametrize(
    "field, value, message",
    [
        ("length_option", "steps", "length_option has 'steps', which is not an argument"),
        ("lane_options", ("num_steps",), "but the lanes of a program have one length"),
    ],
)
def test_a_task_with_a_wrong_length_option_is_not_registered(field, value, message):
    task = type("Wrong", (Drift,), {field: value})
    with pytest.raises(ValueError, match=message):
        register("wrong", task)
