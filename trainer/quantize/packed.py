"""A quantised model as one small safetensors file, with the model's description as metadata.

    codes    uint8, `rnn_zoo.quantization.pack` of the codes of all matrices, concatenated
    scales   float32, one or N per matrix, concatenated
    vectors  float32, biases and initial states, concatenated

Weights are in the order of `keras.tree` for the structure of `rnn_zoo.model.get_weights`.
"""

import json
import os
from os import PathLike
from typing import Any, Literal, TypedDict

import numpy as np

from rnn_zoo.files import whole
from rnn_zoo.json_types import Size
from rnn_zoo.quantization import codes_of, dequantize, is_matrix, pack, unpack
from trainer.errors import UserError
from trainer.storage import json_files
from trainer.storage.files import open_regular
from trainer.storage.records import RunRecord

_MODEL = ("arch", "depth", "units", "input_dim", "output_dim")
#: Arguments of all cells that affect their outputs; the others are initializers. A cell's own
#: arguments, `arch_options`, are stored too.
_OPTIONS = ("activation", "gate_bias")


class Shape(TypedDict):
    """Arguments of `build_model` that determine the shapes of the weights."""

    arch: str
    depth: Size
    units: Size
    input_dim: Size
    output_dim: Size


class Facts(TypedDict):
    """Description of a quantised model."""

    run_id: str
    task: str
    bits: Size
    granularity: Literal["tensor", "row"]
    eval_loss: float | None
    model: Shape
    options: dict[str, Any]


def write(
    path: str | PathLike,
    record: RunRecord,
    weights: dict,
    bits: int,
    granularity: str,
    eval_loss: float | None,
) -> None:
    """Quantise a model's weights and write them.

    Args:
        path: the file to write.
        record: record of the run.
        weights: in the form of `rnn_zoo.model.get_weights`, not yet rounded.
        bits, granularity: as for `rnn_zoo.quantization.quantize`.
        eval_loss: measured with the rounded weights; None if it is not finite.
    """
    import keras
    from safetensors.numpy import save

    from trainer.config import TrainConfig
    from trainer.storage import checkpoints

    flat = keras.tree.flatten(weights)
    coded = [codes_of(array, bits, granularity) for array in flat if is_matrix(array)]
    arrays = {
        "codes": pack(np.concatenate([codes.ravel() for codes, _ in coded]), bits),
        "scales": np.concatenate([scales for _, scales in coded]),
        "vectors": np.concatenate([array for array in flat if not is_matrix(array)]),
    }
    config = TrainConfig(**record.config)
    stored = {*_OPTIONS, *config.arch_options}
    facts = {
        "run_id": record.run_id,
        "task": record.task,
        "bits": bits,
        "granularity": granularity,
        "eval_loss": eval_loss,
        "model": {name: getattr(record, name) for name in _MODEL},
        "options": {name: value for name, value in config.cell_options().items() if name in stored},
    }
    text = json.dumps(facts, allow_nan=False)
    with whole(path) as file:
        file.write(
            save(arrays, metadata={"facts": text, "sha256": checkpoints.digest_of(arrays, text)})
        )


def read(path: str | PathLike) -> tuple[dict, dict[str, Any]]:
    """Read a file written by `write`.

    Returns:
        (weights, equal to `rnn_zoo.quantization.quantize` of the original ones; dict with run_id,
        task, bits, granularity, eval_loss, model and options).

    Raises:
        UserError: the file is missing or damaged.
    """
    import keras
    from safetensors import SafetensorError, safe_open

    from rnn_zoo.functional import weights_to_fill
    from trainer.storage import checkpoints

    try:
        os.close(open_regular(path))
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in ("codes", "scales", "vectors")}
            metadata = file.metadata() or {}
        text = metadata.get("facts", "")
        if metadata.get("sha256") != checkpoints.digest_of(arrays, text):
            raise ValueError("its content does not match its checksum")
    # AttributeError: NumPy has no such type, such as one of 8 bits.
    except (OSError, SafetensorError, AttributeError, ValueError) as error:
        raise UserError(f"{path} is not a quantised model, or is damaged: {error}") from None
    facts = json_files.parse(text.encode(), Facts, path)
    count = arrays["codes"].size * 8 // facts["bits"] + arrays["vectors"].size
    try:
        like = weights_to_fill(**facts["model"], found=count, **facts["options"])
        weights = _fill(keras.tree.flatten(like), arrays, facts["bits"], facts["granularity"])
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{path} describes another model than it holds: {error}") from None
    return keras.tree.pack_sequence_as(like, weights), facts


def load_model(path: str | PathLike) -> Any:
    """Rebuild the Keras model from a file; arguments and errors as for `read`."""
    from rnn_zoo.model import build_model, set_weights

    weights, facts = read(path)
    try:
        model = build_model(**facts["model"], **facts["options"])
    except Exception as error:  # options may be anything, and Keras may fail in any way
        raise UserError(f"no model has the options of {path}: {error}") from None
    set_weights(model, weights)
    return model


def _fill(like, arrays, bits, granularity):
    """Return the list of weights, with the shapes of `like`."""
    sizes = {
        "scales": sum(
            array.shape[-1] if granularity == "row" else 1 for array in like if is_matrix(array)
        ),
        "vectors": sum(array.size for array in like if not is_matrix(array)),
    }
    for name, size in sizes.items():
        found = arrays[name]
        if (found.shape, found.dtype) != ((size,), np.float32) or not np.isfinite(found).all():
            raise ValueError(f"its {name} are not {size:,} finite numbers in float32")
    count = sum(array.size for array in like if is_matrix(array))
    if arrays["codes"].size != -(-count * bits // 8):
        raise ValueError(f"{count:,} codes of {bits} bits are not {arrays['codes'].size:,} bytes")
    codes = unpack(arrays["codes"], bits, count)
    scales, vectors = arrays["scales"], arrays["vectors"]
    weights = []
    for array in like:
        if not is_matrix(array):
            weights.append(vectors[: array.size])
            vectors = vectors[array.size :]
            continue
        num_scales = array.shape[-1] if granularity == "row" else 1
        own = codes[: array.size].reshape(array.shape)
        weights.append(dequantize(own, scales[:num_scales]))
        codes, scales = codes[array.size :], scales[num_scales:]
    return weights
