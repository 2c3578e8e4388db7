"""A Keras model of your own, tuned: `GPOracle` with `keras_tuner.Tuner`.

    python examples/tune_own_model.py

Any function that builds and compiles a model from `hp` works. The search is durable: with a
permanent directory, the same command continues a search that was killed.
"""

import os
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import keras_tuner
import numpy as np

from rnn_zoo import layers
from tuning.search.oracles import GPOracle


def build(hp):
    cell = hp.Choice("layer", ["UGRNN", "GRU"], ordered=False)
    units = hp.Int("units", 4, 32, sampling="log")
    model = keras.Sequential(
        [keras.Input((None, 2)), getattr(layers, cell)(units), keras.layers.Dense(1)]
    )
    model.compile(keras.optimizers.Adam(hp.Float("lr", 1e-3, 1e-1, sampling="log")), "mse")
    return model


def problems(number, seed, steps=10):
    """Adding problem (Hochreiter and Schmidhuber 1997): sum of the two values marked by 1."""
    rng = np.random.default_rng(seed)
    values, marks = rng.uniform(size=(number, steps)), np.zeros((number, steps))
    chosen = np.argsort(rng.uniform(size=(number, steps)), axis=1)[:, :2]
    np.put_along_axis(marks, chosen, 1, axis=1)
    return np.stack([values, marks], -1), (values * marks).sum(1, keepdims=True)


def main():
    keras.utils.set_random_seed(0)
    objective = keras_tuner.Objective("val_loss", "min")
    with tempfile.TemporaryDirectory() as directory:
        oracle = GPOracle(objective, max_trials=4, initial_points=3, seed=0)
        tuner = keras_tuner.Tuner(oracle, build, directory=directory, project_name="adding")
        x, y = problems(512, seed=0)
        tuner.search(
            x, y, validation_data=problems(256, seed=1), batch_size=64, epochs=5, verbose=0
        )
        trials = oracle.get_best_trials(4)
        for trial in trials:
            values = trial.hyperparameters.values
            print(
                f"val_loss {trial.score:.4f}  {values['layer']:5}  units {values['units']:2}"
                f"  lr {values['lr']:.1e}"
            )
    print(
        f"best of {len(oracle.end_order)} trials: {trials[0].score:.4f}; "
        f"variance of the answers: {y.var():.4f}"
    )


if __name__ == "__main__":
    main()
