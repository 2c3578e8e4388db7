"""The base class of recurrent cells: weights, initial values, serialization.

A subclass names its gates and states and writes its equations in `step`; see `UGRNNCell`.

Legend: B batch, I input features, N units.
"""

import dataclasses
import inspect
import random
from collections.abc import Callable
from types import ModuleType
from typing import Any

import keras
import numpy as np
from keras import ops

from rnn_zoo.cells.arguments import by_name, check_names, elementwise, one_of, rate
from rnn_zoo.cells.noise import NoisyCell, masked_step, step_of
from rnn_zoo.initializers import (
    BIAS_INITS,
    MATRIX_INITS,
    ConstantBias,
    GateOf,
    ScaledNormal,
    SeededInitializer,
)
from rnn_zoo.sizing import weight_shapes

Tensor = Any
Array = np.ndarray

#: Part of a gate's weights -> its name in the arguments of Keras layers.
_GATE_PARTS = {"input": "kernel", "recurrent": "recurrent", "bias": "bias"}
#: Kind of argument -> the module that reads and serializes it.
_KERAS = {
    "initializer": keras.initializers,
    "regularizer": keras.regularizers,
    "constraint": keras.constraints,
}


@dataclasses.dataclass(frozen=True)
class WeightSpec:
    """Weight specification: name, shape, initializer, and Keras's regularizer and constraint."""

    name: str
    shape: tuple[int, ...]
    initializer: SeededInitializer | GateOf
    regularizer: Any = None
    constraint: Any = None

    def draw(self) -> Array:
        return self.initializer.draw(self.shape).astype("float32")


