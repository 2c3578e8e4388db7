"""Packing of a model's weights into one vector, for compiled training loops.

A small network has a dozen weights of a few hundred numbers each. Clipping, updating and checking
them one by one takes a quarter of the operations of a training step, each with its own overhead. On
one vector it takes a handful. The arrays of a dict (the gates' matrices) are packed side by side if
their shapes are equal. The input product needs them in that form, so unpacking and concatenating
them again costs nothing.

Legend: "..." axes of lanes, M size of all weights together.
"""

import math
from collections.abc import Iterator
from typing import Any

from trainer import lazy_ops as ops

Tensor = Any


def pack(weights: Any, num_lane_axes: int) -> Tensor:
    """Return the vector (..., M) of a nested structure of arrays (..., shape)."""
    return ops.concatenate(list(_vectors(weights, num_lane_axes)), axis=-1)


def unpack(vector: Tensor, like: Any) -> Any:
    """Invert `pack`.

    Args:
        vector: (..., M).
        like: nested structure of arrays with the shapes (..., shape) to return.
    """
    return _Cut(vector).take(like)


def where_matrices(shapes: Any, num_lane_axes: int) -> Tensor:
    """Return a packed vector (..., M), 1 for entries of matrices and 0 for all other weights.

    An array of more than two axes holds several matrices, such as the blocks of a diagonal.
    """
    import keras

    return pack(
        keras.tree.map_structure(
            lambda w: ops.ones_like(w) if len(w.shape) >= num_lane_axes + 2 else ops.zeros_like(w),
            shapes,
        ),
        num_lane_axes,
    )


def _side_by_side(weights: Any) -> bool:
    """Return whether this is a dict of arrays of one shape."""
    if not isinstance(weights, dict) or not weights:
        return False
    values = weights.values()
    return (
        all(hasattr(value, "shape") for value in values)
        and len({tuple(value.shape) for value in values}) == 1
    )


def _vectors(weights: Any, num_lane_axes: int) -> Iterator[Tensor]:
    """Yield the pieces of `pack`, each (..., size), in order."""
    if _side_by_side(weights):
        weights = ops.concatenate(list(weights.values()), axis=-1)
    if hasattr(weights, "shape"):
        lanes = weights.shape[:num_lane_axes]
        yield ops.reshape(weights, (*lanes, math.prod(weights.shape[num_lane_axes:])))
        return
    for part in weights.values() if isinstance(weights, dict) else weights:
        yield from _vectors(part, num_lane_axes)


class _Cut:
    """A vector that is cut into pieces from the front."""

    def __init__(self, vector: Tensor):
        self.vector, self.position = vector, 0
        self.num_lane_axes = len(vector.shape) - 1

    def take(self, like: Any) -> Any:
        if _side_by_side(like):
            *outer, width = next(iter(like.values())).shape
            joined = self._array((*outer, len(like) * width))
            return dict(zip(like, ops.split(joined, len(like), axis=-1), strict=True))
        if hasattr(like, "shape"):
            return self._array(like.shape)
        if isinstance(like, dict):
            return {name: self.take(part) for name, part in like.items()}
        return [self.take(part) for part in like]

    def _array(self, shape: tuple[int, ...]) -> Tensor:
        size = math.prod(shape[self.num_lane_axes :])
        piece = self.vector[..., self.position : self.position + size]
        self.position += size
        return ops.reshape(piece, shape)
