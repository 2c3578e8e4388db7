"""Runs that look as if stopped at their first checkpoint, with weights that are all random."""

import keras
import numpy as np

from trainer.storage import checkpoints
from trainer.storage.records import RunDirectory
from trainer.trial import Trial


def write_run(directory, config, shrink=1.0):
    """Writes a run of a `TrainConfig`, with `shrink` times its first weights, and noise."""
    trial = Trial(config, directory.name)
    state = trial.program().start(trial.draw_weights())
    rng = np.random.default_rng(1)
    state["weights"] = keras.tree.map_structure(
        lambda w: shrink * w + 0.1 * rng.normal(size=w.shape), state["weights"]
    )
    run = RunDirectory(directory)
    run.create(trial.record(), {})
    checkpoints.write(run.checkpoints, state)
