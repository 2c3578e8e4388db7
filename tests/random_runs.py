"""Runs with random weights, as if stopped at a checkpoint."""

import keras
import numpy as np

from trainer.storage import checkpoints
from trainer.storage.records import RunDirectory
from trainer.trial import Trial


def write_run(directory, config, shrink=1.0, step=0):
    """Write a run, stopped at a step, whose weights are `shrink` times initial ones plus noise."""
    trial = Trial(config, directory.name)
    state = trial.program().start(trial.draw_weights()) | {"step": np.int32(step)}
    rng = np.random.default_rng(1)
    state["weights"] = keras.tree.map_structure(
        lambda w: shrink * w + 0.1 * rng.normal(size=w.shape), state["weights"]
    )
    run, record = RunDirectory(directory), trial.record()
    record.steps_done = step
    run.create(record, {})
    checkpoints.write(run.checkpoints, state, record.identity)