class AbstractRNNCell(keras.layers.Layer, NoisyCell):
    """Base class of recurrent cells, defined by their gates and the equations of one `step`.

    A gate's pre-activation is W x + U operand + b. The cell requests it with `pre(gate, operand)`
    and combines the gates. The caller of `step` decides where the products are computed, and for
    how many time steps at once: this class for a single step, `rnn_zoo.unroll` for sequences.

    Works where Keras accepts a cell: `keras.layers.RNN(cell)`, `StackedRNNCells`, `Bidirectional`.

    Args:
        units: N.
        activation: the elementwise nonlinearity s, as accepted by `keras.activations.get`.
        recurrent_activation: the elementwise nonlinearity of the gates, in place of the sigmoid.
        use_bias: whether the gates have biases b. A read-in keeps its own.
        gate_bias: b^fg, added to the pre-activation of each gate in `forget_gates`: one number for
            all, or a dict from gate to number. A hyperparameter, not a weight. Cells without forget
            gates ignore it.
        learned_initial_state: whether the initial states are weights (section 1.4) or zeros.
        matrix_init: initializer of the recurrent matrices (appendix A): "identity", "orthogonal" or
            "normal".
        bias_init: initializer of the biases: "constant" or "normal".
        input_scale, recurrent_scale, bias_scale: factors of the initial values: one number for all
            gates, or a dict from gate to number. The identity is not scaled.
        seed: random seed of the initial values; `None` draws one from Python's `random`, which
            `keras.utils.set_random_seed` makes reproducible.
        kernel_initializer, recurrent_initializer, bias_initializer: Keras initializers, used in
            place of the paper's. As in Keras, each draws the weights of all gates at once.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: Keras regularizers of the input
            matrices, the recurrent matrices and the biases, applied to each gate's.
        kernel_constraint, recurrent_constraint, bias_constraint: Keras constraints, likewise.
        dropout, recurrent_dropout, candidate_dropout, zoneout: rates of the noise in training; see
            `rnn_zoo.cells.noise`. `zoneout` is a number for all states, or a dict from state to
            number.

    Raises:
        ValueError: `units` below 1, an activation that mixes units, an unknown initializer, a
            `recurrent_activation` that no equation uses, a rate outside [0, 1), a
            `candidate_dropout` of a cell without gates, or a dict whose keys are not the gates.
    """

    #: Names of the gates.
    gates: tuple[str, ...] = ()
    #: Names of the gates that keep the old state, or the input, and carry b^fg.
    forget_gates: tuple[str, ...] = ()
    #: Names of the states, in the order that `step` takes and returns them.
    state_names: tuple[str, ...] = ("h",)
    #: Whether `step` uses x itself. If x is not N wide, a linear read-in then projects it to N.
    mixes_input: bool = False
    #: Whether there is a read-in even if x is N wide.
    always_reads_in: bool = False
    #: Names of the constructor's own arguments, all numbers, that `step` reads from attributes of
    #: the same names, and nothing else reads. They may differ between lanes, like b^fg.
    lane_options: tuple[str, ...] = ()

    def __init__(
        self,
        units: int,
        activation: str | Callable[[Tensor], Tensor] = "tanh",
        gate_bias: float | dict[str, float] = 1.0,
        learned_initial_state: bool = True,
        matrix_init: str = "orthogonal",
        bias_init: str = "constant",
        input_scale: float | dict[str, float] = 1.0,
        recurrent_scale: float | dict[str, float] = 1.0,
        bias_scale: float | dict[str, float] = 0.0,
        seed: int | None = None,
        recurrent_activation: str | Callable[[Tensor], Tensor] = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = None,
        recurrent_initializer: Any = None,
        bias_initializer: Any = None,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        candidate_dropout: float = 0.0,
        zoneout: float | dict[str, float] = 0.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if not isinstance(units, (int, np.integer)) or units < 1:
            raise ValueError(f"units must be a whole number of at least 1, got {units!r}")
        self.units = int(units)
        self.activation = elementwise(activation)
        self.gate_bias = by_name("gate_bias", gate_bias, self.forget_gates)
        self.learned_initial_state = learned_initial_state
        self.matrix_init = one_of("matrix_init", matrix_init, MATRIX_INITS)
        self.bias_init = one_of("bias_init", bias_init, BIAS_INITS)
        self.input_scale = by_name("input_scale", input_scale, self.gates)
        self.recurrent_scale = by_name("recurrent_scale", recurrent_scale, self.gates)
        self.bias_scale = by_name("bias_scale", bias_scale, self.gates)
        self.seed = seed
        self.recurrent_activation = elementwise(recurrent_activation)
        used = type(self).step.__code__.co_names
        if self.recurrent_activation is not keras.activations.sigmoid:
            self._check_used("recurrent_activation", "recurrent_activation" in used)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.recurrent_initializer = keras.initializers.get(recurrent_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.recurrent_regularizer = keras.regularizers.get(recurrent_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.recurrent_constraint = keras.constraints.get(recurrent_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        self.dropout = rate("dropout", dropout)
        self.recurrent_dropout = rate("recurrent_dropout", recurrent_dropout)
        self.candidate_dropout = rate("candidate_dropout", candidate_dropout)
        if self.candidate_dropout:
            self._check_used("candidate_dropout", self.forget_gates and "activation" in used)
        self.zoneout = by_name("zoneout", zoneout, self.state_names, "states")
        zoned = [rate("zoneout", value) for value in self.zoneout.values()]
        if any((self.dropout, self.recurrent_dropout, self.candidate_dropout, *zoned)):
            self.seed_generator = keras.random.SeedGenerator(seed)

    def _check_used(self, argument, is_used):
        if not is_used:
            raise ValueError(
                f"the equations of {type(self).__name__} do not use {argument}; omit it"
            )

    def step(
        self,
        ops: ModuleType,
        x: Tensor,
        pre: Callable[[str, Tensor], Tensor],
        states: list[Tensor],
    ) -> tuple[Tensor, list[Tensor]]:
        """Compute one time step of the cell's equations, element by element.

        The equations must treat all units and samples alike and use weights only through `pre`:
        sequences run on arrays (..., N, B) instead of (..., B, N), and their gradient covers no
        other weights. Read `self.activation` and `self.gate_bias` here, not in `__init__`: when
        trials train in lanes, each lane has its own.

        Args:
            ops: namespace of array functions to compute with: `keras.ops`, or NumPy equivalents
                when a model is streamed.
            x: (..., N), the input after any read-in; for cells with `mixes_input`, others ignore
                it.
            pre: `pre(gate, operand)` returns W x + U operand + b of that gate, (..., N). It must be
                called exactly once per gate.
            states: list of the states before the step, each (..., N), in the order of
                `state_names`.

        Returns:
            (output, states): the output (..., N) and the list of states after the step.
        """
        raise NotImplementedError(f"{type(self).__name__} must define step(ops, x, pre, states)")

    def after_read_in(self, ops: ModuleType, x: Tensor) -> Tensor:
        """Apply an elementwise function to the read-in's W x + b (..., N); the identity here."""
        return x

    @property
    def state_size(self) -> int | list[int]:
        return self.units if len(self.state_names) == 1 else [self.units] * len(self.state_names)

    @property
    def output_size(self) -> int:
        return self.units

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        #: The variables, structured as in `weight_tensors`; initial states only if learned.
        self.weights_by_part = {
            part: keras.tree.map_structure(self._add, specs)
            for part, specs in self._weight_specs(input_shape[-1]).items()
        }
        # A SavedModel finds the variables of a list, but not those of nested dicts.
        self._variable_list = keras.tree.flatten(self.weights_by_part)
        self.built = True

    def draw_weights(self, features: int) -> dict[str, Any]:
        """Draw the initial weights that `build` would draw, without building the cell.

        The two agree only if the cell has a `seed`.

        Args:
            features: I.

        Returns:
            NumPy arrays in the structure of `weight_tensors`.
        """
        drawn = keras.tree.map_structure(lambda spec: spec.draw(), self._weight_specs(features))
        return self._completed(drawn, lambda: np.zeros(self.units, "float32"))

    def _weight_specs(self, features):
        """Return a `WeightSpec` per weight, in the structure of `weights_by_part`."""
        shapes = weight_shapes(self, self.units, features)
        # Not stored: a copy made from the configuration, such as the second direction of
        # Bidirectional, must draw its own values.
        seed = random.randint(1, 2**31 - 1) if self.seed is None else self.seed
        seeds = map(int, np.random.SeedSequence(seed).generate_state(3 * len(self.gates) + 1))
        papers = {
            "input": (ScaledNormal, self.input_scale),
            "recurrent": (MATRIX_INITS[self.matrix_init], self.recurrent_scale),
            "bias": (BIAS_INITS[self.bias_init], self.bias_scale),
        }
        specs = {part: {} for part in shapes}
        for name, shape in shapes["read_in"].items():
            initializer = ConstantBias(0.0) if name == "bias" else ScaledNormal(1.0, next(seeds))
            specs["read_in"][name] = WeightSpec(f"read_in_{name}", shape, initializer)
        for index, gate in enumerate(self.gates):
            for part, (initializer, scales) in papers.items():
                ours = initializer(scales[gate], next(seeds))
                if gate not in shapes[part]:
                    continue
                given, regularizer, constraint = (
                    getattr(self, f"{_GATE_PARTS[part]}_{kind}") for kind in _KERAS
                )
                specs[part][gate] = WeightSpec(
                    f"{gate}_{part}",
                    shapes[part][gate],
                    ours if given is None else GateOf(given, index, len(self.gates)),
                    regularizer,
                    constraint,
                )
        learned = self.state_names if self.learned_initial_state else ()
        specs["initial_state"] = [
            WeightSpec(f"initial_{name}", shape, ConstantBias(0.0))
            for name, shape in zip(learned, shapes["initial_state"], strict=False)
        ]
        return specs

    def _add(self, spec):
        return self.add_weight(**{f.name: getattr(spec, f.name) for f in dataclasses.fields(spec)})

    def weight_tensors(self, dtype: str | None = None) -> dict[str, Any]:
        """Return the current weights as tensors, in the structure that `rnn_zoo.unroll` takes.

        Args:
            dtype: dtype of the tensors; the compute dtype if None.

        Returns:
            dict(input, recurrent, bias: dicts from gate to tensor; initial_state: list of (N,),
            zeros if not learned; read_in: dict(kernel, bias), empty if there is none).

        Raises:
            ValueError: the cell is not built yet.
        """
        dtype = dtype or self.compute_dtype
        held = {
            part: list(held) if isinstance(held, list) else dict(held)
            for part, held in self._built_weights().items()
        }
        cast = keras.tree.map_structure(lambda weight: ops.cast(weight, dtype), held)
        return self._completed(cast, lambda: ops.zeros((self.units,), dtype))

    def _completed(self, weights, zeros):
        """Add zeros for initial states that are not learned, and for biases that are not used."""
        initial = weights["initial_state"] or [zeros() for _ in self.state_names]
        bias = weights["bias"] or {gate: zeros() for gate in self.gates}
        return weights | {"initial_state": initial, "bias": bias}

    def assign_weights(self, tensors: dict[str, Any]) -> None:
        """Set the weights from the structure of `weight_tensors`."""
        for part, held in self._built_weights().items():
            for key in held if isinstance(held, dict) else range(len(held)):
                held[key].assign(tensors[part][key])

    def unknown_weights(self) -> list[str]:
        """Return the names of weights that a subclass added to those of `weight_tensors`."""
        known = {id(weight) for weight in keras.tree.flatten(dict(self._built_weights()))}
        return [weight.name for weight in self.weights if id(weight) not in known]

    def call(
        self, inputs: Tensor, states: Tensor, training: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        weights = self.weight_tensors()
        states = list(states) if keras.tree.is_nested(states) else [states]
        masks = self.masks_of_call(inputs, states[0]) if training else {}
        x = inputs * masks["input"] if "input" in masks else inputs
        if weights["read_in"]:
            x = ops.matmul(x, weights["read_in"]["kernel"]) + weights["read_in"]["bias"]
            x = self.after_read_in(ops, x)

        def pre(gate, operand):
            return (
                ops.matmul(x, weights["input"][gate])
                + ops.matmul(operand, weights["recurrent"][gate])
                + weights["bias"][gate]
            )

        if training:
            output, states = masked_step(self, ops, x, pre, states, masks)
        else:
            output, states = step_of(self, training=False)(x, pre, states, {})
        return output, list(states)

    def get_initial_state(self, batch_size: int | None = None) -> Tensor | list[Tensor]:
        """Return the learned initial states, or zeros, each repeated to (B, N).

        The structure is that of `state_size`: a bare tensor for one state, else a list. A stateful
        `keras.layers.RNN` of this cell starts from their values when it is built, and from zeros
        after `reset_state()`; layers of `rnn_zoo.layers` start from the learned states again.
        """
        states = [
            # A copy: on torch, Keras cannot write to a state whose rows share their memory.
            ops.copy(ops.broadcast_to(state, (batch_size, self.units)))
            for state in self.weight_tensors()["initial_state"]
        ]
        return states if len(states) > 1 else states[0]

    @property
    def initial_state(self) -> list[Array]:
        """The learned initial states as NumPy arrays, each (N,)."""
        states = self.weight_tensors(self.variable_dtype)["initial_state"]
        return [ops.convert_to_numpy(state) for state in states]

    def gate_weights(self) -> dict[str, dict[str, Array]]:
        """Return the gates' weights as NumPy arrays; b^fg is not part of the bias.

        Returns:
            dict from gate to dict(input=(I, N), recurrent=(N, N), bias=(N,)). In cells with a
            read-in, such as the MinimalRNN, input matrices are (N, N).
        """
        return keras.tree.map_structure(ops.convert_to_numpy, self._weights_by_gate())

    def set_gate_weights(self, weights: dict[str, dict[str, Any]]) -> None:
        """Set the weights that `gate_weights` returns.

        Raises:
            ValueError: a gate or part is missing or unknown, or an array has the wrong shape;
                in all these cases no weight changes.
        """
        held = self._weights_by_gate()
        check_names("gates", weights, held)
        for gate, arrays in weights.items():
            check_names(f"parts of gate {gate!r}", arrays, held[gate])
            for part, array in arrays.items():
                expected = tuple(held[gate][part].shape)
                if np.shape(array) != expected:
                    raise ValueError(f"{gate}/{part} must be {expected}, got {np.shape(array)}")
        for gate, arrays in weights.items():
            for part, array in arrays.items():
                held[gate][part].assign(array)

    def get_config(self) -> dict[str, Any]:
        held = {n: getattr(self, n) for n in parameters(type(self)) if hasattr(self, n)}
        functions = ("activation", "recurrent_activation")
        return (
            super().get_config()
            | {
                name: dict(value) if isinstance(value, dict) else value
                for name, value in held.items()
            }
            | {name: keras.activations.serialize(held[name]) for name in functions}
            | {
                f"{part}_{kind}": module.serialize(held[f"{part}_{kind}"])
                for part in _GATE_PARTS.values()
                for kind, module in _KERAS.items()
            }
        )

    def _built_weights(self):
        if not self.built:
            raise ValueError(f"{self.name} has no weights yet: call it, or build((None, I)), first")
        return self.weights_by_part

    def _weights_by_gate(self):
        """Return dict gate -> dict part -> variable."""
        held = self._built_weights()
        return {
            gate: {part: held[part][gate] for part in _GATE_PARTS if gate in held[part]}
            for gate in self.gates
        }


def parameters(cell_class: type[AbstractRNNCell]) -> dict[str, inspect.Parameter]:
    """Return the constructor's arguments, those of its parents up to `AbstractRNNCell` included."""
    found: dict[str, inspect.Parameter] = {}
    for each in cell_class.__mro__[: cell_class.__mro__.index(AbstractRNNCell) + 1]:
        if "__init__" not in vars(each):
            continue
        own = inspect.signature(vars(each)["__init__"]).parameters
        for name, parameter in list(own.items())[1:]:  # without self
            if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                found.setdefault(name, parameter)
        if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in own.values()):
            break  # it does not pass on its parents' arguments
    return found


def own_options(cell_class: type[AbstractRNNCell]) -> dict[str, Any]:
    """Return the constructor's arguments that `AbstractRNNCell` lacks, with their defaults."""
    common = inspect.signature(AbstractRNNCell.__init__).parameters
    found = parameters(cell_class).items()
    return {name: parameter.default for name, parameter in found if name not in common}
