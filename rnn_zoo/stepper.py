"""Streaming inference: one time step at a time, on the host, by NumPy.

A compiled call of TensorFlow costs some 100 µs before it computes anything, many times a small
model's products. So the cells' equations are traced once, as Keras traces a functional model, and
the trace is replayed on NumPy arrays: no second version of an equation, and no backend in the way.

Legend: B batch, I input, N units, O output, G gates.
"""

import operator

import keras
import numpy as np
from keras import KerasTensor, ops
from scipy.special import expit

from rnn_zoo.model import check_as_built, get_weights, recurrent_cells


class Stepper:
    """Feeds a model of `build_model` one time step after the other: `y = stepper(x)`.

    It holds the model's weights as they are when it is made, and the states; it starts from the
    *learned* initial states. Outputs are those of the model on the whole sequence, in the order of
    the calls, whatever the length. All numbers are of the weights' type, half precision in float32:
    a model that computes in less than its weights have differs by its own rounding.

    A step costs some 10 to 20 µs beyond its products where the cell's functions are among those
    that have a NumPy twin here (arithmetic, sigmoid, tanh, relu, elu, softplus and the like); any
    other is asked of the backend, some 100 µs a call.

    Args:
        model: of `build_model` or `rnn_zoo.load`.
        batch_size: B, sequences that are fed side by side.

    Raises:
        ValueError: `batch_size` below 1; a model of another making; a layer that reads backwards;
            a readout that Keras has quantised, or given LoRA.

    Example:
        stepper = model.stepper()
        for x in stream:  # (1, I) each
            y = stepper(x)  # (1, O)
        stepper.reset()
    """

    def __init__(self, model, batch_size=1):
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        check_as_built(model)
        cells = recurrent_cells(model)
        self.batch_size, self.input_dim = batch_size, model.input_shape[-1]
        self.dtype = np.dtype("float64" if cells[0].variable_dtype == "float64" else "float32")
        weights = keras.tree.map_structure(lambda w: w.astype(self.dtype), get_weights(model))
        self._shape = (batch_size, self.input_dim)
        self._initial = [
            [np.tile(state, (batch_size, 1)) for state in layer["initial_state"]]
            for layer in weights["layers"]
        ]
        program = _Program(self.dtype)
        self._input = x = program.slot()
        self._before, self._after = [], []
        for cell, layer in zip(cells, weights["layers"], strict=True):
            before = [program.slot() for _ in cell.state_names]
            x, after = _Tracer(program, cell, layer, batch_size).trace(x, before)
            self._before.append(before)
            self._after.append(after)
        self._output = program.affine(x, **weights["readout"])
        self._values, self._calls = program.values, program.calls
        self._set(self._initial)

    def __call__(self, x):
        """Takes the inputs of one time step (B, I), and gives its outputs (B, O).

        Raises:
            ValueError: another shape.
        """
        x = np.array(x, self.dtype)  # a copy: a cell's state may be its input
        if x.shape != self._shape:
            raise ValueError(f"a step's inputs must be {self._shape}, got {x.shape}")
        values = self._values
        values[self._input] = x
        # A model that has diverged streams infinities, as it does on a whole sequence.
        with np.errstate(all="ignore"):
            for function, arguments, result in self._calls:
                values[result] = function(*[values[slot] for slot in arguments])
        self._set([[values[slot] for slot in layer] for layer in self._after])
        return values[self._output]

    @property
    def states(self):
        """A list for each layer, of its states (B, N), in the order of the cell's `state_names`.

        May be set, to go on from elsewhere.

        Raises:
            ValueError: set to another structure or to other shapes.
        """
        return [[self._values[slot].copy() for slot in layer] for layer in self._before]

    @states.setter
    def states(self, states):
        expected = [[state.shape for state in layer] for layer in self._initial]
        given = [[np.shape(state) for state in layer] for layer in states]
        if given != expected:
            raise ValueError(f"states must have the shapes {expected}, got {given}")
        self._set([[np.array(state, self.dtype) for state in layer] for layer in states])

    def reset(self, rows=slice(None)):
        """Sets the states of some sequences, or of all, to the learned initial ones.

        Args:
            rows: which of the B, in any form that NumPy takes as an index.
        """
        states = self.states
        for layer, initial in zip(states, self._initial, strict=True):
            for state, first in zip(layer, initial, strict=True):
                state[rows] = first[rows]
        self._set(states)

    def _set(self, states):
        for slots, layer in zip(self._before, states, strict=True):
            for slot, state in zip(slots, layer, strict=True):
                self._values[slot] = state


class _Program:
    """Calls of functions of NumPy arrays, in order; their arguments and results are in slots."""

    def __init__(self, dtype):
        self.dtype, self.values, self.calls = dtype, [], []

    def slot(self, value=None):
        self.values.append(value)
        return len(self.values) - 1

    def call(self, function, *slots):
        """Returns the slot of the result."""
        result = self.slot()
        self.calls.append((function, slots, result))
        return result

    def affine(self, x, kernel, bias):
        product = self.call(np.matmul, x, self.slot(kernel))
        return self.call(np.add, product, self.slot(bias))

    def columns(self, array, start, stop):
        return self.call(operator.itemgetter((slice(None), slice(start, stop))), array)


