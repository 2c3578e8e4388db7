"""`trainer.evaluate` gives the scores of records."""

import dataclasses

import keras
import pytest

import rnn_zoo
from trainer import TrainConfig, UserError, evaluate, train
from trainer.export import load_model

CONFIG = TrainConfig(
    task="memory",
    arch="+rnn",
    depth=2,
    num_params=900,
    train_steps=20,
    eval_samples=64,
    task_options={"dimensions": 8, "delay": 2},
    gate_bias={"gy": 1.0, "gh": 2.0},
    seed=3,
)


@pytest.mark.slow
def test_it_gives_what_the_record_has(tmp_path):
    config = dataclasses.replace(CONFIG, arch="ugrnn", depth=1, gate_bias=2.0)
    record = train(config, tmp_path / "run")
    model, _ = load_model(tmp_path / "run")
    for split in ("train", "valid"):
        assert evaluate(model, config, split) == pytest.approx(record.metrics[split])
    assert record.valid_loss != pytest.approx(record.eval_loss, rel=1e-4)
    model.get_layer("readout").bias.assign_add([1.0] * 8)
    assert evaluate(model, config)["loss"] > record.eval_loss + 0.5


def built(arch="+rnn", gate_bias=(1.0, 2.0), **options):
    units = rnn_zoo.units_for_budget("+rnn", 2, 900, 8, 8)
    return rnn_zoo.build_model(arch, 2, units, 8, 8, gate_bias=gate_bias, **options)


def test_other_models_are_refused():
    model = built()
    with pytest.raises(
        UserError, match="no preset with a configuration, or lost it when it was saved: pass"
    ):
        evaluate(model)
    with pytest.raises(UserError, match="unknown split 'test'; choose one of train, valid, eval"):
        evaluate(model, CONFIG, "test")
    with pytest.raises(
        ValueError, match=r"of rnn_zoo.build_model or rnn_zoo.load, got a Sequential"
    ):
        evaluate(keras.Sequential(), CONFIG)
    readout = model.get_layer("readout")
    readout.enable_lora(1)
    with pytest.raises(ValueError, match="the readout is quantized or has LoRA"):
        evaluate(model, CONFIG)


@pytest.mark.parametrize(
    "model, message",
    [
        (
            {"gate_bias": 3.0},
            r"gate_bias \{'gy': 3.0, 'gh': 3.0\}, and the .* \{'gy': 1.0, 'gh': 2.0\}",
        ),
        ({"activation": "relu"}, "the model's cells have activation relu, and the .* tanh"),
        ({"depth_activation": "tanh"}, "the model's cells have depth_activation tanh, and"),
        ({"arch": "gru", "gate_bias": 1.0}, r"does not match the configuration: \+rnn, \d+ units"),
    ],
)
def test_a_model_of_other_equations_is_refused(model, message):
    with pytest.raises(UserError, match=message):
        evaluate(built(**model), CONFIG)


def test_one_that_was_built_for_the_configuration_is_measured():
    assert evaluate(built(seed=1), CONFIG)["loss"] > 0
    other = dataclasses.replace(CONFIG, arch="irnn", depth=1, gate_bias=1.0)
    units = rnn_zoo.units_for_budget("irnn", 1, 900, 8, 8)
    rnn = rnn_zoo.build_model("rnn", 1, units, 8, 8, activation="relu")
    with pytest.raises(UserError, match="does not match the configuration: irnn"):
        evaluate(rnn, other)
