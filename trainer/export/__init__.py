"""Trained runs in forms that load without this project: SavedModel, LiteRT, ONNX.

Each form answers the same questions, as `trainer.export.signatures` has them: whole sequences, one
step with its states, and the learned states to start from.
"""

import importlib.util
import inspect
import pathlib

from trainer.errors import UserError
from trainer.export import litert, onnx, saved_model
from trainer.storage.files import whole_directory
from trainer.storage.records import RunDirectory

#: Format -> the module whose `write(directory, signatures, sizes)` writes it, by what it REQUIRES.
FORMATS = {"saved_model": saved_model, "litert": litert, "onnx": onnx}


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
    from trainer.config import TrainConfig
    from trainer.storage import checkpoints

    model = build_model(
        record.arch,
        record.depth,
        record.units,
        record.input_dim,
        record.output_dim,
        seed=record.seed,
        **TrainConfig(**record.config).cell_options(),
    )
    set_weights(model, checkpoints.latest_weights(directory.checkpoints, get_weights(model)))
    return model, record


def export(
    run_dir, format="saved_model", bits=None, granularity="row", batch_size=1, time_steps=None
):
    """Writes a run's model into its directory: `run_dir`/saved_model, or /litert, or /onnx.

    Args:
        run_dir: the run's directory.
        format: one of `FORMATS`.
        bits: to round the weights to so many bits each by `rnn_zoo.quantization`; the name then
            has them, as litert_5bit_row. The numbers are stored as float32 still.
        granularity: of that.
        batch_size: B of LiteRT's files, whose shapes are fixed.
        time_steps: T of LiteRT's sequences; the task's own if None.

    Returns:
        The path of the directory that was written.

    Raises:
        UserError: as `load_model` and `export_model`; what `rnn_zoo.quantization.quantize` refuses.
    """
    _check(format)
    model, record = load_model(run_dir)
    path = pathlib.Path(run_dir, format)
    if bits is not None:
        _round(model, bits, granularity)
        path = path.with_name(f"{format}_{bits}bit_{granularity}")
    return export_model(model, path, format, batch_size, time_steps or _task_steps(record))


def export_model(model, path, format="saved_model", batch_size=1, time_steps=1):
    """Writes a model that need not be of a run, as one of `rnn_zoo.load` or `build_model`.

    Args:
        model: a `rnn_zoo.RecurrentModel`.
        path: the directory to make; what lies there goes. Its parent must exist.
        format, batch_size, time_steps: as for `export`.

    Returns:
        The path.

    Raises:
        ValueError: a model of another making.
        UserError: an unknown format; Keras does not run on TensorFlow; a
            package that the format needs is missing.
    """
    _check(format)
    from rnn_zoo.model import check_model
    from trainer.export.signatures import Signatures

    check_model(model)
    with whole_directory(path) as directory:
        FORMATS[format].write(directory, Signatures(model), (batch_size, time_steps))
    return path


def check_format(format):
    """Refuses a format before anything is started for it.

    Raises:
        UserError: it is unknown, or a package that it needs is missing.
    """
    if format not in FORMATS:
        raise UserError(f"unknown format {format!r}; choose one of {', '.join(FORMATS)}")
    for package in FORMATS[format].REQUIRES:
        if importlib.util.find_spec(package) is None:
            raise UserError(f"the format {format} needs {package}: pip install 'rnn-zoo[export]'")


def _check(format):
    check_format(format)
    import keras

    if keras.backend.backend() != "tensorflow":
        raise UserError(f"{FORMATS[format].TITLE} needs TensorFlow; set KERAS_BACKEND=tensorflow")


def _round(model, bits, granularity):
    from rnn_zoo.model import get_weights, set_weights
    from rnn_zoo.quantization import quantize

    try:
        set_weights(model, quantize(get_weights(model), bits, granularity))
    except ValueError as error:
        raise UserError(str(error)) from None


def _task_steps(record):
    """T of the run's task, without reading the text of one that has a text."""
    from trainer.config import TrainConfig
    from trainer.tasks import TASKS

    config = TrainConfig(**record.config)
    options = inspect.signature(TASKS[config.task]).bind(**config.task_options)
    options.apply_defaults()
    return options.arguments.get("num_steps") or config.make_task().num_steps