class _Tracer:
    """Appends a cell's equations to a program.

    Args:
        cell: a built cell.
        weights: its `weight_tensors` as NumPy arrays.
    """

    def __init__(self, program, cell, weights, batch_size):
        self.program, self.cell, self.weights, self.batch_size = program, cell, weights, batch_size
        self._slots = {}  # of a symbolic tensor that has its value already
        self._symbols = []  # what would be freed might give its id to another
        self._pending = {}  # of a pre-activation that has none -> the group that gives it

    def trace(self, x, states):
        """From slots of the input and of the states to slots of the output and of the states."""
        if self.weights["read_in"]:
            x = self.program.affine(x, **self.weights["read_in"])
            x = self._lower(self.cell.after_read_in(self._symbol(x)))
        before = [self._symbol(slot) for slot in states]
        groups = []  # (operand, {gate: pre-activation}): one product for all gates of an operand

        def pre(gate, operand):
            symbol = self._symbol()
            for other, members in groups:
                if other is operand:
                    members[gate] = symbol
                    break
            else:
                groups.append((operand, {gate: symbol}))
            return symbol

        output, after = self.cell.step(self._symbol(x), pre, before)
        self._read(x, groups)
        return self._lower(output), [self._lower(state) for state in after]

    def _read(self, x, groups):
        """Appends W x + b of all gates, and says how each group goes on from it."""
        gates = [gate for _, members in groups for gate in members]
        kernel = np.concatenate([self.weights["input"][gate] for gate in gates], axis=1)
        bias = np.concatenate([self.weights["bias"][gate] for gate in gates])
        read, start = self.program.affine(x, kernel, bias), 0
        for operand, members in groups:
            stop = start + len(members) * self.cell.units
            part = read if len(groups) == 1 else self.program.columns(read, start, stop)
            for symbol in members.values():
                self._pending[id(symbol)] = (operand, members, part)
            start = stop

    def _multiply(self, operand, members, part):
        """Appends U operand of a group, and gives its pre-activations their slots."""
        kernel = [self.weights["recurrent"][gate] for gate in members]
        product = self.program.call(
            np.matmul, self._lower(operand), self.program.slot(np.concatenate(kernel, axis=1))
        )
        total, units = self.program.call(np.add, part, product), self.cell.units
        for index, symbol in enumerate(members.values()):
            own = (index * units, (index + 1) * units)
            slot = total if len(members) == 1 else self.program.columns(total, *own)
            self._slots[id(symbol)] = slot

    def _symbol(self, slot=None):
        symbol = KerasTensor((self.batch_size, self.cell.units), self.cell.variable_dtype)
        self._symbols.append(symbol)
        if slot is not None:
            self._slots[id(symbol)] = slot
        return symbol

    def _lower(self, value):
        """The slot of a symbolic tensor, or of a constant, after the calls that it needs."""
        if not isinstance(value, KerasTensor):
            return self.program.slot(self._constant(value))
        if id(value) in self._pending and id(value) not in self._slots:
            self._multiply(*self._pending[id(value)])
        if id(value) not in self._slots:
            self._symbols.append(value)
            operation, node, index = value._keras_history
            arguments = operation._inbound_nodes[node].arguments
            slots = [
                self._lower(argument)
                for argument in keras.tree.flatten((arguments.args, arguments.kwargs))
            ]
            function = _IN_NUMPY.get(_identity(operation))
            if function is None or arguments.kwargs:
                function = _by_backend(operation, (arguments.args, arguments.kwargs), index)
            self._slots[id(value)] = self.program.call(function, *slots)
        return self._slots[id(value)]

    def _constant(self, value):
        """Of the program's type if it is an array; Python's numbers take that of the others."""
        if not hasattr(value, "shape"):
            return value
        value = ops.convert_to_numpy(value)
        is_real = np.issubdtype(value.dtype, np.floating) or value.dtype.name == "bfloat16"
        return value.astype(self.program.dtype) if is_real else value


def _by_backend(operation, structure, index):
    """An operation for which there is no NumPy function here: slower, and as right."""

    def function(*values):
        arguments, options = keras.tree.pack_sequence_as(structure, values)
        results = keras.tree.flatten(operation(*arguments, **options))
        return ops.convert_to_numpy(results[index])

    return function


def _relu(x):
    return np.maximum(x, 0)


def _elu(x):
    return np.where(x > 0, x, np.expm1(x))


def _softplus(x):
    return np.logaddexp(x, x.dtype.type(0))


def _identity(operation):
    """Equal for operations that do the same: their class and options, not their name."""
    try:
        config = operation.get_config()
    except NotImplementedError:  # of a user's own, with options that cannot be written down
        return operation
    options = {name: value for name, value in config.items() if name != "name"}
    return type(operation), str(options)


def _table():
    symbol = KerasTensor((1, 1))
    functions = {
        1: (
            (ops.negative, np.negative),
            (ops.absolute, np.abs),
            (ops.square, np.square),
            (ops.exp, np.exp),
            (ops.tanh, np.tanh),
            (ops.sigmoid, expit),
            (ops.relu, _relu),
            (ops.elu, _elu),
            (ops.softplus, _softplus),
            (keras.activations.relu, _relu),
        ),
        2: (
            (ops.add, np.add),
            (ops.subtract, np.subtract),
            (ops.multiply, np.multiply),
            (ops.divide, np.divide),
            (ops.true_divide, np.divide),
            (ops.maximum, np.maximum),
            (ops.minimum, np.minimum),
        ),
    }
    return {
        _identity(theirs(*[symbol] * arity)._keras_history.operation): ours
        for arity, pairs in functions.items()
        for theirs, ours in pairs
    }


#: What Keras's operation -> does in NumPy.
_IN_NUMPY = _table()
