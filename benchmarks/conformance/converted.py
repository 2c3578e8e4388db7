"""Results of layers of Keras and PyTorch that `rnn_zoo.convert` makes."""

from typing import Any

import keras
import numpy as np

from benchmarks.conformance.cases import Case, Results, on_tensorflow, on_torch
from rnn_zoo import convert, layers
from rnn_zoo.convert.arrays import GATES
from rnn_zoo.layers import LAYERS

#: Architectures that Keras has, and those that PyTorch has.
KERAS = tuple(arch for arch, layer in LAYERS.items() if layer in GATES)
TORCH = tuple(arch for arch in KERAS if LAYERS[arch] is not layers.GRU)


def of_keras(case: Case) -> tuple[str, Results]:
    """Return the name of the equivalent Keras layer, and its results."""
    theirs = convert.to_keras(case.layer)

    def run(given):
        return theirs(given["inputs"], initial_state=given["states"])

    found, slopes = on_tensorflow(case, run, theirs.trainable_variables)
    kept = [slope * (value != 0) for slope, value in zip(slopes, theirs.get_weights(), strict=True)]
    theirs.set_weights(kept)
    found.gradients.update(_weights(convert.from_keras(theirs)))
    reset = f"(reset_after={theirs.reset_after})" if hasattr(theirs, "reset_after") else ""
    return f"keras.layers.{type(theirs).__name__}{reset}", found


def of_torch(case: Case) -> tuple[str, Results]:
    """Return the name of the equivalent PyTorch module, and its results."""
    import torch

    module = convert.to_torch(case.layer)

    def run(given):
        states = [state[None] for state in given["states"]]
        found = module(given["inputs"], tuple(states) if len(states) > 1 else states[0])
        outputs, *last = keras.tree.flatten(found)
        return [outputs, *(state[0] for state in last)]

    parameters = list(module.parameters())
    found, slopes = on_torch(case, run, parameters)
    for parameter, slope in zip(parameters, slopes, strict=True):
        parameter.data = torch.tensor(slope) * (parameter.data != 0)
    found.gradients.update(_weights(*convert.from_torch(module)))
    return f"torch.nn.{type(module).__name__}", found


def _weights(layer: Any) -> dict:
    """Return a layer's weights by path.

    Conversions permute elements, so a gradient in place of the weights comes out in our structure.
    Where the other library has two biases, a conversion to it leaves one at zero; its gradient,
    equal to the other's, is set to zero before the conversion back adds the two.
    """
    weights = layer.cell.weight_tensors(layer.cell.variable_dtype)
    return {
        path: np.asarray(keras.ops.convert_to_numpy(array))
        for path, array in keras.tree.flatten_with_path({"weights": weights})
        if path[1] in ("input", "recurrent", "bias")
    }
