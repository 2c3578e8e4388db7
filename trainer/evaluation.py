"""Measures models on their tasks, with the metrics that run records and preset cards report."""

from typing import Any

import keras
from keras import ops

from rnn_zoo.architectures import INITIAL_ARGUMENTS
from rnn_zoo.model import check_as_built, get_weights, recurrent_cells
from trainer.config import TrainConfig
from trainer.display.words import count
from trainer.errors import UserError
from trainer.initial_weights import preset_config
from trainer.tasks.base import SPLITS
from trainer.trial import Trial


class Evaluator:
    """Measures weights of one model shape, compiling only once.

    Args:
        trial: determines the task and the model.
    """

    def __init__(self, trial: Trial):
        self._trial, self._program = trial, trial.program()

    def __call__(self, weights: dict, split: str = "eval") -> dict | None:
        """Measure a split.

        Args:
            weights: in the form of `rnn_zoo.model.get_weights`.
            split: "train", "valid" or "eval".

        Returns:
            dict from metric to float or list; None if the loss is not finite.
        """
        hparams = self._trial.hparams(self._program)
        weights = keras.tree.map_structure(ops.convert_to_tensor, weights)

        def evaluate(split, num_samples, whole, multiple):
            task = self._trial.task_at(multiple)
            arguments = (task.device_data, split, num_samples, whole, task)
            return self._program.evaluate(weights, hparams, *arguments)

        measured = self._trial.measure(evaluate, [split])
        return measured and measured[split]


def evaluate(model: Any, config: TrainConfig | None = None, split: str = "eval") -> dict | None:
    """Measure a model on its task, with the same samples as for runs and presets.

    Args:
        model: from `rnn_zoo.load`, `trainer.export.load_model` or `rnn_zoo.build_model`.
        config: determines the task, the cells' options and the number of samples; if None, the
            configuration of the model's preset. For text8, `task_options` can give the text's path.
        split: "train", "valid" or "eval".

    Returns:
        dict from metric, such as "loss", to float or list; None if the loss is not finite.

    Raises:
        UserError: no configuration, an unknown split, or a model whose shape, architecture or cell
            options differ from the configuration's.
        ValueError: as for `rnn_zoo.model.check_as_built`.

    Example:
        model = rnn_zoo.load("parens/gru-10k")
        print(trainer.evaluate(model)["loss"], model.preset.scores["eval"])
    """
    check_as_built(model)
    if not isinstance(config, TrainConfig | None):
        raise UserError(
            f"config is a TrainConfig, not a {type(config).__name__}; that of a record is "
            "TrainConfig(**record.config)"
        )
    if config is None and (model.preset is None or model.preset.config is None):
        raise UserError(
            "the model has no preset with a configuration, or lost it when it was saved: pass "
            "config, its TrainConfig"
        )
    if split not in SPLITS:
        raise UserError(f"unknown split {split!r}; choose one of {', '.join(SPLITS)}")
    config = config or preset_config(model.preset)
    trial, weights = Trial(config), get_weights(model)
    expected, found = trial.cells, recurrent_cells(model)
    if _shapes(weights) != _shapes(trial.random_weights()) or any(
        type(one) is not type(other) for one, other in zip(expected, found, strict=True)
    ):
        raise UserError(
            f"the model does not match the configuration: {config.arch}, "
            f"{count(trial.units, 'unit')}, "
            f"depth {config.depth}, for {config.task}"
        )
    for one, other in zip(expected, found, strict=True):
        for name, value in _equations(one).items():
            if _equations(other)[name] != value:
                raise UserError(
                    f"the model's cells have {name} {_equations(other)[name]}, and the "
                    f"configuration {value}"
                )
    return Evaluator(trial)(weights, split)


def _shapes(weights):
    return [tuple(array.shape) for array in keras.tree.flatten(weights)]


def _equations(cell):
    """Return the arguments of a cell that affect its outputs for given weights."""
    config = cell.get_config()
    of_layers = ("name", "dtype", "trainable")
    of_first_weights = ("seed", "learned_initial_state", *INITIAL_ARGUMENTS)
    for name in (*of_layers, *of_first_weights):
        config.pop(name, None)
    return config
