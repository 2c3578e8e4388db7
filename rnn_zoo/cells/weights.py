"""The weights of a cell: drawn, stored, and seen by gate.

As in Keras, the variables hold the gates side by side: `kernel` (I, G N), `recurrent_kernel`
(N, G N) and `bias` (G N), each for the gates that have that part. Recurrent products of another
structure, learned vectors, initial states and a read-in have variables of their own.

Legend: I input features, N units, G gates; "..." leading axes of a population of models.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from rnn_zoo.algebra import (
    Dense,
    Gate,
    Vector,
    ZeroState,
    gates_with,
    learned_states,
    state_widths,
    weight_shapes,
)
from rnn_zoo.cells.arguments import check_names
from rnn_zoo.cells.normalization import shifts
from rnn_zoo.initializers import BIAS_INITS, MATRIX_INITS, ScaledNormal

Tensor = Any
Array = np.ndarray

#: Part of a gate's weights -> the variable that holds it for all gates.
_FUSED = {"input": "kernel", "recurrent": "recurrent_kernel", "bias": "bias"}
#: Part of a gate's weights -> its name in the arguments of Keras layers.
ARGUMENTS = {"input": "kernel", "recurrent": "recurrent", "bias": "bias"}


class Fused(NamedTuple):
    """Weights as the loops take them, gates side by side in the order of the cell's `gates`.

    Attributes:
        input: (..., I, G N), of the gates that have an input product; None if none has.
        recurrent: (..., N, G N), of the gates whose recurrent product is that of a matrix, or None.
        bias: (..., G N), of the gates that have a bias, or None.
        diagonals: gate -> (..., N), of the gates whose recurrent product is a diagonal one.
        vectors: name -> (..., N), or (..., 1) of a scalar.
        initial_state: list of (..., N), or wider; zeros for states that are not learned.
        read_in: dict(kernel, bias), empty if there is no read-in.
    """

    input: Tensor | None
    recurrent: Tensor | None
    bias: Tensor | None
    diagonals: dict[str, Tensor]
    vectors: dict[str, Tensor]
    initial_state: list[Tensor]
    read_in: dict[str, Tensor]


def fuse(cell: Any, weights: dict[str, Any], ops: Any = ops) -> Fused:
    """Return weights in the structure of `cell.weight_tensors()` as the loops take them.

    Args:
        cell: the cell.
        weights: its weights by part and gate.
        ops: `keras.ops` or NumPy.
    """

    def joined(part, arrays):
        found = [arrays[gate] for gate in gates_with(cell.gates, part)]
        return None if not found else found[0] if len(found) == 1 else ops.concatenate(found, -1)

    def over_units(arrays):
        """Repeat what is stored per head."""
        per_head = {gate: cell.gates[gate].per_head for gate in arrays}
        return {
            gate: per_head[gate].dense(ops, array, cell.units) if per_head[gate] else array
            for gate, array in arrays.items()
        }

    recurrent, vectors = weights["recurrent"], weights["vectors"]
    biases = over_units(weights["bias"])
    if getattr(cell, "layer_norm", False):
        vectors, biases = vectors | shifts(biases), {}
    matrices = {
        gate: cell.gates[gate].matrix.dense(ops, recurrent[gate])
        for gate in gates_with(cell.gates, "matrix")
    }
    return Fused(
        joined("input", over_units(weights["input"])),
        joined("matrix", matrices),
        joined("bias", biases) if biases else None,
        {gate: array for gate, array in recurrent.items() if gate not in matrices},
        vectors,
        _all_states(cell, weights["initial_state"], _dtype(weights), ops),
        weights["read_in"],
    )


def _dtype(weights):
    return next(iter((weights["input"] | weights["recurrent"]).values())).dtype


def _all_states(cell, learned, dtype, ops):
    """Return the initial states, with zeros for those that are not learned."""
    names = learned_states(cell) if learned else []
    by_name = dict(zip(names, learned, strict=True))
    widths = zip(cell.state_names, state_widths(cell, cell.units), strict=True)
    return [
        by_name[name] if name in by_name else ops.zeros((width,), dtype) for name, width in widths
    ]


def product_of(
    gates: Mapping[str, Gate],
    weights: Fused,
    group: Sequence[str],
    with_input: bool = True,
    with_recurrent: bool = True,
    ops: Any = ops,
) -> dict[str, Tensor]:
    """Return the weights of a group of gates, side by side.

    Args:
        gates: all gates of the cell.
        weights: its weights.
        group: gates that have the same products.
        with_input: whether to include W, and b, if the group has a W.
        with_recurrent: whether to include U.
        ops: `keras.ops` or NumPy.

    Returns:
        dict(input (..., I, M), recurrent (..., N, M), bias (..., M)), of the parts that there are.
    """
    found, first = {}, gates[group[0]]
    if first.matrix and with_recurrent:
        found["recurrent"] = _columns(ops, weights.recurrent, gates_with(gates, "matrix"), group)
    if first.input and with_input:
        found["input"] = _columns(ops, weights.input, gates_with(gates, "input"), group)
    is_biased = weights.bias is not None and any(gates[gate].bias for gate in group)
    if is_biased and (with_input or not first.input):
        found["bias"] = _columns(ops, weights.bias, gates_with(gates, "bias"), group)
    return found


def _columns(ops, array, names, chosen):
    """Return the columns of some gates of an array that has those of all, side by side.

    Columns of gates that it does not have are zeros.
    """
    if tuple(chosen) == tuple(names):
        return array
    units = array.shape[-1] // len(names)
    places = [names.index(gate) if gate in names else None for gate in chosen]
    if places == list(range(places[0] or 0, (places[0] or 0) + len(places))):
        return array[..., places[0] * units : (places[-1] + 1) * units]
    zeros = ops.zeros_like(array[..., :units])
    return ops.concatenate(
        [zeros if i is None else array[..., i * units : (i + 1) * units] for i in places], axis=-1
    )


def pre_of_step(cell: Any, ops: ModuleType, weights: Fused, x: Tensor) -> Callable[..., Tensor]:
    """Return `pre(gate, operand)` of a single time step, or of all at once.

    Args:
        cell: the cell.
        ops: `keras.ops` or NumPy.
        weights: the cell's.
        x: (B, I), the input after any read-in, or (T, ..., B, I).
    """

    def by_gate(array, part):
        names = gates_with(cell.gates, part)
        return dict(zip(names, ops.split(array, len(names), -1), strict=True)) if names else {}

    # Not ops.matmul, which computes float64 in float32 on PyTorch.
    given = by_gate(None if weights.input is None else x @ weights.input, "input")
    biases = {} if weights.bias is None else by_gate(ops.expand_dims(weights.bias, -2), "bias")
    matrices = by_gate(weights.recurrent, "matrix")

    def pre(gate, operand=None):
        terms = [each[gate] for each in (given, biases) if gate in each]
        if gate in matrices:
            terms.append(operand @ matrices[gate])
        if gate in weights.diagonals:
            terms.append(operand * ops.expand_dims(weights.diagonals[gate], -2))
        return sum(terms[1:], terms[0])

    pre.axis = -1  # type: ignore[attr-defined]
    return pre


def _argument(part, key):
    """Return the prefix of Keras's arguments for a variable, such as "kernel"; None without any."""
    return key if part == "read_in" else ARGUMENTS.get(part)


