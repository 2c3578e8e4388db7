"""Streaming inference on the host: one time step at a time, in NumPy.

A compiled TensorFlow call costs about 100 µs before it computes anything, many times the cost of a
small model's products. So a cell's own `step` is called on NumPy arrays instead.

Legend: B batch, I input, N units, O output, G gates.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from rnn_zoo import numpy_ops
from rnn_zoo.cells import AbstractRNNCell
from rnn_zoo.cells.noise import replace, step_of, with_functions
from rnn_zoo.cells.weights import fuse, product_of
from rnn_zoo.unroll.form import grouping

Array = Any


class Stepper:
    """Runs a model one time step at a time: `y = stepper(x)`; made by `rnn_zoo.make_stepper`.

    It holds a copy of the weights and the current states, which start as the *learned* initial
    states. Outputs equal those of the model on the whole sequence, which may have any length. It
    computes in the weights' dtype, or in float32 if they have half precision. A model that computes
    in lower precision than its weights differs by its own rounding.

    A step costs about 7 to 20 µs beyond its products if the cell uses only functions defined in
    `rnn_zoo.numpy_ops` (arithmetic, sigmoid, tanh, relu and the like). Any other function runs on
    the backend, at about 100 µs per call.

    Args:
        cells: the layers' cells, of which only the equations are used.
        weights: in the form of `rnn_zoo.functional.forward`.
        batch_size: B, number of sequences streamed side by side.
        activation: the readout's activation.

    Raises:
        ValueError: `batch_size` below 1, or a cell that changes its arguments in place.

    Example:
        stepper = model.stepper()
        for x in stream:  # (1, I) each
            y = stepper(x)  # (1, O)
        stepper.reset()
    """

    def __init__(
        self,
        cells: Sequence[AbstractRNNCell],
        weights: dict[str, Any],
        batch_size: int = 1,
        activation: Callable = keras.activations.linear,
    ):
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        is_double = weights["readout"]["kernel"].dtype == "float64"
        self.dtype = np.dtype("float64" if is_double else "float32")
        weights = keras.tree.map_structure(lambda w: np.array(w, self.dtype), weights)
        self._layers = [
            _Layer(cell, layer, batch_size, self.dtype)
            for cell, layer in zip(cells, weights["layers"], strict=True)
        ]
        self._kernel, self._bias = weights["readout"]["kernel"], weights["readout"]["bias"]
        self._activation = numpy_ops.equivalent(activation)
        self.batch_size, self.input_dim = batch_size, self._layers[0].input_dim
        self._shape = (batch_size, self.input_dim)
        self._states = [layer.initial for layer in self._layers]

    def __call__(self, x: Any) -> Array:
        """Advance by one time step.

        Args:
            x: (B, I), the inputs of the step.

        Returns:
            (B, O), its outputs.

        Raises:
            ValueError: `x` has another shape.
        """
        x = np.array(x, self.dtype)  # a copy, since a cell may keep its input as a state
        if x.shape != self._shape:
            raise ValueError(f"a step's inputs must be {self._shape}, got {x.shape}")
        states = []
        # A diverged model streams infinities, as it does on a whole sequence.
        with np.errstate(all="ignore"):
            for layer, before in zip(self._layers, self._states, strict=True):
                x, after = layer(x, before)
                states.append(after)
            x = np.dot(x, self._kernel)
            x += self._bias
            x = self._activation(x)
        self._states = states
        return x

    @property
    def states(self) -> list[list[Array]]:
        """Copies of the states: per layer, a list of (B, N) in the order of `state_names`.

        Assign states to continue from them.

        Raises:
            ValueError: assigned values have another structure or other shapes.
        """
        return [[state.copy() for state in layer] for layer in self._states]

    @states.setter
    def states(self, states: Sequence[Sequence[Any]]) -> None:
        expected = [[state.shape for state in layer.initial] for layer in self._layers]
        given = [[np.shape(state) for state in layer] for layer in states]
        if given != expected:
            raise ValueError(f"states must have the shapes {expected}, got {given}")
        self._states = [[np.array(state, self.dtype) for state in layer] for layer in states]

    def reset(self, rows: Any = slice(None)) -> None:
        """Set the states of some or all sequences to the learned initial states.

        Args:
            rows: any NumPy index into the B sequences.
        """
        states = self.states
        for layer, values in zip(self._layers, states, strict=True):
            for state, initial in zip(values, layer.initial, strict=True):
                state[rows] = initial[rows]
        self._states = states


class _Layer:
    """A cell's step on NumPy arrays, with one product for all gates that share an operand."""

    def __init__(self, cell, weights, batch_size, dtype):
        fused = fuse(cell, weights, np)
        self.cell = with_functions(replace(cell, **fused.vectors), numpy_ops.equivalent)
        self.step, self.dtype = step_of(self.cell, training=False, ops=numpy_ops), dtype
        self.read_in, self.diagonals = fused.read_in, fused.diagonals
        self.initial = [np.tile(state, (batch_size, 1)) for state in fused.initial_state]
        self.input_dim = len(self.read_in["kernel"] if self.read_in else fused.input)
        # Per gate: the weights of its group, and each member's columns of the product.
        self.plan, units = {}, cell.units
        for group in self._groups():
            product = product_of(cell.gates, fused, group, ops=np)
            members = [(g, _columns(i * units, (i + 1) * units)) for i, g in enumerate(group)]
            self.plan |= dict.fromkeys(group, (product, members))

    def __call__(self, x, states):
        """Return (output (B, N), states after the step)."""
        if self.read_in:
            x = np.dot(x, self.read_in["kernel"])
            x += self.read_in["bias"]
            x = self.cell.after_read_in(numpy_ops, x)
        plan, diagonals, known = self.plan, self.diagonals, {}

        def pre(gate, operand=None):
            if gate not in known and gate in plan:
                product, members = plan[gate]
                z = 0
                if "input" in product:
                    z = np.dot(x, product["input"])
                if "recurrent" in product:
                    z += np.dot(operand, product["recurrent"])
                if "bias" in product:
                    z += product["bias"]
                for member, own in members:
                    known[member] = z[own]
            if gate in diagonals:
                return operand * diagonals[gate] + known.get(gate, 0)
            return known[gate]

        pre.axis = -1
        output, states = self.step(x, pre, states, {}, {})
        asarray, dtype = np.asarray, self.dtype
        return asarray(output, dtype), [asarray(state, dtype) for state in states]

    def _groups(self):
        """Call the step once on zeros; return lists of gates that share an operand."""
        record, groups = grouping(self.cell.gates)
        x, *states = (np.zeros_like(each) for each in (self.initial[0], *self.initial))

        def pre(gate, operand=None):
            record(gate, operand)
            return np.zeros_like(self.initial[0])

        pre.axis = -1
        for array in (x, *states):
            array.flags.writeable = False
        try:
            with np.errstate(all="ignore"):
                self.step(x, pre, states, {}, {})
        except ValueError as error:
            if "read-only" not in str(error):
                raise
            raise ValueError(
                f"{type(self.cell).__name__}.step changes an argument in place: write h = g * h "
                "instead of h *= g"
            ) from error
        return groups


def _columns(start, stop):
    return slice(None), slice(start, stop)
