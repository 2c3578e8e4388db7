"""Declarations of a cell's weights: the products of its gates, and learned vectors and scalars.

    gates = ("f", "c")                           # W x + U a + b each
    gates = {
        "z": Gate(recurrent=None),               # W x + b
        "q": Gate(input=False),                  # U a + b
        "c": Gate(recurrent=Diagonal(1.0)),      # W x + u * a + b
    }
    vectors = {"beta": Vector(0.0), "alpha": Scalar(1.0)}

Shapes, counts, initial values and the arrays that the loops multiply follow from them. Nothing that
counts parameters imports NumPy, which is imported where it is used.

Legend: N units, R rank, K blocks; "..." leading axes of a population of models.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

Tensor = Any
Array = Any
#: A number, or `initial(generator, units)`, which returns an array.
Initial = float | Callable[[Any, int], Array]


@dataclasses.dataclass(frozen=True)
class Uniform:
    """Initial values of a vector, drawn uniformly between two numbers."""

    low: float
    high: float

    def __call__(self, generator: Any, units: int) -> Array:
        return generator.uniform(self.low, self.high, units)


@dataclasses.dataclass(frozen=True)
class Dense:
    """A square matrix U (N, N)."""

    @property
    def divisor(self) -> int:
        """The number of which N must be a multiple."""
        return 1

    def shape(self, units: int) -> tuple[int, ...]:
        """Return the shape of the stored weight."""
        return (units, units)

    def draw(self, initializer: Any, generator: Any, units: int) -> Array:
        """Draw the stored weight by a `rnn_zoo.initializers.SeededInitializer` of matrices."""
        return initializer.draw_from(generator, (units, units))

    def dense(self, ops: ModuleType, stored: Tensor) -> Tensor:
        """Return U (..., N, N) of a stored weight."""
        return stored


@dataclasses.dataclass(frozen=True)
class BlockDiagonal(Dense):
    """Blocks (K, N/K, N/K) on the diagonal of U, such as one per head; K divides N."""

    blocks: int

    @property
    def divisor(self) -> int:
        return self.blocks

    def shape(self, units):
        return (self.blocks, units // self.blocks, units // self.blocks)

    def draw(self, initializer, generator, units):
        import numpy as np

        blocks, *shape = self.shape(units)
        return np.stack([initializer.draw_from(generator, shape) for _ in range(blocks)])

    def dense(self, ops, stored):
        import numpy as np

        *lanes, blocks, size, _ = stored.shape
        # (K, 1, K, 1) and (..., K, n, 1, n) give (..., K, n, K, n).
        is_block = np.eye(blocks, dtype=bool)[:, None, :, None]
        spread = ops.where(is_block, ops.expand_dims(stored, -2), 0.0)
        return ops.reshape(spread, (*lanes, blocks * size, blocks * size))


@dataclasses.dataclass(frozen=True)
class LowRank(Dense):
    """U = A B^T of rank R = max(1, N // share), stored as A and B, (2, N, R)."""

    share: int = 4

    def shape(self, units):
        return (2, units, max(1, units // self.share))

    def draw(self, initializer, generator, units):
        import numpy as np

        factors = initializer, type(initializer)()  # only one has the scale
        shape = self.shape(units)[1:]
        return np.stack([factor.draw_from(generator, shape) for factor in factors])

    def dense(self, ops, stored):
        left, right = (ops.squeeze(each, -3) for each in ops.split(stored, 2, -3))
        return ops.matmul(left, ops.swapaxes(right, -1, -2))


@dataclasses.dataclass(frozen=True)
class Antisymmetric(Dense):
    """U = A - A^T, stored as the entries of A above the diagonal, (N (N - 1) / 2, 1)."""

    def shape(self, units):
        return (units * (units - 1) // 2, 1)

    def draw(self, initializer, generator, units):
        import numpy as np

        matrix = initializer.draw_from(generator, (units, units))
        return matrix[np.triu_indices(units, 1)][:, None]

    def dense(self, ops, stored):
        import numpy as np

        units = round((1 + (1 + 8 * stored.shape[-2]) ** 0.5) / 2)
        if units == 1:
            return ops.sum(stored, axis=-2, keepdims=True)  # of no entries: 0
        places, above = np.zeros((units, units), "int32"), np.triu_indices(units, 1)
        places[above] = places.T[above] = np.arange(stored.shape[-2])
        entries = ops.take(ops.squeeze(stored, -1), places, axis=-1)
        signed = ops.where(np.tri(units, dtype=bool), -entries, entries)
        return ops.where(np.eye(units, dtype=bool), 0.0, signed)


@dataclasses.dataclass(frozen=True)
class Diagonal:
    """A vector u (N,), by which the operand is multiplied element by element."""

    initial: Initial = dataclasses.field(default=1.0, compare=False)
    divisor = 1

    def shape(self, units: int) -> tuple[int, ...]:
        return (units,)

    def draw(self, initializer: Any, generator: Any, units: int) -> Array:
        return initializer.scale * _drawn(self.initial, generator, units, units)


@dataclasses.dataclass(frozen=True)
class PerHead:
    """An input product with one number per head, W (I, K) and b (K,), for all its N/K units."""

    heads: int

    def dense(self, ops: ModuleType, stored: Tensor, units: int) -> Tensor:
        """Return W (..., I, N) or b (..., N) of a stored weight."""
        return ops.repeat(stored, units // self.heads, axis=-1)


@dataclasses.dataclass(frozen=True)
class Gate:
    """The pre-activation of a gate: the sum of the products that it has.

    Attributes:
        input: whether it has W x; or `PerHead`.
        recurrent: structure of the recurrent product, or None.
        bias: whether it has b.
    """

    input: bool | PerHead = True
    recurrent: Dense | Diagonal | None = Dense()
    bias: bool = True

    def __post_init__(self):
        if not isinstance(self.recurrent, (Dense, Diagonal, type(None))):
            raise ValueError(
                "a gate's recurrent product must be None or a structure such as Dense() or "
                f"Diagonal(1.0), got {self.recurrent!r}"
            )
        if not (self.input or self.recurrent):
            raise ValueError("a gate needs an input or a recurrent product; declare a Vector")
        if self.per_head and self.recurrent:
            raise ValueError("a gate with one number per head has no recurrent product")

    @property
    def matrix(self) -> Dense | None:
        """The structure of the recurrent product if it is that of a matrix."""
        return self.recurrent if isinstance(self.recurrent, Dense) else None

    @property
    def per_head(self) -> PerHead | None:
        return self.input if isinstance(self.input, PerHead) else None

    def columns(self, units: int) -> int:
        """Return the number of columns of W, and of entries of b, as they are stored."""
        return self.per_head.heads if self.per_head else units

    @property
    def has_products(self) -> bool:
        """Whether it has a product with a matrix."""
        return bool(self.input) or self.matrix is not None


@dataclasses.dataclass(frozen=True)
class ZeroState:
    """A state (N,) that starts from zero and is not learned."""

    def width(self, units: int) -> int:
        """Return the number of entries."""
        return units


@dataclasses.dataclass(frozen=True)
class MatrixState(ZeroState):
    """A matrix (D, D) per head, D = N/K, as a vector of N D entries; see `rnn_zoo.cells.heads`."""

    heads: int

    def width(self, units):
        return units * (units // self.heads)


@dataclasses.dataclass(frozen=True)
class Vector:
    """A learned vector (N,), which `step` reads from the attribute of its name."""

    initial: Initial = dataclasses.field(default=0.0, compare=False)

    def shape(self, units: int) -> tuple[int, ...]:
        return (units,)

    def draw(self, generator: Any, units: int) -> Array:
        return _drawn(self.initial, generator, units, *self.shape(units))


@dataclasses.dataclass(frozen=True)
class Scalar(Vector):
    """A learned number (1,), likewise."""

    def shape(self, units):
        return (1,)


def declared(gates: Any) -> Mapping[str, Gate]:
    """Return gates by name; those of a tuple of names have all parts.

    Any other value is returned as it is, for `rnn_zoo.register` to refuse.
    """
    is_names = isinstance(gates, tuple) and len(set(gates)) == len(gates) > 0
    return {gate: Gate() for gate in gates} if is_names else gates


def gates_with(gates: Mapping[str, Gate], part: str) -> tuple[str, ...]:
    """Return the names of the gates that have a part: "input", "recurrent", "matrix" or "bias"."""
    return tuple(name for name, gate in gates.items() if getattr(gate, part))


def divisor(gates: Mapping[str, Gate]) -> int:
    """Return the number of which N must be a multiple."""
    of_matrices = (gate.recurrent.divisor for gate in gates.values() if gate.recurrent)
    of_heads = (gate.per_head.heads for gate in gates.values() if gate.per_head)
    return math.lcm(*of_matrices, *of_heads)


def learned_states(cell: Any) -> list[str]:
    """Return the names of the states whose initial values can be learned."""
    return [name for name in cell.state_names if name not in cell.zero_states]


def state_widths(cell: Any, units: int) -> list[int]:
    """Return the number of entries of each state: N, or more of a `MatrixState`."""
    zero_states = cell.zero_states
    return [
        zero_states[name].width(units) if name in zero_states else units
        for name in cell.state_names
    ]


def weight_shapes(cell: Any, units: int, features: int) -> dict[str, Any]:
    """Return the shapes of a cell's weights, in the structure of its `weight_tensors`.

    Args:
        cell: a cell, its class, or its `rnn_zoo.architectures.Architecture`.
        units: N.
        features: I, features of the cell's input.

    Returns:
        dict(input, recurrent, bias: dicts from gate to shape; vectors: dict from name to shape;
        initial_state: list of the shapes of those that can be learned; read_in: dict(kernel, bias)
        of shapes, empty if there is no read-in).
    """
    read_in = {}
    if cell.always_reads_in or (cell.mixes_input and features != units):
        read_in = {"kernel": (features, units), "bias": (units,)}
        features = units
    gates = cell.gates
    biased = gates_with(gates, "bias") if getattr(cell, "use_bias", True) else ()
    return {
        "input": {
            name: (features, gates[name].columns(units)) for name in gates_with(gates, "input")
        },
        "recurrent": {
            name: gates[name].recurrent.shape(units) for name in gates_with(gates, "recurrent")
        },
        "bias": {name: (gates[name].columns(units),) for name in biased},
        "vectors": {name: vector.shape(units) for name, vector in cell.vectors.items()},
        "initial_state": [(units,) for _ in learned_states(cell)],
        "read_in": read_in,
    }


def _drawn(initial, generator, units, size):
    import numpy as np

    value = initial(generator, units) if callable(initial) else initial
    return np.broadcast_to(np.asarray(value, "float64"), (size,))
