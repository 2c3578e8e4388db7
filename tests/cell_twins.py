"""Cells and layers with random weights, and the NumPy twin of each.

Legend: B batch, T time, I input, N units.
"""

import itertools

import keras
import numpy as np
import pytest
import reference_cells as reference
from on_backend import BACKEND, COMPILED, MODES, needs_float64
from slow import slow_except

import rnn_zoo
from rnn_zoo.layers import LAYERS

BATCH, TIME, INPUT, UNITS = 3, 5, 4, 3

#: (architecture, arguments of cell and twin alike, input features): every equation, both
#: nonlinearities, the +RNN with and without a read-in, and the MinimalRNN at equal sizes too.
CASES = [
    ("rnn", {"activation": "tanh"}, INPUT),
    ("rnn", {"activation": "relu"}, INPUT),
    ("irnn", {"activation": "relu"}, INPUT),
    ("ugrnn", {"activation": "tanh", "gate_bias": 0.7}, INPUT),
    ("ugrnn", {"activation": "relu", "gate_bias": -0.4}, INPUT),
    ("gru", {"activation": "tanh", "gate_bias": 0.7}, INPUT),
    ("gru", {"activation": "relu", "gate_bias": -0.4}, INPUT),
    ("lstm", {"activation": "tanh", "gate_bias": 0.7}, INPUT),
    ("lstm", {"activation": "relu", "gate_bias": -0.4}, INPUT),
    ("+rnn", {"activation": "tanh", "gate_bias": (0.7, -0.4)}, INPUT),
    ("+rnn", {"activation": "relu", "gate_bias": (-0.9, 0.3), "depth_activation": "tanh"}, INPUT),
    ("+rnn", {"activation": "tanh", "gate_bias": (0.7, -0.4)}, UNITS),
    ("+rnn", {"activation": "tanh", "gate_bias": 0.7}, 1),
    ("mgu", {"activation": "tanh", "gate_bias": 0.7}, INPUT),
    ("mgu", {"activation": "relu", "gate_bias": -0.4}, INPUT),
    ("minimal_rnn", {"activation": "tanh", "gate_bias": 0.7}, INPUT),
    ("minimal_rnn", {"activation": "relu", "gate_bias": -0.4}, UNITS),
]
#: One case an architecture, with the options that the paper uses, for tests of what lies around
#: the equations.
ONE_CASE_EACH = list({case[0]: case for case in reversed(CASES)}.values())[::-1]


def one_case_of(*archs):
    """The cases of `ONE_CASE_EACH` of some architectures."""
    return [case for case in ONE_CASE_EACH if case[0] in archs]


def case_id(case):
    arch, options, features = case
    return f"{arch}-{options['activation']}-{features}"


one_case_each = pytest.mark.parametrize("case", ONE_CASE_EACH, ids=case_id)
#: The case of the default run where loops are compiled or repeated: the +RNN has most that can
#: differ, a read-in, two nonlinearities and an output that is not a state.
QUICK_CASES = one_case_of("+rnn")
#: One case an architecture, marked slow but for `QUICK_CASES`.
mostly_slow = pytest.mark.parametrize("case", slow_except(QUICK_CASES, ONE_CASE_EACH), ids=case_id)


def in_every_way():
    """Parameters (case, dtype, mode).

    The default run has every equation eagerly in float64 on TensorFlow, and those of `QUICK_CASES`
    in float32, eagerly and compiled.
    """
    ways = []
    for case, dtype, mode in itertools.product(CASES, ("float32", "float64"), MODES):
        marks = [needs_float64] if dtype == "float64" else []
        is_eager = mode == "eager" and BACKEND == "tensorflow" and dtype == "float64"
        is_quick = dtype == "float32" and mode in ("eager", COMPILED) and case in QUICK_CASES
        is_quick &= mode == COMPILED or BACKEND == "tensorflow"
        if not (is_eager or is_quick):
            marks.append(pytest.mark.slow)
        ways.append(
            pytest.param(case, dtype, mode, marks=marks, id=f"{dtype}-{mode}-{case_id(case)}")
        )
    return ways


def randomize(weights, rng):
    """Draw every weight anew, learned initial states and biases too; matrices keep their scale."""
    for weight in weights:
        scale = weight.shape[0] ** -0.5 if len(weight.shape) == 2 else 1.0
        weight.assign(rng.normal(scale=scale, size=weight.shape))


