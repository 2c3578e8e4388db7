"""A quantised model as one small file: codes of a few bits, scales, and what is left as it is.

A safetensors file with three arrays and, in its metadata, what the model is:

    codes    uint8, `rnn_zoo.quantization.pack` of all matrices' codes, one after the other
    scales   float32, of the matrices, one or N each
    vectors  float32, biases and initial states

Weights are in the order of `keras.tree` on the structure of `rnn_zoo.model.get_weights`.
"""

import json

import numpy as np

from rnn_zoo.quantization import codes_of, dequantize, is_matrix, pack, unpack
from trainer.errors import UserError
from trainer.storage.files import whole

_MODEL = ("arch", "depth", "units", "input_dim", "output_dim")
#: The cells' arguments that equations depend on; the others are laws of initial values.
_OPTIONS = ("activation", "gate_bias")


def write(path, record, weights, bits, granularity, eval_loss):
    """Writes a model's quantised weights.

    Args:
        path: of the file.
        record: the `RunRecord` of the run that the weights are from.
        weights: as of `rnn_zoo.model.get_weights`, not rounded.
        bits, granularity: as for `rnn_zoo.quantization.quantize`.
        eval_loss: measured with these weights rounded; None if it is not finite.
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
    options = TrainConfig(**record.config).cell_options()
    facts = {
        "run_id": record.run_id,
        "task": record.task,
        "bits": bits,
        "granularity": granularity,
        "eval_loss": eval_loss,
        "model": {name: getattr(record, name) for name in _MODEL},
        "options": {name: options[name] for name in _OPTIONS if name in options},
    }
    text = json.dumps(facts, allow_nan=False)
    with whole(path) as file:
        file.write(
            save(arrays, metadata={"facts": text, "sha256": checkpoints.digest_of(arrays, text)})
        )


def read(path):
    """Reads what `write` wrote.

    Returns:
        (the weights, equal to `rnn_zoo.quantization.quantize` of those that were given; dict of
        run_id, task, bits, granularity, eval_loss, model and options).

    Raises:
        UserError: there is no such file, or it is damaged.
    """
    import keras
    from safetensors import SafetensorError, safe_open

    from rnn_zoo.functional import draw_weights, make_cells
    from trainer.storage import checkpoints

    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in ("codes", "scales", "vectors")}
            metadata = file.metadata() or {}
        text = metadata.get("facts", "")
        if metadata.get("sha256") != checkpoints.digest_of(arrays, text):
            raise ValueError("its content does not match its checksum")
    except (OSError, SafetensorError, ValueError) as error:
        raise UserError(f"{path} is no quantised model, or is damaged: {error}") from None
    facts = json.loads(text)
    model = facts["model"]
    cells = make_cells(model["arch"], model["depth"], model["units"], seed=0, **facts["options"])
    like = draw_weights(cells, model["input_dim"], model["output_dim"], seed=0)
    weights = _fill(keras.tree.flatten(like), arrays, facts["bits"], facts["granularity"])
    return keras.tree.pack_sequence_as(like, weights), facts


def load_model(path):
    """The Keras model of a file; arguments and errors are those of `read`."""
    from rnn_zoo.model import build_model, set_weights

    weights, facts = read(path)
    model = build_model(**facts["model"], **facts["options"])
    set_weights(model, weights)
    return model


def _fill(like, arrays, bits, granularity):
    """The weights one after the other, of the shapes that `like` has."""
    count = sum(array.size for array in like if is_matrix(array))
    codes = unpack(arrays["codes"], bits, count)
    scales, vectors = arrays["scales"], arrays["vectors"]
    weights = []
    for array in like:
        if not is_matrix(array):
            weights.append(vectors[: array.size])
            vectors = vectors[array.size :]
            continue
        num_scales = array.shape[1] if granularity == "row" else 1
        own = codes[: array.size].reshape(array.shape)
        weights.append(dequantize(own, scales[:num_scales]))
        codes, scales = codes[array.size :], scales[num_scales:]
    return weights
