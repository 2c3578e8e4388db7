"""python -m trainer.export --run_dir=DIR: a trained run as a SavedModel, to be loaded without us.

Signatures, all with dynamic batch B and time T:

    serving_default  inputs (B, T, I)                  -> outputs (B, T, O)
    initial_state    batch_size ()                     -> the learned states, each (B, N)
    step             inputs (B, I) and the states      -> outputs (B, O) and the states after

States are named layer_0_h, and for the LSTM layer_0_h and layer_0_c, and so on up the stack.
"""

import os
import pathlib
import shutil

from absl import flags

from trainer import cli
from trainer.errors import UserError
from trainer.records import RunDirectory

USAGE = """Exports a trained run as a SavedModel, in the run's directory.

  python -m trainer.export --run_dir=runs/NAME

Flags:"""

FLAGS = flags.FlagValues()
flags.DEFINE_string("run_dir", None, "the directory of the run", flag_values=FLAGS)


def load_model(run_dir):
    """Rebuilds the Keras model of a run, with the weights of its newest whole checkpoint.

    Returns:
        (the `keras.Model` from (B, T, I) to (B, T, O), the `RunRecord`).

    Raises:
        UserError: no run there, or no readable checkpoint.
    """
    directory = RunDirectory(run_dir)
    record = directory.read_record()
    from rnn_zoo.model import build_model, get_weights, set_weights
    from trainer import checkpoints
    from trainer.config import TrainConfig

    model = build_model(
        record.arch,
        record.depth,
        record.units,
        record.input_dim,
        record.output_dim,
        seed=record.seed,
        **TrainConfig(**record.config).cell_options(),
    )
    weights, problems = checkpoints.latest(
        directory.checkpoints, get_weights(model), part="weights"
    )
    if weights is None:
        problem = f": {problems[0]}" if problems else ""
        raise UserError(f"no readable checkpoint in {directory.checkpoints}{problem}")
    set_weights(model, weights)
    return model, record


def export(run_dir):
    """Writes `run_dir`/saved_model.

    Returns:
        Its path.

    Raises:
        UserError: as `load_model`; or Keras does not run on TensorFlow.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        raise UserError("a SavedModel needs TensorFlow; set KERAS_BACKEND=tensorflow")
    import tensorflow as tf

    model, _ = load_model(run_dir)
    path = pathlib.Path(run_dir) / "saved_model"
    partial, old = path.with_name(".saved_model.partial"), path.with_name(".saved_model.old")
    for leftover in (partial, old):
        shutil.rmtree(leftover, ignore_errors=True)
    module = _module(tf, model)
    tf.saved_model.save(module, str(partial), signatures=module.signatures_to_save)
    if path.exists():
        os.replace(path, old)
    os.replace(partial, path)
    shutil.rmtree(old, ignore_errors=True)
    return path


def _module(tf, model):
    """The model and its signatures as one trackable object."""
    from rnn_zoo.model import recurrent_cells

    cells, readout = recurrent_cells(model), model.get_layer("readout")
    input_dim = model.input_shape[-1]
    names = [[f"layer_{i}_{name}" for name in cell.state_names] for i, cell in enumerate(cells)]

    def spec(*shape, name):
        return tf.TensorSpec(shape, tf.float32, name=name)

    @tf.function(input_signature=[spec(None, None, input_dim, name="inputs")])
    def sequence(inputs):
        return {"outputs": model(inputs)}

    @tf.function(input_signature=[tf.TensorSpec((), tf.int32, name="batch_size")])
    def initial_state(batch_size):
        states = {}
        for cell, cell_names in zip(cells, names, strict=True):
            values = tf.nest.flatten(cell.get_initial_state(batch_size=batch_size))
            states |= dict(zip(cell_names, values, strict=True))
        return states

    def step(inputs, **states):
        new_states, x = {}, inputs
        for cell, cell_names in zip(cells, names, strict=True):
            x, values = cell(x, [states[name] for name in cell_names])
            new_states |= dict(zip(cell_names, values, strict=True))
        return {"outputs": readout(x)} | new_states

    state_specs = {
        name: spec(None, cell.units, name=name)
        for cell, cell_names in zip(cells, names, strict=True)
        for name in cell_names
    }
    module = tf.Module()
    module.model = model
    module.signatures_to_save = {
        "serving_default": sequence,
        "initial_state": initial_state,
        "step": tf.function(step).get_concrete_function(
            spec(None, input_dim, name="inputs"), **state_specs
        ),
    }
    return module


def main():
    if not FLAGS.run_dir:
        raise UserError("--run_dir is missing: the directory of the run to export")
    RunDirectory(FLAGS.run_dir).read_record()
    # Weights are the same on every backend; a SavedModel is TensorFlow's.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    cli.start_backend()
    print(f"exported {export(FLAGS.run_dir)}")


def run():
    """The console script."""
    cli.run(main, FLAGS, USAGE)


if __name__ == "__main__":
    run()
