"""What every cell shares: kernels, biases, learned initial states, initialisation, serialisation.

A subclass names its gates and states and writes its equations in `step`; see `UGRNNCell`.

Legend: B batch, I input features, N units.
"""

import dataclasses
import random

import keras
import numpy as np
from keras import ops

from rnn_zoo.initializers import BIAS_INITS, MATRIX_INITS, ConstantBias, ScaledNormal


@dataclasses.dataclass(frozen=True)
class _Weight:
    """A weight to be: its name, its shape and the law of its first value."""

    name: str
    shape: tuple
    initializer: keras.initializers.Initializer

    def draw(self):
        return self.initializer.draw(self.shape).astype("float32")


class AbstractRNNCell(keras.layers.Layer):
    """Base class of recurrent cells that are one `step` of equations over gates.

    A gate's pre-activation is W x + U operand + b. The cell asks for it, `pre(gate, operand)`, and
    combines the gates; where the products are done, and for how many time steps at once, is
    decided by whoever calls `step`: this class for a single step, `rnn_zoo.unroll` for sequences.

    Works wherever Keras takes a cell: `keras.layers.RNN(cell)`, `StackedRNNCells`, `Bidirectional`.

    Args:
        units: N.
        activation: the nonlinearity s, element by element, that `keras.activations.get` knows.
        gate_bias: b^fg, added to the pre-activation of the gates that keep the old state; a
            hyperparameter, not a weight. Ignored by cells without such a gate.
        learned_initial_state: whether the initial states are weights, else zeros (section 1.4).
        matrix_init: law of the recurrent matrices (appendix A): "identity", "orthogonal", "normal".
        bias_init: law of the biases: "constant" or "normal".
        input_scale, recurrent_scale, bias_scale: factors of the initial values, a number for all
            gates or a dict from gate to number. The identity takes no scale.
        seed: of the initial values; `None` draws one from Python's `random`, which
            `keras.utils.set_random_seed` makes repeatable.

    Raises:
        ValueError: `units` below 1, an unknown law, a scale for a gate that the cell does not have.
    """

    gates = ()
    state_names = ("h",)
    #: Whether `step` uses x itself; x must then have N features, and a linear read-in makes it so.
    mixes_input = False
    #: Whether there is a read-in even where x has N features.
    always_reads_in = False

    def __init__(
        self,
        units,
        activation="tanh",
        gate_bias=1.0,
        learned_initial_state=True,
        matrix_init="orthogonal",
        bias_init="constant",
        input_scale=1.0,
        recurrent_scale=1.0,
        bias_scale=0.0,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not isinstance(units, (int, np.integer)) or units < 1:
            raise ValueError(f"units must be a whole number of at least 1, got {units!r}")
        self.units = int(units)
        self.activation = _elementwise(activation)
        self.gate_bias = gate_bias
        self.learned_initial_state = learned_initial_state
        self.matrix_init = _choice("matrix_init", matrix_init, MATRIX_INITS)
        self.bias_init = _choice("bias_init", bias_init, BIAS_INITS)
        self.input_scale = self._per_gate("input_scale", input_scale)
        self.recurrent_scale = self._per_gate("recurrent_scale", recurrent_scale)
        self.bias_scale = self._per_gate("bias_scale", bias_scale)
        self.seed = seed

    def step(self, ops, x, pre, states):
        """One time step of the cell's equations, element by element.

        All units and samples are treated alike, and no weight but those behind `pre` is used: for
        speed, sequences are run with arrays (..., N, B) in place of (..., B, N), and with a
        gradient that knows of no other weight. `self.activation` and `self.gate_bias` are read
        here, not in `__init__`: where trials train in lanes, each has its own.

        Args:
            ops: namespace of array functions to compute with: `keras.ops`, or NumPy's equivalents
                where a model is streamed.
            x: (..., N) the input, behind the read-in if there is one, for cells that mix it into
                their output or state; others ignore it.
            pre: pre(gate, operand) is W x + U operand + b of that gate, (..., N); to be asked once
                for each gate.
            states: list of the states before the step, each (..., N), in `state_names`' order.

        Returns:
            (output, states): the output (..., N) and the list of states after the step.
        """
        raise NotImplementedError(f"{type(self).__name__} must define step(ops, x, pre, states)")

    def after_read_in(self, ops, x):
        """What becomes of the read-in's W x + b (..., N), element by element: itself, if linear."""
        return x

    @property
    def state_size(self):
        return self.units if len(self.state_names) == 1 else [self.units] * len(self.state_names)

    @property
    def output_size(self):
        return self.units

    def build(self, input_shape):
        variables = {
            part: keras.tree.map_structure(self._add, weights)
            for part, weights in self._plan(input_shape[-1]).items()
        }
        self.read_in = variables["read_in"]
        self.input_kernels = variables["input"]
        self.recurrent_kernels = variables["recurrent"]
        self.biases = variables["bias"]
        self.initial_states = variables["initial_state"]
        self.built = True

    def draw_weights(self, features):
        """The values that `build` would give the weights, without building; `seed` must be given.

        Args:
            features: I.

        Returns:
            NumPy arrays in the structure of `weight_tensors`.
        """
        drawn = keras.tree.map_structure(lambda weight: weight.draw(), self._plan(features))
        zeros = [np.zeros(self.units, "float32") for _ in self.state_names]
        return drawn | {"initial_state": drawn["initial_state"] or zeros}

    def _plan(self, features):
        """The weights that the cell will have, in the structure of `weight_tensors`."""
        units, read_in = self.units, {}
        # Drawn here, not kept: a copy made from the configuration, as the other direction of
        # Bidirectional, must start from values of its own.
        seed = random.randint(1, 2**31 - 1) if self.seed is None else self.seed
        seeds = iter(np.random.SeedSequence(seed).generate_state(3 * len(self.gates) + 1))

        def weight(name, shape, law, scale):
            return _Weight(name, shape, law(scale, int(next(seeds))))

        def zeros(name):
            return _Weight(name, (units,), ConstantBias(0.0))

        if self.always_reads_in or (self.mixes_input and features != units):
            kernel = weight("read_in_kernel", (features, units), ScaledNormal, 1.0)
            read_in = {"kernel": kernel, "bias": zeros("read_in_bias")}
            features = units
        matrix_law, bias_law = MATRIX_INITS[self.matrix_init], BIAS_INITS[self.bias_init]
        plan = {"input": {}, "recurrent": {}, "bias": {}}
        for gate in self.gates:
            for part, shape, law, scale in (
                ("input", (features, units), ScaledNormal, self.input_scale),
                ("recurrent", (units, units), matrix_law, self.recurrent_scale),
                ("bias", (units,), bias_law, self.bias_scale),
            ):
                plan[part][gate] = weight(f"{gate}_{part}", shape, law, scale[gate])
        initial = self.state_names if self.learned_initial_state else ()
        return plan | {
            "initial_state": [zeros(f"initial_{name}") for name in initial],
            "read_in": read_in,
        }

    def _add(self, weight):
        return self.add_weight(name=weight.name, shape=weight.shape, initializer=weight.initializer)

    def weight_tensors(self, dtype=None):
        """The live weights in the plain structure that `rnn_zoo.unroll` computes with.

        Args:
            dtype: to cast to; the compute dtype if None.

        Returns:
            dict(input, recurrent, bias: dicts from gate to tensor; initial_state: list of (N,),
            zeros where not learned; read_in: dict(kernel, bias), empty where there is none).

        Raises:
            ValueError: the cell is not built yet.
        """
        self._require_built()
        dtype = dtype or self.compute_dtype
        zeros = [ops.zeros((self.units,), dtype) for _ in self.state_names]
        weights = {
            "input": dict(self.input_kernels),
            "recurrent": dict(self.recurrent_kernels),
            "bias": dict(self.biases),
            "initial_state": list(self.initial_states) or zeros,
            "read_in": dict(self.read_in),
        }
        return keras.tree.map_structure(lambda weight: ops.cast(weight, dtype), weights)

    def assign_weights(self, tensors):
        """Sets the weights from the structure of `weight_tensors`."""
        variables = {
            "input": self.input_kernels,
            "recurrent": self.recurrent_kernels,
            "bias": self.biases,
            "initial_state": self.initial_states,
            "read_in": self.read_in,
        }
        for part, held in variables.items():
            for key in held if isinstance(held, dict) else range(len(held)):
                held[key].assign(tensors[part][key])

    def unknown_weights(self):
        """Names of the weights that a subclass has added to those of `weight_tensors`."""
        known = keras.tree.flatten(
            [self.read_in, self.initial_states, *(variables for _, variables in self._parts())]
        )
        return [w.name for w in self.weights if not any(w is each for each in known)]

    def call(self, inputs, states):
        weights = self.weight_tensors()
        states = list(states) if keras.tree.is_nested(states) else [states]
        x = inputs
        if weights["read_in"]:
            x = ops.matmul(x, weights["read_in"]["kernel"]) + weights["read_in"]["bias"]
            x = self.after_read_in(ops, x)

        def pre(gate, operand):
            return (
                ops.matmul(x, weights["input"][gate])
                + ops.matmul(operand, weights["recurrent"][gate])
                + weights["bias"][gate]
            )

        output, states = self.step(ops, x, pre, states)
        return output, list(states)

    def get_initial_state(self, batch_size=None):
        """The learned initial states, each repeated to (B, N); zeros where they are not learned.

        A state of one array comes bare, several as a list, in the structure of `state_size`.
        """
        states = [
            ops.broadcast_to(state, (batch_size, self.units))
            for state in self.weight_tensors()["initial_state"]
        ]
        return states if len(states) > 1 else states[0]

    @property
    def initial_state(self):
        """The learned initial states as NumPy arrays, each (N,)."""
        states = self.weight_tensors(self.variable_dtype)["initial_state"]
        return [ops.convert_to_numpy(state) for state in states]

    def gate_weights(self):
        """The gates' weights as NumPy arrays; b^fg is not part of the bias.

        Returns:
            dict from gate to dict(input=(I, N), recurrent=(N, N), bias=(N,)); behind a read-in,
            as the +RNN's and the MinimalRNN's, input matrices are (N, N).
        """
        return {
            gate: {part: ops.convert_to_numpy(variables[gate]) for part, variables in self._parts()}
            for gate in self.gates
        }

    def set_gate_weights(self, weights):
        """Sets what `gate_weights` returns.

        Raises:
            ValueError: a gate or part is missing or unknown, or an array's shape does not fit;
                nothing is changed then.
        """
        parts = dict(self._parts())
        _same_names("gates", weights, self.gates)
        for gate, arrays in weights.items():
            _same_names(f"parts of gate {gate!r}", arrays, parts)
            for part, array in arrays.items():
                expected = tuple(parts[part][gate].shape)
                if np.shape(array) != expected:
                    raise ValueError(f"{gate}/{part} must be {expected}, got {np.shape(array)}")
        for gate, arrays in weights.items():
            for part, array in arrays.items():
                parts[part][gate].assign(array)

    def get_config(self):
        return super().get_config() | {
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "gate_bias": self.gate_bias,
            "learned_initial_state": self.learned_initial_state,
            "matrix_init": self.matrix_init,
            "bias_init": self.bias_init,
            "input_scale": dict(self.input_scale),
            "recurrent_scale": dict(self.recurrent_scale),
            "bias_scale": dict(self.bias_scale),
            "seed": self.seed,
        }

    def _require_built(self):
        if not self.built:
            raise ValueError(f"{self.name} has no weights yet: call it, or build((None, I)), first")

    def _parts(self):
        self._require_built()
        return (
            ("input", self.input_kernels),
            ("recurrent", self.recurrent_kernels),
            ("bias", self.biases),
        )

    def _per_gate(self, name, value):
        if not isinstance(value, dict):
            return dict.fromkeys(self.gates, float(value))
        _same_names(f"gates of {name}", value, self.gates)
        return {gate: float(value[gate]) for gate in self.gates}


def _choice(name, value, choices):
    if value not in choices:
        raise ValueError(f"unknown {name} {value!r}; choose one of {', '.join(choices)}")
    return value


def _same_names(what, given, expected):
    if set(given) != set(expected):
        raise ValueError(f"{what} must be {', '.join(expected)}; got {', '.join(given)}")


def _elementwise(activation):
    """`keras.activations.get`, without the functions that mix the units of a sample."""
    function = keras.activations.get(activation)
    if getattr(function, "__name__", "") in ("softmax", "log_softmax", "sparsemax", "glu"):
        raise ValueError(
            f"activation {function.__name__} mixes units; choose one that acts on each alone, "
            "as tanh or relu"
        )
    return function