def random_cell(case, rng, dtype="float64", **options):
    arch, case_options, features = case
    cell = rnn_zoo.CELLS[arch](UNITS, dtype=dtype, **case_options, **options)
    cell.build((None, features))
    randomize(cell.weights, rng)
    return cell


def random_layer(case, rng, dtype="float64", **options):
    arch, case_options, features = case
    layer = LAYERS[arch](UNITS, dtype=dtype, **case_options, **options)
    layer.build((None, None, features))
    randomize(layer.weights, rng)
    return layer


def initial_variables(layer):
    """The variables of a layer's learned initial states."""
    return [getattr(layer.cell, f"initial_{name}") for name in layer.cell.state_names]


def random_inputs(case, rng, dtype="float64", lanes=()):
    """Inputs (B, T, I) and states, each (B, N), that are not zero."""
    arch, _, features = case
    inputs = rng.normal(size=(*lanes, BATCH, TIME, features)).astype(dtype)
    states = [rng.normal(size=(*lanes, BATCH, UNITS)) for _ in range(reference.STATES[arch])]
    return inputs, [state.astype(dtype) for state in states]


def random_mask(rng):
    """A (B, T) mask with a row that begins, one that ends and one that only pauses in padding."""
    mask = rng.random((BATCH, TIME)) < 0.5
    mask[0, :2], mask[0, 3], mask[1, -1], mask[1, 0], mask[2, 1:4] = False, True, False, True, False
    mask[2, [0, -1]] = True
    return mask


def values_of(cell):
    """The cell's weights by name, those of each gate apart, in float64."""
    return by_gate(
        cell, {weight.name: keras.ops.convert_to_numpy(weight) for weight in cell.weights}
    )


def by_gate(cell, arrays):
    """Arrays by the names of a cell's variables, with those of each gate apart, in float64."""
    found = {}
    for name, array in arrays.items():
        if array is None:  # the gradient of what is not used
            continue
        part = {"kernel": "input", "recurrent_kernel": "recurrent", "bias": "bias"}.get(name)
        gates = [g for g in cell.gates if part and f"{g}_{part}" not in arrays]
        gates = [g for g in gates if getattr(cell.gates[g], part)]
        split = np.split(array, len(gates), axis=-1) if gates else [array]
        names = [f"{gate}_{part}" for gate in gates] or [name]
        found |= zip(names, (each.astype("float64") for each in split), strict=True)
    return found


def twin_weights(arch, values):
    """The twin's form of weights that are held by name."""
    weights = {
        gate: {part: values[f"{gate}_{part}"] for part in ("input", "recurrent", "bias")}
        for gate in reference.GATES[arch]
    }
    if arch == "minimal_rnn":
        weights["z"] = {"input": values["read_in_kernel"], "bias": values["read_in_bias"]}
    return weights


def twin_read_in(arch, values):
    """The +RNN's read-in, dict(kernel, bias) or None: the twin's step leaves it to its caller."""
    if arch != "+rnn" or "read_in_kernel" not in values:
        return None
    return {"kernel": values["read_in_kernel"], "bias": values["read_in_bias"]}


def twin_inputs(arch, values, inputs):
    inputs, read_in = np.asarray(inputs, "float64"), twin_read_in(arch, values)
    return inputs if read_in is None else reference.read_in(inputs, **read_in)


def twin_step(case, values, x, states):
    """One step of the twin: (output, states)."""
    arch, options, _ = case
    states = [np.asarray(state, "float64") for state in states]
    return reference.STEPS[arch](
        twin_weights(arch, values), twin_inputs(arch, values, x), states, **options
    )


def twin_unroll(case, values, inputs, states=None, **how):
    """The twin over a sequence, from its learned initial states if `states` is None."""
    arch, options, _ = case
    if states is None:
        names = ("h", "c")[: reference.STATES[arch]]
        states = [np.tile(values[f"initial_{name}"], (len(inputs), 1)) for name in names]
    states = [np.asarray(state, "float64") for state in states]
    inputs = twin_inputs(arch, values, inputs)
    return reference.unroll(arch, twin_weights(arch, values), inputs, states, **how, **options)


def central_differences(function, arrays, step=1e-5):
    """d function() / d every element of `arrays`, a dict of arrays that it reads."""
    slopes = {}
    for name, array in arrays.items():
        slopes[name] = np.empty_like(array)
        for index in np.ndindex(array.shape):
            kept = array[index]
            array[index] = kept + step
            above = function()
            array[index] = kept - step
            slopes[name][index] = (above - function()) / (2 * step)
            array[index] = kept
    return slopes
