"""Invalid configurations are refused in one line, before anything is built."""

import dataclasses
import os

import numpy as np
import pytest

from rnn_zoo.sizing import count_params
from trainer import TrainConfig, UserError, initial_weights
from trainer.config import is_registered, without_effect

INITIAL = ["matrix_init", "bias_init", "input_scale", "recurrent_scale", "bias_scale"]


@pytest.mark.parametrize(
    "changes, names",
    [
        ({}, []),
        ({"optimizer": "sgd"}, ["momentum_logit"]),
        ({"arch": "rnn"}, ["gate_bias"]),
        ({"arch": "irnn"}, ["gate_bias", "recurrent_scale"]),
        ({"arch": "irnn", "matrix_init": "normal"}, ["gate_bias"]),
        ({"matrix_init": "identity"}, ["recurrent_scale"]),
        # Its products are diagonal, and have a scale.
        ({"arch": "brc", "matrix_init": "identity"}, ["matrix_init"]),
        ({"bias_init": "normal"}, ["bias_init"]),
        ({"bias_init": "normal", "bias_scale": {"r": 0.0, "u": 0.0, "c": 0.1}}, []),
        ({"init_from": "runs/a"}, INITIAL),
        ({"preset": "parens/gru-10k", "optimizer": "sgd"}, ["momentum_logit", *INITIAL]),
        ({"arch": "unknown", "optimizer": "unknown"}, []),
    ],
    ids=str,
)
def test_values_without_effect_are_known(changes, names):
    assert list(without_effect(FINE | changes)) == names


FINE = {"task": "parens", "arch": "gru"}

#: Error -> (changes, parts of the message: the value, and the choices or limits).
WRONG = {
    "task": ({"task": "paren"}, ["'paren'", "parens", "text8", "capacity"]),
    "architecture": ({"arch": "gur"}, ["'gur'", "gru", "ugrnn", "+rnn"]),
    "architectures": ({"arch": ["gru"]}, ["['gru']", "gru", "ugrnn"]),
    "optimizer": ({"optimizer": "adagrad"}, ["'adagrad'", "sgd, momentum, rmsprop, adam"]),
    "activation": ({"activation": "gelu"}, ["'gelu'", "tanh", "relu"]),
    "matrix law": ({"matrix_init": "uniform"}, ["'uniform'", "identity", "orthogonal", "normal"]),
    "bias law": ({"bias_init": "zeros"}, ["'zeros'", "constant", "normal"]),
    "depth": ({"depth": 0}, ["depth", "0", "at least 1"]),
    "depth of the +RNN": ({"arch": "+rnn", "depth": 1}, ["depth 1", "+rnn", "depth 2"]),
    "fraction": ({"train_steps": 1.5}, ["train_steps", "1.5", "whole"]),
    "text": ({"batch_size": "64"}, ["batch_size", "'64'", "whole"]),
    "bool": ({"batch_size": True}, ["batch_size", "True"]),
    "budget": ({"num_params": -1}, ["num_params", "-1"]),
    "samples": ({"eval_samples": 0}, ["eval_samples", "0"]),
    "many samples": ({"eval_samples": 10**12}, ["eval_samples", "100000000", str(10**12)]),
    "seed": ({"seed": -1}, ["seed", "-1"]),
    "large seed": ({"seed": 2**31}, ["seed", str(2**31)]),
    "rate": ({"lr_init": 0}, ["lr_init", "greater than 0"]),
    "NaN": ({"lr_init": float("nan")}, ["lr_init", "nan"]),
    "infinity": ({"gradient_clip_val": float("inf")}, ["gradient_clip_val", "inf"]),
    "decay": ({"lr_decay_rate": -0.1}, ["lr_decay_rate", "-0.1"]),
    "penalty": ({"l2_decay": -1e-9}, ["l2_decay", "-1e-09"]),
    "logit": ({"momentum_logit": "x"}, ["momentum_logit", "'x'"]),
    "gate bias": ({"gate_bias": "x"}, ["gate_bias", "'x'"]),
    "infinite in float32": (
        {"gate_bias": 1e300},
        ["gate_bias", "at least -3.4", "at most 3.4", "got 1e+300"],
    ),
    "negative": ({"momentum_logit": -4e38}, ["momentum_logit", "got -4e+38"]),
    "of a gate": ({"input_scale": dict.fromkeys("ruc", 1e39)}, ["input_scale", "got 1e+39"]),
    "400 digits": ({"lr_init": 10**400}, ["lr_init", "greater than 0 and at most 3.4", "got 1000"]),
    "400 digits of it": ({"num_params": 10**400}, ["num_params", "at most 3.4"]),
    "preset": ({"preset": 7}, ["preset must be a string or None, got 7"]),
    "source": ({"init_from": ["runs/a"]}, ["init_from must be a string or None, got ['runs/a']"]),
    "name of a file": ({"init_from": os.fsdecode(b"a\xff")}, ["init_from must be UTF-8", "udcff"]),
    "task option": ({"task_options": {"steps": 3}}, ["'steps'", "num_steps"]),
}


