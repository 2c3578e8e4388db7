import random

import numpy as np
import pytest

LETTERS = " abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(scope="session")
def text():
    """A text of 4,000 characters, some symbols more frequent than others."""
    source = random.Random(2017)
    return "".join(source.choices(LETTERS, weights=range(60, 6, -2), k=4000))


@pytest.fixture(scope="session")
def text_file(text, tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text"
    path.write_text(text)
    return path


@pytest.fixture(scope="session")
def series_file(tmp_path_factory):
    """A file of two random walks."""
    path = tmp_path_factory.mktemp("series") / "walks.npy"
    np.save(path, np.cumsum(np.random.default_rng(0).normal(size=(900, 2)), axis=0))
    return path


@pytest.fixture
def evaluate():
    """A function (task, model, split, seed, num_samples) -> metrics, measured by the trainer.

    With `lanes`, it measures that many copies of the model; the task's data then have lanes too.
    """
    import keras

    import trainer
    from rnn_zoo.model import get_weights, recurrent_cells
    from trainer.program import Program, stack

    def measure(task, model, split, seed, num_samples, lanes=None, **options):
        cells = recurrent_cells(model)
        activation = keras.activations.serialize(cells[0].activation)
        program = Program(task, cells, 8, ["adam"], [activation])
        config = trainer.TrainConfig(task=task.name, arch="rnn", seed=seed)
        hparams = program.hparams(config, cells[0], activation)
        weights = get_weights(model)
        if lanes:
            weights, hparams = stack([weights] * lanes), stack([hparams] * lanes)
        weights = program.start(weights)["weights"]
        return program.evaluate(weights, hparams, task.device_data, split, num_samples, **options)

    return measure