class WeightedCell(keras.layers.Layer):
    """What a cell does with its weights; a base class of `AbstractRNNCell`."""

    units: int
    gates: Mapping[str, Gate]
    vectors: Mapping[str, Vector]
    zero_states: Mapping[str, ZeroState]
    state_names: tuple[str, ...]
    learned_initial_state: bool
    use_bias: bool
    layer_norm: bool
    matrix_init: str
    bias_init: str
    input_scale: dict[str, float]
    recurrent_scale: dict[str, float]
    bias_scale: dict[str, float]
    seed: int | None

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        features = input_shape[-1]
        values = self._initial_values(features)
        #: Variable -> (part, the key that it holds of it, or a tuple of several).
        self._layout = self._layout_of(features)
        for name, (part, key) in self._layout.items():
            setattr(self, name, self._add(name, _argument(part, key), values[name]))
        # A SavedModel finds the variables of a list.
        self._variable_list = [getattr(self, name) for name in self._layout]
        self.built = True

    def _add(self, name, argument, value):
        kinds = ("regularizer", "constraint") if argument else ()
        options = {kind: getattr(self, f"{argument}_{kind}") for kind in kinds}
        return self.add_weight(
            name=name,
            shape=value.shape,
            initializer=lambda shape, dtype=None: ops.convert_to_tensor(value, dtype),
            **options,
        )

    def _layout_of(self, features):
        shapes = weight_shapes(self, self.units, features)
        layout: dict[str, tuple[str, Any]] = {}
        for part, variable in _FUSED.items():
            gates = tuple(gate for gate in shapes[part] if self._is_fused(part, gate))
            if gates:
                layout[variable] = (part, gates)
        for part in _FUSED:
            for gate in shapes[part]:
                if not self._is_fused(part, gate):
                    layout[f"{gate}_{part}"] = (part, gate)
        layout |= {name: ("vectors", name) for name in self.vectors}
        if self.learned_initial_state:
            layout |= {
                f"initial_{name}": ("initial_state", index)
                for index, name in enumerate(learned_states(self))
            }
        return layout | {f"read_in_{name}": ("read_in", name) for name in shapes["read_in"]}

    def _is_fused(self, part, gate):
        if part == "recurrent":
            return type(self.gates[gate].recurrent) is Dense
        return not self.gates[gate].per_head

    def _initial_values(self, features):
        """Draw an initial value for each variable."""
        by_part = self._initial_by_part(features)
        values = {}
        for name, (part, keys) in self._layout_of(features).items():
            given = getattr(self, f"{_argument(part, keys)}_initializer", None)
            value = _joined(by_part[part], keys)
            if given is not None:
                value = ops.convert_to_numpy(given(value.shape, dtype="float32"))
            values[name] = value.astype("float32")
        return values

    def _initial_by_part(self, features):
        """Draw the initial values of appendix A, in the structure of `weight_tensors`."""
        shapes = weight_shapes(self, self.units, features)
        # Not stored: a copy made from the configuration, such as the second direction of
        # Bidirectional, must draw its own values.
        seed = random.randint(1, 2**31 - 1) if self.seed is None else self.seed
        count = 3 * len(self.gates) + len(self.vectors) + 1
        seeds = map(int, np.random.SeedSequence(seed).generate_state(count))
        drawn: dict[str, Any] = {part: {} for part in shapes}
        drawn["initial_state"] = [np.zeros(shape) for shape in shapes["initial_state"]]
        if shapes["read_in"]:
            kernel = ScaledNormal(seed=next(seeds)).draw(shapes["read_in"]["kernel"])
            drawn["read_in"] = {"kernel": kernel, "bias": np.zeros(self.units)}
        for gate, declared in self.gates.items():
            of_input, of_recurrent, of_bias = next(seeds), next(seeds), next(seeds)
            if gate in shapes["input"]:
                kernel = ScaledNormal(self.input_scale[gate], of_input)
                drawn["input"][gate] = kernel.draw(shapes["input"][gate])
            if declared.recurrent:
                matrix = MATRIX_INITS[self.matrix_init](self.recurrent_scale[gate])
                generator = np.random.default_rng(of_recurrent)
                drawn["recurrent"][gate] = declared.recurrent.draw(matrix, generator, self.units)
            if gate in shapes["bias"]:
                bias = BIAS_INITS[self.bias_init](self.bias_scale[gate], of_bias)
                drawn["bias"][gate] = bias.draw(shapes["bias"][gate])
        for name, vector in self.vectors.items():
            drawn["vectors"][name] = vector.draw(np.random.default_rng(next(seeds)), self.units)
        return drawn

    def draw_weights(self, features: int) -> dict[str, Any]:
        """Draw the initial weights that `build` would draw, without building the cell.

        The two agree only if the cell has a `seed`.

        Args:
            features: I.

        Returns:
            NumPy arrays in the structure of `weight_tensors`.
        """
        return self._by_part(self._layout_of(features), self._initial_values(features), np)

    def weight_tensors(self, dtype: str | None = None) -> dict[str, Any]:
        """Return the current weights as tensors, by part and gate.

        Args:
            dtype: dtype of the tensors; the compute dtype if None.

        Returns:
            dict(input, recurrent, bias: dicts from gate to tensor, of the gates that have the part;
            vectors: dict from name to tensor; initial_state: list of (N,) of those that are
            learned; read_in: dict(kernel, bias), empty if there is none). Biases are zeros if not
            used.

        Raises:
            ValueError: the cell is not built yet.
        """
        layout = self._built_layout()
        return self._by_part(layout, {name: self._value(name, dtype) for name in layout}, ops)

    def fused(self) -> Fused:
        """Return the current weights, in the compute dtype, as `rnn_zoo.unroll` takes them."""
        layout, matrices = self._built_layout(), gates_with(self.gates, "matrix")
        is_plain = all(self._is_fused("recurrent", gate) for gate in matrices) and all(
            self._is_fused("input", gate) for gate in self.gates
        )
        if self.layer_norm or not is_plain:
            return fuse(self, self.weight_tensors())
        # Not from `weight_tensors`, which splits by gate what is needed side by side.
        kernel, recurrent, bias = (
            self._value(name) if name in layout else None for name in _FUSED.values()
        )
        others: dict[str, Any] = {"recurrent": {}, "vectors": {}, "read_in": {}}
        for name, (part, key) in layout.items():
            if part in others and not isinstance(key, tuple):
                others[part][key] = self._value(name)
        diagonals, vectors, read_in = others.values()
        return Fused(kernel, recurrent, bias, diagonals, vectors, self.state_tensors(), read_in)

    def state_tensors(self) -> list[Tensor]:
        """Return the current initial states, each (N,) or wider; zeros if they are not learned."""
        layout = self._built_layout()
        learned = [self._value(name) for name in layout if layout[name][0] == "initial_state"]
        return _all_states(self, learned, self.compute_dtype, ops)

    def _value(self, name, dtype=None):
        return ops.cast(getattr(self, name), dtype or self.compute_dtype)

    def _built_layout(self):
        if not self.built:
            raise ValueError(f"{self.name} has no weights yet: call it, or build((None, I)), first")
        return self._layout

    def _by_part(self, layout, values, ops):
        """Return the values of variables in the structure of `weight_tensors`."""
        held: dict[str, Any] = {
            part: {} for part in (*_FUSED, "vectors", "initial_state", "read_in")
        }
        for name, (part, key) in layout.items():
            if isinstance(key, tuple):
                held[part] |= zip(key, ops.split(values[name], len(key), -1), strict=True)
            else:
                held[part][key] = values[name]
        dtype = values[next(iter(layout))].dtype
        if not self.use_bias:
            held["bias"] = {
                gate: ops.zeros((self.gates[gate].columns(self.units),), dtype)
                for gate in gates_with(self.gates, "bias")
            }
        return held | {
            "recurrent": {
                gate: held["recurrent"][gate] for gate in gates_with(self.gates, "recurrent")
            },
            "initial_state": list(held["initial_state"].values()),
        }

    def assign_weights(self, tensors: dict[str, Any]) -> None:
        """Set the weights from the structure of `weight_tensors`."""
        for name, (part, keys) in self._built_layout().items():
            getattr(self, name).assign(_joined(tensors[part], keys))

    def unknown_weights(self) -> list[str]:
        """Return the names of weights that a subclass added to those that it declares."""
        known = {id(getattr(self, name)) for name in self._built_layout()}
        return [weight.name for weight in self.weights if id(weight) not in known]

    @property
    def initial_state(self) -> list[Array]:
        """The learned initial states as NumPy arrays, each (N,)."""
        states = fuse(self, self.weight_tensors(self.variable_dtype)).initial_state
        return [ops.convert_to_numpy(state) for state in states]

    def gate_weights(self) -> dict[str, dict[str, Array]]:
        """Return the gates' weights as NumPy arrays; b^fg is not part of the bias.

        Returns:
            dict from gate to dict(input=(I, N), recurrent=(N, N), bias=(N,)), of the parts that the
            gate has. In cells with a read-in, such as the MinimalRNN, input matrices are (N, N).
            Recurrent products of another structure are as `rnn_zoo.algebra` stores them.
        """
        weights = self.weight_tensors(self.variable_dtype)
        parts = ("input", "recurrent", "bias") if self.use_bias else ("input", "recurrent")
        return {
            gate: {
                part: ops.convert_to_numpy(weights[part][gate])
                for part in parts
                if gate in weights[part]
            }
            for gate in self.gates
        }

    def set_gate_weights(self, weights: dict[str, dict[str, Any]]) -> None:
        """Set the weights that `gate_weights` returns.

        Raises:
            ValueError: a gate or part is missing or unknown, or an array has the wrong shape;
                in all these cases no weight changes.
        """
        held = self.gate_weights()
        check_names("gates", weights, held)
        for gate, arrays in weights.items():
            check_names(f"parts of gate {gate!r}", arrays, held[gate])
            for part, array in arrays.items():
                expected = held[gate][part].shape
                if np.shape(array) != expected:
                    raise ValueError(f"{gate}/{part} must be {expected}, got {np.shape(array)}")
        tensors = self.weight_tensors(self.variable_dtype)
        for gate, arrays in weights.items():
            for part, array in arrays.items():
                tensors[part][gate] = ops.convert_to_numpy(array)
        self.assign_weights(tensors)


def _joined(arrays, keys):
    """Return the array of a key, or those of several keys side by side, in NumPy."""
    if not isinstance(keys, tuple):
        return arrays[keys]
    return np.concatenate([ops.convert_to_numpy(arrays[key]) for key in keys], axis=-1)
