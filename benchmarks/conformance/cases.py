"""Cases of a comparison, and the results of a cell and of its twin.

Both sides of a comparison get the arrays of a `Case` and return `Results`: outputs, final states,
and the gradient of a random linear function of both. Arithmetic is in float64.

Legend: B batch, T time, I input, N units.
"""

import functools
import pathlib
import sys
from collections.abc import Callable
from typing import Any, NamedTuple
from unittest import mock

import keras
import numpy as np

from rnn_zoo import ARCHITECTURES, backend
from rnn_zoo.layers import LAYERS
from rnn_zoo.unroll import unroll

# The twins are the papers' equations in NumPy.
sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "tests"))

import reference_cells
from twins import TWINS
from twins.base import Twin, by_gate

BATCH, TIME, UNITS = 3, 4, 4
#: Half the step of the twins' central differences.
STEP = 1e-5

Array = Any
#: Nested keys of a leaf, such as ("weights", "input", "c").
Path = tuple


class Case(NamedTuple):
    """A cell with random weights, inputs and states.

    Attributes:
        layer: the cell's layer.
        twin: the cell's equations in NumPy, with the options of the layer.
        leaves: dict from path to array; the paths start with "weights", "inputs" and "states".
        directions: coefficients of the loss: (B, T, N) of the outputs, (B, N) of each final state.
    """

    layer: Any
    twin: Twin
    leaves: dict[Path, Array]
    directions: list[Array]

    def packed(self, leaves: dict[Path, Any]) -> dict[str, Any]:
        """Return leaves of any library as dict(weights, inputs, states)."""
        return keras.tree.pack_sequence_as(_structure(self.layer.cell), list(leaves.values()))


class Results(NamedTuple):
    """Results of one side of a comparison.

    Attributes:
        values: outputs (B, T, N) and the final states, each (B, N), or None for a missing state.
        gradients: dict from path to array, without the paths of missing states.
    """

    values: list[Array]
    gradients: dict[Path, Array]


def twin_of(arch: str) -> Twin:
    """Return the twin of any architecture.

    Raises:
        ValueError: an architecture without one.
    """
    if arch in TWINS:
        return TWINS[arch]
    if arch not in reference_cells.STEPS:
        raise ValueError(f"{arch} has no twin; add one to tests/twins")
    return Twin(
        functools.partial(_paper_step, arch),
        {"gate_bias": 0.4} if ARCHITECTURES[arch].forget_gates else {},
        reference_cells.STATES[arch],
        None if arch == "+rnn" else 3,  # else it would need a read-in
    )


def make(arch: str, missing: tuple[str, ...] = (), **options: Any) -> Case:
    """Draw a case.

    Args:
        arch: the architecture.
        missing: names of states that the other side lacks. They start at zero, and the loss does
            not depend on their final values.
        **options: arguments of the layer, in place of those of the twin's case.
    """
    twin = twin_of(arch)
    twin = twin._replace(options=twin.options | options)
    features = twin.features or UNITS
    layer = LAYERS[arch](
        UNITS,
        return_sequences=True,
        return_state=True,
        learned_initial_state=False,
        dtype="float64",
        **twin.options,
    )
    layer.build((None, None, features))
    rng = np.random.default_rng(0)
    exists = [name not in missing for name in layer.cell.state_names]
    layer.cell.assign_weights(
        keras.tree.map_structure(lambda a: rng.normal(scale=0.6, size=a.shape), _weights(layer))
    )
    given = {
        "weights": _weights(layer),
        "inputs": rng.normal(size=(BATCH, TIME, features)),
        "states": [rng.normal(size=(BATCH, UNITS)) * has for has in exists],
    }
    directions = [rng.normal(size=(BATCH, UNITS)) * has for has in exists]
    directions = [rng.normal(size=(BATCH, TIME, UNITS)), *directions]
    return Case(layer, twin, dict(keras.tree.flatten_with_path(given)), directions)


def of_layer(case: Case) -> Results:
    """Run the cell with its derived backward pass.

    Raises:
        RuntimeError: Keras runs on another backend than TensorFlow.
    """
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError("benchmarks.conformance needs KERAS_BACKEND=tensorflow")

    def run(given):
        outputs, last = unroll(case.layer.cell, given["weights"], given["inputs"], given["states"])
        return [keras.ops.swapaxes(outputs, 0, 1), *last]

    with mock.patch.object(backend.current(), "is_compiled", lambda: True):
        results, _ = on_tensorflow(case, run, [])
    return results


