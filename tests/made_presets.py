"""Presets of random models, in a directory that stands for the package's."""

import dataclasses

import keras
import numpy as np

from rnn_zoo.model import build_model, get_weights
from rnn_zoo.presets.writing import write
from trainer.config import TrainConfig
from trainer.trial import Trial
from tuning.presets import card

SEARCH = {"algorithm": "random", "num_trials": 4, "infeasible": 1}


def record_of(config, **results):
    record = Trial(config, "0000").record()
    record.metrics = {"eval": {"loss": 2.5, "accuracy": 0.25}}
    given = {"steps_done": config.train_steps, "status": "ok", "seconds": 1.5, **results}
    losses = {"train_loss": 2.0, "valid_loss": 2.25, "eval_loss": 2.5, "objective": 2.25}
    return dataclasses.replace(record, **losses | given)


def make(root, name, config, weights=True):
    """Write a preset of a model with random weights; return these."""
    made = card(name, record_of(config), SEARCH)
    model = build_model(
        made.arch, made.depth, made.units, made.input_dim, made.output_dim, **made.options
    )
    rng = np.random.default_rng(3)
    drawn = keras.tree.map_structure(
        lambda w: rng.normal(scale=0.3, size=w.shape).astype("float32"), get_weights(model)
    )
    write(root, made, drawn if weights else None)
    return drawn


SMALL = TrainConfig(
    "capacity",
    "gru",
    num_params=300,
    train_steps=20,
    batch_size=8,
    activation="tanh",
    gate_bias={"u": 0.5},
    matrix_init="normal",
    input_scale=dict.fromkeys("ruc", 0.7),
    recurrent_scale=dict.fromkeys("ruc", 0.9),
    bias_scale=dict.fromkeys("ruc", -0.3),
    task_options={"num_samples": 200, "presentation": "first"},
    optimizer="sgd",
    l2_decay=1e-6,
)
DEEP = TrainConfig(
    "memory",
    "+rnn",
    depth=3,
    num_params=3000,
    activation="relu",
    gate_bias={"gy": 1.0, "gh": 2.0},
)
