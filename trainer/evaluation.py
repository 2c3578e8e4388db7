"""A model's scores, measured as those of records and of presets' cards are."""

import dataclasses

import keras
from keras import ops

from rnn_zoo.model import check_as_built, get_weights, recurrent_cells
from trainer.config import TrainConfig
from trainer.errors import UserError
from trainer.tasks.base import SPLITS
from trainer.trial import Trial


class Evaluator:
    """A function from weights to metrics; its programs are compiled once for all of them.

    Args:
        trial: the `Trial` whose task and model they are.
    """

    def __init__(self, trial):
        self._trial, self._program = trial, trial.program()

    def __call__(self, weights, split="eval"):
        """Metrics of a split.

        Args:
            weights: as of `rnn_zoo.model.get_weights`.
            split: "train", "valid" or "eval".

        Returns:
            dict from name to float or list; None if the loss is not finite.
        """
        task, hparams = self._trial.task, self._trial.hparams(self._program)
        weights = keras.tree.map_structure(ops.convert_to_tensor, weights)

        def evaluate(*arguments):
            return self._program.evaluate(weights, hparams, task.device_data, *arguments)

        measured = self._trial.measure(evaluate, [split])
        return measured and measured[split]


def evaluate(model, config=None, split="eval"):
    """Measures a model on its task, on the samples that the scores of runs and presets are of.

    Args:
        model: of `rnn_zoo.load`, `trainer.export.load_model` or `rnn_zoo.build_model`.
        config: the `TrainConfig` that says the task, the cells' options and how many samples; by
            default, that of the preset which the model was loaded from. A text8 model needs
            `task_options` with the text's path.
        split: "train", "valid" or "eval".

    Returns:
        dict from metric to float or list, "loss" among them; None if the loss is not finite.

    Raises:
        UserError: no configuration, an unknown split, or a model that the configuration does not
            make: of another shape or architecture, or whose cells have other options.
        ValueError: as `rnn_zoo.model.check_as_built`.

    Example:
        model = rnn_zoo.load("parens/gru-10k")
        print(trainer.evaluate(model)["loss"], model.preset.scores["eval"])
    """
    check_as_built(model)
    if config is None and model.preset is None:
        raise UserError(
            "the model is of no preset, or was saved and loaded since: give its TrainConfig, config"
        )
    if split not in SPLITS:
        raise UserError(f"unknown split {split!r}; choose one of {', '.join(SPLITS)}")
    # What it starts from is of no account to what it is.
    config = dataclasses.replace(config or TrainConfig(**model.preset.config), preset=None)
    trial, weights = Trial(config), get_weights(model)
    expected, found = trial.cells, recurrent_cells(model)
    if _shapes(weights) != _shapes(trial.draw_weights()) or any(
        type(one) is not type(other) for one, other in zip(expected, found, strict=True)
    ):
        raise UserError(
            f"the model is not the one of the configuration: {config.arch}, {trial.units} units, "
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
    """The arguments of a cell that decide what it computes with given weights."""
    config = cell.get_config()
    of_layers = ("name", "dtype", "trainable")
    of_first_weights = ("seed", "matrix_init", "bias_init", "learned_initial_state")
    scales = ("input_scale", "recurrent_scale", "bias_scale")
    for name in (*of_layers, *of_first_weights, *scales):
        config.pop(name, None)
    return config