def on_tensorflow(
    case: Case, run: Callable[[dict], list], variables: list[Any]
) -> tuple[Results, list[Array]]:
    """Run on TensorFlow, with automatic gradients.

    Args:
        case: the case.
        run: function from dict(weights, inputs, states) to the outputs and the final states.
        variables: list of further variables that the results depend on.

    Returns:
        (results, list of the gradients of `variables`).
    """
    import tensorflow as tf

    leaves = {path: tf.constant(array) for path, array in case.leaves.items()}
    sources = [list(leaves.values()), [variable.value for variable in variables]]
    with tf.GradientTape() as tape:
        tape.watch(sources)
        values = run(case.packed(leaves))
        pairs = zip(values, case.directions, strict=True)
        loss = sum(tf.reduce_sum(value * direction) for value, direction in pairs)
    slopes, others = tape.gradient(loss, sources, unconnected_gradients="zero")
    slopes, others, values = ([np.asarray(a) for a in each] for each in (slopes, others, values))
    return Results(values, dict(zip(leaves, slopes, strict=True))), others


def on_torch(
    case: Case, run: Callable[[dict], list], variables: list[Any]
) -> tuple[Results, list[Array]]:
    """Do the same on PyTorch; `run` may return None for states that are missing."""
    import torch

    leaves = [torch.tensor(array, requires_grad=True) for array in case.leaves.values()]
    values = run(case.packed(dict(zip(case.leaves, leaves, strict=True))))
    pairs = zip(values, case.directions, strict=True)
    loss = sum((value * torch.tensor(d)).sum() for value, d in pairs if value is not None)
    slopes = torch.autograd.grad(
        loss, [*leaves, *variables], allow_unused=True, materialize_grads=True
    )
    slopes = [slope.numpy() for slope in slopes]
    values = [None if value is None else value.detach().numpy() for value in values]
    return Results(values, dict(zip(case.leaves, slopes, strict=False))), slopes[len(leaves) :]


def of_twin(case: Case, step: Callable | None = None) -> Results:
    """Run the twin, or another `step` in its form; gradients are central differences."""
    leaves = {path: array.copy() for path, array in case.leaves.items()}
    cell, step = case.layer.cell, step or case.twin.step

    def values():
        given = case.packed(leaves)
        weights, states, outputs = by_gate(cell, given["weights"]), given["states"], []
        for x in np.moveaxis(given["inputs"], 1, 0):
            output, states = step(weights, x, states, **case.twin.options)
            outputs.append(output)
        return [np.stack(outputs, 1), *states]

    def loss():
        return sum(np.sum(v * d) for v, d in zip(values(), case.directions, strict=True))

    slopes = {path: np.empty_like(array) for path, array in leaves.items()}
    for path, array in leaves.items():
        for index in np.ndindex(array.shape):
            kept = array[index]
            array[index] = kept + STEP
            above = loss()
            array[index] = kept - STEP
            slopes[path][index] = (above - loss()) / (2 * STEP)
            array[index] = kept
    return Results(values(), slopes)


def differences(found: Results, expected: Results) -> tuple[float, float]:
    """Return the largest difference of values, and of the gradients that both have."""
    values = [
        np.abs(one - other).max()
        for one, other in zip(found.values, expected.values, strict=True)
        if one is not None and other is not None
    ]
    common = found.gradients.keys() & expected.gradients.keys()
    gradients = [np.abs(found.gradients[path] - expected.gradients[path]).max() for path in common]
    return float(max(values)), float(max(gradients))


def _paper_step(arch, w, x, states, **options):
    if arch == "minimal_rnn":
        w = w | {"z": {"input": w["read_in"]["kernel"], "bias": w["read_in"]["bias"]}}
    return reference_cells.STEPS[arch](w, x, states, **options)


def _weights(layer):
    arrays = layer.cell.weight_tensors(layer.cell.variable_dtype)
    return keras.tree.map_structure(keras.ops.convert_to_numpy, arrays)


def _structure(cell):
    return {
        "weights": cell.weight_tensors(cell.variable_dtype),
        "inputs": 0,
        "states": [0 for _ in cell.state_names],
    }
