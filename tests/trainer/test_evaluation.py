"""`trainer.evaluate` against records."""

import dataclasses

import keras
import pytest

import rnn_zoo
from trainer import TrainConfig, UserError, evaluate, train
from trainer.export import load_model

CONFIG = TrainConfig(
    task="capacity",
    arch="ugrnn",
    num_params=300,
    train_steps=20,
    task_options={"num_inputs": 8, "num_samples": 100},
    seed=3,
)


def test_it_gives_what_the_record_has(tmp_path):
    record = train(CONFIG, tmp_path / "run")
    model, _ = load_model(tmp_path / "run")
    for split in ("train", "eval"):
        assert evaluate(model, CONFIG, split) == pytest.approx(record.metrics[split])
    model.get_layer("readout").bias.assign_add([1.0])
    assert evaluate(model, CONFIG)["loss"] != pytest.approx(record.eval_loss, rel=1e-3)


def test_what_it_cannot_measure_is_refused():
    model = rnn_zoo.build_model("ugrnn", 1, 9, 8, 1)
    with pytest.raises(UserError, match="is of no preset: give the TrainConfig"):
        evaluate(model)
    with pytest.raises(UserError, match="unknown split 'test'; choose one of train, valid, eval"):
        evaluate(model, CONFIG, "test")
    other = dataclasses.replace(CONFIG, arch="gru")
    with pytest.raises(UserError, match=r"not the one of \d+ units that its configuration has"):
        evaluate(model, other)
    with pytest.raises(UserError, match="a Sequential is no model of"):
        evaluate(keras.Sequential(), CONFIG)