@pytest.mark.parametrize("what", WRONG)
def test_an_invalid_value_is_refused(what):
    changes, parts = WRONG[what]
    with pytest.raises(UserError) as caught:
        TrainConfig(**FINE | changes)
    message = str(caught.value)
    assert "\n" not in message
    assert all(part in message for part in parts), message


def test_the_alias_is_resolved_and_the_depth_is_the_architectures():
    assert TrainConfig(**FINE).depth == 1
    config = TrainConfig(task="parens", arch="plus_rnn")
    assert (config.arch, config.depth) == ("+rnn", 2)
    assert config == TrainConfig(task="parens", arch="+rnn", depth=2)


def test_a_configuration_is_frozen_and_made_again_from_its_fields():
    config = TrainConfig(**FINE, task_options={"num_steps": 12})
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.depth = 2
    assert TrainConfig(**dataclasses.asdict(config)) == config


def test_hyperparameters_are_what_does_not_say_which_experiment_it_is():
    hparams = TrainConfig(**FINE).hparams
    assert {"lr_init", "optimizer", "gate_bias", "train_steps", "task_options"} <= hparams.keys()
    assert not {"task", "arch", "depth", "num_params", "seed"} & hparams.keys()


def test_the_units_are_the_most_within_the_budget():
    config = TrainConfig(**FINE, num_params=5000)
    units = config.units(300, 100)
    counts = [count_params("gru", 1, n, 300, 100) for n in (units, units + 1)]
    assert counts[0] <= 5000 < counts[1]


def test_too_small_a_budget_is_refused_with_the_smallest():
    with pytest.raises(UserError) as caught:
        TrainConfig(**FINE, num_params=100).units(300, 100)
    assert f"{count_params('gru', 1, 1, 300, 100):,}" in str(caught.value)
    assert "100 parameters" in str(caught.value)


def test_the_choices_are_all_that_there_is():
    """`config` repeats the names, because it must not import Keras."""
    from rnn_zoo.initializers import BIAS_INITS, MATRIX_INITS
    from trainer import config

    assert set(config.MATRIX_INITS) == set(MATRIX_INITS)
    assert set(config.BIAS_INITS) == set(BIAS_INITS)


@pytest.mark.parametrize(
    "changes",
    [
        {"num_params": 10**14},
        {"batch_size": 10**12},
        {"task": "memory", "task_options": {"delay": 10**8}},
    ],
)
def test_training_that_no_memory_holds_is_refused(changes):
    config = TrainConfig(**FINE | changes)
    message = (
        r"this training needs [\d,]+ GiB, and this machine has \d+; use a smaller --batch_size"
    )
    with pytest.raises(UserError, match=message):
        initial_weights.check(config, config.make_task())


def test_the_largest_number_of_float32_is_allowed():
    largest = float(np.finfo(np.float32).max)
    assert TrainConfig(**FINE, gate_bias=largest, momentum_logit=-largest).gate_bias == largest


@pytest.mark.parametrize("fields", [{}, {"task": "memory"}, {"arch": "gru"}])
def test_a_configuration_without_names_is_not_registered(fields):
    assert not is_registered(fields)
