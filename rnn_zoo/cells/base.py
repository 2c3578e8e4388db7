"""The base class of recurrent cells: arguments, one time step, serialization.

A subclass declares its gates and states and writes its equations in `step`; see `UGRNNCell`.

Legend: B batch, I input features, N units.
"""

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType, ModuleType
from typing import Any

import keras
import numpy as np
from keras import ops

from rnn_zoo.algebra import Vector, ZeroState, declared, divisor, gates_with, state_widths
from rnn_zoo.cells.arguments import by_name, elementwise, not_negative, one_of, rate, switch, whole
from rnn_zoo.cells.noise import NoisyCell, masked_step, replace, step_of
from rnn_zoo.cells.normalization import gains
from rnn_zoo.cells.weights import ARGUMENTS, WeightedCell, pre_of_step
from rnn_zoo.initializers import BIAS_INITS, MATRIX_INITS

Tensor = Any
Array = np.ndarray

#: Kind of argument -> the module that reads and serializes it.
_KERAS = {
    "initializer": keras.initializers,
    "regularizer": keras.regularizers,
    "constraint": keras.constraints,
}


class AbstractRNNCell(WeightedCell, NoisyCell):
    """Base class of recurrent cells, defined by their gates and the equations of one `step`.

    A gate's pre-activation is W x + U operand + b, or the parts of it that the gate declares. The
    cell requests it with `pre(gate, operand)` and combines the gates. The caller of `step` decides
    where the products are computed, and for how many time steps at once: this class for a single
    step, `rnn_zoo.unroll` for sequences.

    Works where Keras accepts a cell: `keras.layers.RNN(cell)`, `StackedRNNCells`, `Bidirectional`.

    Args:
        units: N.
        activation: the elementwise nonlinearity s, as accepted by `keras.activations.get`.
        recurrent_activation: the elementwise nonlinearity of the gates, in place of the sigmoid.
        use_bias: whether the gates have biases b. A read-in keeps its own. Cells whose gates have
            none, such as the FastGRNN, refuse False.
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
            place of the paper's. As in Keras, each draws the weights of all gates at once; a
            read-in's kernel and bias are drawn on their own.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: Keras regularizers of the input
            matrices, the recurrent matrices and the biases, of a read-in too. As in Keras, they see
            those of all gates side by side.
        kernel_constraint, recurrent_constraint, bias_constraint: Keras constraints, likewise.
        dropout, recurrent_dropout, candidate_dropout, zoneout: rates of the noise in training; see
            `rnn_zoo.cells.noise`. `zoneout` is a number for all states, or a dict from state to
            number.
        initial_noise: standard deviation of the noise on the initial states in training.
        layer_norm: whether pre-activations are normalised over the units of a sample; see
            `rnn_zoo.cells.normalization`.

    Raises:
        ValueError: `units` below 1, an activation that mixes units, an unknown initializer, a
            `recurrent_activation` that no equation uses, a rate outside [0, 1), a
            `candidate_dropout` of a cell whose `step` makes no candidate, a regularizer, constraint
            or initializer of weights that the cell does not have, a dict whose keys are not the
            gates, or a number of units that its blocks do not divide.
    """

    #: The gates: their names, or a dict from name to `rnn_zoo.algebra.Gate`.
    gates: Any = ()
    #: Learned vectors and scalars beside the gates, by name; `step` reads them as attributes.
    vectors: Mapping[str, Vector] = MappingProxyType({})
    #: Names of the gates that keep the old state, or the input, and carry b^fg.
    forget_gates: tuple[str, ...] = ()
    #: Names of the states, in the order that `step` takes and returns them.
    state_names: tuple[str, ...] = ("h",)
    #: The states that start from zero and are not learned; never the first state.
    zero_states: Mapping[str, ZeroState] = MappingProxyType({})
    #: States that are meaningful only together, such as a sum and its scale; zoneout skips them.
    joint_states: tuple[str, ...] = ()
    #: Whether `activation` makes a candidate, which `candidate_dropout` drops.
    has_candidate: bool = True
    #: Whether `step` uses x itself. If x is not N wide, a linear read-in then projects it to N.
    mixes_input: bool = False
    #: Whether there is a read-in even if x is N wide.
    always_reads_in: bool = False
    #: Names of the constructor's own arguments, all numbers, that `step` reads from attributes of
    #: the same names, and nothing else reads. They may differ between lanes, like b^fg.
    lane_options: tuple[str, ...] = ()

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        cls.gates = declared(cls.gates)

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
        initial_noise: float = 0.0,
        layer_norm: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.units = whole("units", units)
        if units % divisor(self.gates):
            raise ValueError(
                f"units of {type(self).__name__} must be a multiple of {divisor(self.gates)}, the "
                f"number of its blocks, got {units}"
            )
        self.activation = elementwise(activation)
        self.gate_bias = by_name("gate_bias", gate_bias, self.forget_gates)
        self.learned_initial_state = switch("learned_initial_state", learned_initial_state)
        self.matrix_init = one_of("matrix_init", matrix_init, MATRIX_INITS)
        self.bias_init = one_of("bias_init", bias_init, BIAS_INITS)
        self.input_scale = by_name("input_scale", input_scale, gates_with(self.gates, "input"))
        self.recurrent_scale = by_name(
            "recurrent_scale", recurrent_scale, gates_with(self.gates, "recurrent")
        )
        self.bias_scale = by_name("bias_scale", bias_scale, gates_with(self.gates, "bias"))
        self.seed = seed
        self.recurrent_activation = elementwise(recurrent_activation)
        used = names_in_equations(type(self))
        if self.activation is not keras.activations.tanh:
            self._check_used("activation", "activation" in used)
        if self.recurrent_activation is not keras.activations.sigmoid:
            self._check_used("recurrent_activation", "recurrent_activation" in used)
        self.use_bias = switch("use_bias", use_bias)
        if not self.use_bias:
            self._check_used("use_bias", gates_with(self.gates, "bias"))
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
        self.zoneout = by_name("zoneout", zoneout, self.state_names, "states")
        zoned = [rate("zoneout", value) for value in self.zoneout.values()]
        self._check_options()
        self.initial_noise = not_negative("initial_noise", initial_noise)
        self.layer_norm = switch("layer_norm", layer_norm)
        if self.layer_norm:
            self.vectors = {**self.vectors, **gains(self.gates)}
        noise = (self.dropout, self.recurrent_dropout, self.candidate_dropout, *zoned)
        if any((*noise, self.initial_noise)):
            self.seed_generator = keras.random.SeedGenerator(seed)

    def _check_options(self):
        for part in ("recurrent", "bias"):
            for kind in _KERAS:
                if getattr(self, f"{part}_{kind}") is not None:
                    self._check_used(f"{part}_{kind}", gates_with(self.gates, part))
        if self.recurrent_dropout:
            self._check_used("recurrent_dropout", gates_with(self.gates, "recurrent"))
        makes = self.has_candidate and "activation" in type(self).step.__code__.co_names
        if self.candidate_dropout and not (self.forget_gates and makes):
            raise ValueError(
                "candidate_dropout needs a forget gate and a candidate that `step` makes, which "
                f"{type(self).__name__} does not have; omit it"
            )
        if any(self.zoneout[name] for name in self.joint_states):
            raise ValueError(
                f"zoneout would treat the states {', '.join(self.joint_states)} of "
                f"{type(self).__name__} separately, but they are one memory; omit it, or set it to "
                "0 for these"
            )

    def _check_used(self, argument, is_used):
        if not is_used:
            raise ValueError(
                f"the equations of {type(self).__name__} do not use {argument}; omit it"
            )

    def step(
        self,
        ops: ModuleType,
        x: Tensor,
        pre: Callable[..., Tensor],
        states: list[Tensor],
    ) -> tuple[Tensor, list[Tensor]]:
        """Compute one time step of the cell's equations, element by element.

        The equations must treat all units and samples alike: sequences run on arrays (..., N, B)
        instead of (..., B, N). They use the products of `gates` through `pre`, and `vectors` as
        attributes; their gradient covers no other weights. Read `self.activation` and
        `self.gate_bias` here, not in `__init__`: when trials train in lanes, each lane has its own.

        Args:
            ops: namespace of array functions to compute with: `keras.ops`, or NumPy equivalents
                when a model is streamed.
            x: (..., N), the input after any read-in; for cells with `mixes_input`, others ignore
                it.
            pre: `pre(gate, operand)` returns W x + U operand + b of that gate, (..., N), or the
                parts that it declares. A gate without a recurrent product takes no operand. It
                must be called exactly once per gate. `pre.axis` is the axis of the units.
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
        widths = state_widths(self, self.units)
        return widths if len(widths) > 1 else widths[0]

    @property
    def output_size(self) -> int:
        return self.units

    def call(
        self, inputs: Tensor, states: Tensor, training: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        weights = self.fused()
        states = list(states) if keras.tree.is_nested(states) else [states]
        masks = self.masks_of_call(inputs, states[0]) if training else {}
        x = inputs * masks["input"] if "input" in masks else inputs
        if weights.read_in:
            x = ops.matmul(x, weights.read_in["kernel"]) + weights.read_in["bias"]
            x = self.after_read_in(ops, x)
        pre = pre_of_step(self, ops, weights, x)
        if training:
            output, states = masked_step(
                replace(self, **weights.vectors), ops, x, pre, states, masks
            )
        else:
            step = step_of(self, training=False)
            output, states = step(x, pre, states, {}, weights.vectors)
        return output, list(states)

    def get_initial_state(self, batch_size: int | None = None) -> Tensor | list[Tensor]:
        """Return the learned initial states, or zeros, each repeated to (B, N).

        The structure is that of `state_size`: a bare tensor for one state, else a list. A stateful
        `keras.layers.RNN` of this cell starts from their values when it is built, and from zeros
        after `reset_state()`; layers of `rnn_zoo.layers` start from the learned states again.
        """
        states = [
            # A copy: on torch, Keras cannot write to a state whose rows share their memory.
            ops.copy(ops.broadcast_to(state, (batch_size, state.shape[-1])))
            for state in self.state_tensors()
        ]
        return states if len(states) > 1 else states[0]

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
                for part in ARGUMENTS.values()
                for kind, module in _KERAS.items()
            }
        )


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


def names_in_equations(cell_class: type[AbstractRNNCell]) -> set[str]:
    """Return the names that the methods of a cell's own classes read."""
    own = cell_class.__mro__[: cell_class.__mro__.index(AbstractRNNCell)]
    methods = (value for each in own for value in vars(each).values())
    codes = (getattr(method, "__code__", None) for method in methods)
    return {name for code in codes if code for name in code.co_names}


def own_options(cell_class: type[AbstractRNNCell]) -> dict[str, Any]:
    """Return the constructor's arguments that `AbstractRNNCell` lacks, with their defaults."""
    common = inspect.signature(AbstractRNNCell.__init__).parameters
    found = parameters(cell_class).items()
    return {name: parameter.default for name, parameter in found if name not in common}
