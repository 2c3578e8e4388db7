"""Exports trained runs to formats that load without this project: SavedModel, LiteRT, ONNX.

Each format has the signatures of `trainer.export.signatures`: whole sequences, one time step with
explicit states, and the learned initial states.
"""

import importlib.util
import inspect
import pathlib
from collections.abc import Callable
from typing import Any

from trainer.config import check_range, read_config
from trainer.errors import UserError, user_errors
from trainer.export import litert, onnx, saved_model
from trainer.storage.files import whole_directory
from trainer.storage.records import RunDirectory, RunRecord

#: Format -> module with `write(directory, signatures, sizes)`, TITLE and REQUIRES (packages).
FORMATS: dict[str, Any] = {"saved_model": saved_model, "litert": litert, "onnx": onnx}
#: A number of time steps that no slice of them has by chance.
_STEPS = 1009


def load_model(
    run_dir: str | pathlib.Path, say: Callable[[str], object] | None = None
) -> tuple[Any, RunRecord]:
    """Rebuild the Keras model of a run with its last weights.

    Args:
        run_dir: directory of the run.
        say: called with a sentence if the newest checkpoint is damaged or missing, so that the
            weights are those of an earlier step, or if the directory of a trial holds another run;
            if None, these are errors.

    Returns:
        (`keras.Model` from (B, T, I) to (B, T, O), the record).

    Raises:
        UserError: no run, no readable checkpoint, weights that are not finite, or a cell that is
            not registered.

    Example:
        model, record = load_model("runs/parens-gru")
    """
    directory = RunDirectory(run_dir)
    record = directory.read_record()
    config = read_config(record.config, directory.record_path)
    from rnn_zoo.model import build_model, get_weights, set_weights
    from trainer.storage.checkpoints import check_size, latest_weights

    check_size(directory, record)
    model = build_model(
        record.arch,
        record.depth,
        record.units,
        record.input_dim,
        record.output_dim,
        seed=record.seed,
        **config.cell_options(),
    )
    set_weights(model, latest_weights(directory, get_weights(model), say))
    return model, record


def export(
    run_dir: str | pathlib.Path,
    format: str = "saved_model",
    bits: int | None = None,
    granularity: str = "row",
    batch_size: int = 1,
    time_steps: int | None = None,
) -> pathlib.Path:
    """Export a run's model into its directory, as `run_dir`/saved_model, /litert or /onnx.

    Args:
        run_dir: directory of the run.
        format: one of `FORMATS`.
        bits: rounds the weights to this many bits by `rnn_zoo.quantization`, and names the
            directory after them, such as litert_5bit_row. They are still stored as float32.
        granularity: as for `rnn_zoo.quantization.quantize`.
        batch_size: B of LiteRT's files; 0 for any, in slower files.
        time_steps: T of LiteRT's sequences, 0 for any; the task's T if None.

    Returns:
        Path of the exported directory.

    Raises:
        UserError: a run that diverged, or as for `load_model`, `export_model` and
            `rnn_zoo.quantization.quantize`.
    """
    _check(format)
    model, record = load_model(run_dir)
    if record.status == "infeasible":
        raise UserError(
            f"{run_dir} diverged; export another run, or its last weights with load_model and "
            "export_model"
        )
    path = pathlib.Path(run_dir, format)
    if bits is not None:
        _round(model, bits, granularity)
        path = path.with_name(f"{format}_{bits}bit_{granularity}")
    if time_steps is None:
        time_steps = _task_steps(record)
    return export_model(model, path, format, batch_size, time_steps)


def export_model(
    model: Any,
    path: str | pathlib.Path,
    format: str = "saved_model",
    batch_size: int = 1,
    time_steps: int = 1,
) -> pathlib.Path:
    """Export a model that need not belong to a run, such as one from `rnn_zoo.load`.

    Args:
        model: as for `rnn_zoo.model.stack_of`, with the outputs of all steps.
        path: directory to write. An earlier export there is replaced.
        format, batch_size, time_steps: as for `export`.

    Returns:
        The path.

    Raises:
        ValueError: another model, or one that runs backwards or is stateful. LiteRT and ONNX
            take no precision but float32 either.
        UserError: an unknown format, a missing package, a size that is not a whole number, a
            backend other than TensorFlow, or a directory that holds something else.
    """
    _check(format)
    for name, size in (("batch_size", batch_size), ("time_steps", time_steps)):
        check_range(f"{name} (0: any)", size, 0, litert.MOST_VALUES, whole=True)
    from rnn_zoo.model import RecurrentModel, check_streamable, stack_of
    from trainer.export.signatures import Signatures

    check_streamable(model)
    layers, readout = stack_of(model)
    for layer in (*layers, readout):
        if getattr(layer, "stateful", False):
            raise ValueError(
                f"{layer.name} is stateful, but an export takes and returns its states; build the "
                "model with stateful=False"
            )
        if layer.compute_dtype != "float32" and FORMATS[format] is not saved_model:
            raise ValueError(
                f"{layer.name} computes in {layer.compute_dtype}, which an export to "
                f"{FORMATS[format].TITLE} does not; load the model in float32"
            )
    last = layers[-1]
    if not (last.return_sequences or isinstance(model, RecurrentModel)):
        raise ValueError(
            f"{last.name} returns its last output alone; export a model that returns those of all "
            "steps, with return_sequences=True"
        )
    if model.compute_output_shape((1, _STEPS, model.input_shape[-1]))[1] != _STEPS:
        raise ValueError(
            f"{model.name} returns the outputs of some time steps; export a model that returns "
            "those of all, without output_steps"
        )
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    with whole_directory(path) as directory:
        FORMATS[format].write(
            directory, Signatures(model), (batch_size or None, time_steps or None)
        )
    return pathlib.Path(path)


def check_format(format: str) -> None:
    """Check that a format is known and its packages are installed.

    Raises:
        UserError: an unknown format, or a missing package.
    """
    if format not in FORMATS:
        raise UserError(f"unknown format {format!r}; choose one of {', '.join(FORMATS)}")
    for package in FORMATS[format].REQUIRES:
        if importlib.util.find_spec(package) is None:
            raise _missing(format, package)


def _missing(format, package):
    return UserError(f"the format {format} needs {package}: pip install 'rnn-zoo[export]'")


def _check(format):
    check_format(format)
    for package in FORMATS[format].REQUIRES:
        try:
            is_whole = getattr(importlib.import_module(package), "__file__", None) is not None
        except ImportError:  # of it, or of a package that it needs
            is_whole = False
        if not is_whole:
            raise _missing(format, f"a whole {package}")
    import keras

    if keras.backend.backend() != "tensorflow":
        raise UserError(
            f"{FORMATS[format].TITLE} needs TensorFlow; load the run, or a saved model, with "
            "KERAS_BACKEND=tensorflow"
        )


def _round(model, bits, granularity):
    from rnn_zoo.model import get_weights, set_weights
    from rnn_zoo.quantization import quantize

    with user_errors():
        set_weights(model, quantize(get_weights(model), bits, granularity))


def _task_steps(record):
    """Return T of the run's task; avoid reading a text if possible."""
    from trainer.tasks import TASKS

    config = read_config(record.config, record.run_id)
    options = inspect.signature(TASKS[config.task]).bind(**config.task_options)
    options.apply_defaults()
    return options.arguments.get("num_steps") or config.make_task().num_steps
