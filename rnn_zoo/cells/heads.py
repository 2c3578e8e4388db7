"""Operations within heads, for cells whose states are matrices.

Arrays have N units, K heads of D = N/K each, on the axis that `pre.axis` names: the last one, or
the last but one in loops with the batch last. A matrix state has N D entries there, row by row.
"""

from types import ModuleType
from typing import Any

Tensor = Any


class Heads:
    """K heads on an axis.

    Args:
        ops: `keras.ops` or its NumPy equivalents.
        heads: K.
        axis: -1 or -2, `pre.axis`.
    """

    def __init__(self, ops: ModuleType, heads: int, axis: int):
        self.ops, self.heads, self.axis = ops, heads, axis

    def outer(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Return rows columns^T (N D) of each head, from two arrays (N)."""
        ops, axis = self.ops, self.axis
        split = self._split(rows, 1), self._split(columns, 1)
        product = ops.expand_dims(split[0], axis) * ops.expand_dims(split[1], axis - 1)
        return self._joined(product, 3)

    def times(self, matrix: Tensor, vector: Tensor) -> Tensor:
        """Return M v (N) of each head, from M (N D) and v (N)."""
        ops, axis = self.ops, self.axis
        product = self._split(matrix, 2) * ops.expand_dims(self._split(vector, 1), axis - 1)
        return self._joined(ops.sum(product, axis), 2)

    def dot(self, one: Tensor, other: Tensor) -> Tensor:
        """Return the inner product of each head, at all of its units (N)."""
        total = self.ops.sum(self._split(one * other, 1), self.axis, keepdims=True)
        return self._joined(total + self.ops.zeros_like(self._split(one, 1)), 2)

    def _split(self, array, rank):
        """Return (K, D) on the axis, or (K, D, D) of a matrix."""
        before, size, after = self._shape(array)
        units = self.heads * round((size // self.heads) ** (1 / rank))
        parts = (self.heads, *(units // self.heads,) * rank)
        return self.ops.reshape(array, (*before, *parts, *after))

    def _joined(self, array, rank):
        """Join the `rank` axes up to the axis."""
        shape = self.ops.shape(array)
        end = len(shape) + self.axis + 1
        size = 1
        for part in shape[end - rank : end]:
            size *= part
        return self.ops.reshape(array, (*shape[: end - rank], size, *shape[end:]))

    def _shape(self, array):
        shape = self.ops.shape(array)
        place = len(shape) + self.axis
        return shape[:place], shape[place], shape[place + 1 :]
